//! Signals as a source of events.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mio::{Interest, Registry, Token};
use nix::libc::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::flag;
use signal_hook_mio::v1_0::Signals as Source;

use crate::error::{Error, Result};
use crate::service::Signal;

/// The signals that the loop hears of.
pub struct Signals {
    source: Source,
    /// Set by the handler, and by the byte that it sends to wake the loop. That byte may be lost for want of memory;
    /// but where another thread runs the handler, it may also be here before the handler has set this.
    came: Arc<AtomicBool>,
    stopping: bool,
}

/// What a signal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The service is to be told.
    Tell(Signal),
    /// The terminal has another width, or other settings than ours.
    Terminal,
    /// SIGINT or SIGTERM again, this number: end at once.
    EndAtOnce(i32),
}

impl Signals {
    /// Catches SIGINT and SIGTERM from now on, and what stands for each of `asked`.
    ///
    /// # Errors
    ///
    /// `EMFILE` and `ENFILE` from `socketpair`; `ENOMEM` and `ENOSPC` from `epoll_ctl`.
    pub fn catch(registry: &Registry, token: Token, asked: &[Signal]) -> Result<Self> {
        let mut source = Source::new::<[i32; 0], i32>([]).map_err(failed("socketpair"))?;
        registry.register(&mut source, token, Interest::READABLE).map_err(failed("epoll_ctl"))?;
        let signals = Self { source, came: Arc::default(), stopping: false };
        let numbers = asked.iter().copied().flat_map(numbers_of);
        signals.add(numbers_of(Signal::Stop).iter().chain(numbers))?;
        Ok(signals)
    }

    /// Catches what a terminal sends, too: nothing may end us before its settings are as they were.
    pub fn catch_terminal(&self) -> Result<()> {
        self.add([SIGHUP, SIGQUIT, SIGWINCH, SIGCONT].iter())
    }

    fn add<'a>(&self, numbers: impl Iterator<Item = &'a i32>) -> Result<()> {
        for &signal in numbers {
            self.source.add_signal(signal).map_err(failed("sigaction"))?;
            flag::register(signal, Arc::clone(&self.came)).map_err(failed("sigaction"))?;
        }
        Ok(())
    }

    /// The handler's byte has come.
    pub fn note(&self) {
        self.came.store(true, Ordering::Release);
    }

    /// What arrived since the last call.
    pub fn heard(&mut self) -> Vec<Heard> {
        // Costs nothing, so that every turn of the loop can ask.
        if !self.came.swap(false, Ordering::Acquire) {
            return Vec::new();
        }
        let stopping = &mut self.stopping;
        let heard = self.source.pending().map(|number| match number {
            SIGUSR1 => Heard::Tell(Signal::Goodbye),
            SIGUSR2 => Heard::Tell(Signal::Status),
            SIGWINCH | SIGCONT => Heard::Terminal,
            SIGQUIT => Heard::EndAtOnce(SIGQUIT),
            _ if std::mem::replace(stopping, true) => Heard::EndAtOnce(number),
            _ => Heard::Tell(Signal::Stop),
        });
        heard.collect()
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
