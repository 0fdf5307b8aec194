//! Signals as a descriptor that becomes readable, for any way of waiting.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::libc::{SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGIO, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::flag;
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

use crate::error::{Error, Result};
use crate::service::Signal;

/// The signals that a driver hears of. Its descriptor is readable when one has come.
pub(super) struct Signals {
    delivery: SignalDelivery<UnixStream, SignalOnly>,
    /// Set by the handler, and by the byte that it sends to wake the driver. That byte may be lost for want of memory;
    /// but where another thread runs the handler, it may also be here before the handler has set this.
    came: Arc<AtomicBool>,
    write: UnixStream,
    stopping: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The service is to be told.
    Tell(Signal),
    /// Standard input or output has something to say.
    Streams,
    /// The terminal has another width, or other settings than ours.
    Terminal,
    /// SIGINT or SIGTERM again, this number: end at once.
    EndAtOnce(i32),
}

impl Signals {
    /// Catches what stands for each of `asked` from now on, and nothing else.
    ///
    /// # Errors
    ///
    /// `EMFILE` and `ENFILE` from `socketpair`, `EMFILE` from `fcntl`; none from `ioctl` on a socket of ours.
    pub(super) fn catch(asked: &[Signal]) -> Result<Self> {
        let (read, write) = UnixStream::pair().map_err(failed("socketpair"))?;
        write.set_nonblocking(true).map_err(failed("ioctl"))?;
        let copy = write.try_clone().map_err(failed("fcntl"))?;
        let delivery = SignalDelivery::with_pipe::<[i32; 0], i32, _>(read, copy, SignalOnly, [])
            .map_err(failed("sigaction"))?;
        let signals = Self { delivery, came: Arc::default(), write, stopping: false };
        signals.add(asked.iter().copied().flat_map(numbers_of))?;
        Ok(signals)
    }

    /// Catches what a terminal sends, too: nothing may end us before its settings are as they were.
    pub(super) fn catch_terminal(&self) -> Result<()> {
        self.add([SIGHUP, SIGQUIT, SIGWINCH, SIGCONT].iter())
    }

    /// Catches SIGIO, by which a thread of standard input or output wakes the driver where it cannot otherwise.
    pub(super) fn catch_streams(&self) -> Result<()> {
        self.add([SIGIO].iter())
    }

    /// Wakes the driver when a child process has ended, too; there is nothing to hear then.
    pub(super) fn wake_for_children(&self) -> Result<()> {
        self.add([SIGCHLD].iter())
    }

    fn add<'a>(&self, numbers: impl Iterator<Item = &'a i32>) -> Result<()> {
        for &signal in numbers {
            self.delivery.handle().add_signal(signal).map_err(failed("sigaction"))?;
            flag::register(signal, Arc::clone(&self.came)).map_err(failed("sigaction"))?;
        }
        Ok(())
    }

    /// What wakes the driver as a signal does.
    ///
    /// # Errors
    ///
    /// `EMFILE` from `fcntl`.
    pub(super) fn waker(&self) -> Result<Waker> {
        let write = self.write.try_clone().map_err(failed("fcntl"))?;
        Ok(Waker { came: Arc::clone(&self.came), write })
    }

    /// The handler's byte has come.
    pub(super) fn note(&self) {
        self.came.store(true, Ordering::Release);
    }

    /// What arrived since the last call.
    pub(super) fn heard(&mut self) -> Vec<Heard> {
        // Costs nothing, so that every turn of the loop can ask.
        if !self.came.swap(false, Ordering::Acquire) {
            return Vec::new();
        }
        let stopping = &mut self.stopping;
        let heard = self.delivery.pending().filter_map(|number| match number {
            SIGCHLD => None,
            SIGUSR1 => Some(Heard::Tell(Signal::Goodbye)),
            SIGUSR2 => Some(Heard::Tell(Signal::Status)),
            SIGIO => Some(Heard::Streams),
            SIGWINCH | SIGCONT => Some(Heard::Terminal),
            SIGQUIT => Some(Heard::EndAtOnce(SIGQUIT)),
            _ if std::mem::replace(stopping, true) => Some(Heard::EndAtOnce(number)),
            _ => Some(Heard::Tell(Signal::Stop)),
        });
        heard.collect()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.delivery.get_read().as_fd()
    }
}

/// Wakes a driver from another thread.
pub(super) struct Waker {
    came: Arc<AtomicBool>,
    write: UnixStream,
}

impl Waker {
    pub(super) fn wake(&self) {
        self.came.store(true, Ordering::Release);
        // Full means that enough bytes wait there already.
        let _ = (&self.write).write(&[0]);
    }
}

fn failed(call: &'static str) -> impl Fn(io::Error) -> Error {
    move |error| Error::new(call, "for signals", error)
}

fn numbers_of(signal: Signal) -> &'static [i32] {
    match signal {
        Signal::Stop => &[SIGINT, SIGTERM],
        Signal::Goodbye => &[SIGUSR1],
        Signal::Status => &[SIGUSR2],
    }
}
