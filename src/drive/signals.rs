//! Signals as a source of events.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mio::{Interest, Registry, Token};
use nix::libc::{SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::flag;
use signal_hook_mio::v1_0::Signals as Source;

use crate::error::{Error, Result};
use crate::service::Signal;

/// The signals that the loop hears of.
pub struct Signals {
    source: Source,
    /// Set by the handler. The byte that it sends to wake the loop may be lost for want of memory.
    came: Arc<AtomicBool>,
    stopping: bool,
}

/// What a signal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The service is to be told.
    Tell(Signal),
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
        let failed = |call| move |error| Error::new(call, "for signals", error);
        let mut source = Source::new::<[i32; 0], i32>([]).map_err(failed("socketpair"))?;
        let came = Arc::default();
        let numbers = asked.iter().copied().flat_map(numbers_of);
        for &signal in numbers_of(Signal::Stop).iter().chain(numbers) {
            source.add_signal(signal).map_err(failed("sigaction"))?;
            flag::register(signal, Arc::clone(&came)).map_err(failed("sigaction"))?;
        }
        registry.register(&mut source, token, Interest::READABLE).map_err(failed("epoll_ctl"))?;
        Ok(Self { source, came, stopping: false })
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
            _ if std::mem::replace(stopping, true) => Heard::EndAtOnce(number),
            _ => Heard::Tell(Signal::Stop),
        });
        heard.collect()
    }
}

fn numbers_of(signal: Signal) -> &'static [i32] {
    match signal {
        Signal::Stop => &[SIGINT, SIGTERM],
        Signal::Goodbye => &[SIGUSR1],
        Signal::Status => &[SIGUSR2],
    }
}
