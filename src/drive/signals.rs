//! Signals as a source of events.

use std::io;

use mio::{Interest, Registry, Token};
use nix::libc::{SIGINT, SIGTERM, SIGUSR2};
use signal_hook_mio::v1_0::Signals as Source;

use crate::error::{Error, Result};
use crate::service::Signal;

/// The signals that the loop hears of.
pub struct Signals {
    source: Source,
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
    /// Catches SIGINT and SIGTERM from now on, and SIGUSR2 where `status` is asked of this loop.
    ///
    /// # Errors
    ///
    /// `EMFILE` and `ENFILE` from `socketpair`.
    pub fn catch(registry: &Registry, token: Token, status: bool) -> Result<Self> {
        let register = || -> io::Result<Source> {
            let mut source = Source::new([SIGINT, SIGTERM])?;
            if status {
                source.add_signal(SIGUSR2)?;
            }
            registry.register(&mut source, token, Interest::READABLE)?;
            Ok(source)
        };
        let source = register().map_err(|error| Error::new("sigaction", "", error))?;
        Ok(Self { source, stopping: false })
    }

    /// What arrived since the last call.
    pub fn heard(&mut self) -> Vec<Heard> {
        let stopping = &mut self.stopping;
        let heard = self.source.pending().map(|number| match number {
            SIGUSR2 => Heard::Tell(Signal::Status),
            _ if std::mem::replace(stopping, true) => Heard::EndAtOnce(number),
            _ => Heard::Tell(Signal::Stop),
        });
        heard.collect()
    }
}
