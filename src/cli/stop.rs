//! The signals that end a program which waits for the kernel and not in an event loop.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

use crate::error::{Error, Result};
use crate::ready;

/// Readable, by its descriptor, once SIGINT or SIGTERM has come. The second ends the process at once.
pub(crate) struct Stop(UnixStream);

impl Stop {
    /// Catches both signals from now on.
    ///
    /// # Errors
    ///
    /// `EMFILE` and `ENFILE` from `socketpair`.
    pub(crate) fn on_signal() -> Result<Self> {
        let register = || -> io::Result<UnixStream> {
            let (read, write) = UnixStream::pair()?;
            for signal in [SIGINT, SIGTERM] {
                let came = Arc::new(AtomicBool::new(false));
                // The order is what makes the first signal set the flag and the second one find it set.
                flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&came))?;
                flag::register(signal, came)?;
                low_level::pipe::register(signal, write.try_clone()?)?;
            }
            Ok(read)
        };
        register().map(Self).map_err(|error| Error::new("sigaction", "", error))
    }

    /// Waits so long at most; whether a signal has come.
    ///
    /// # Errors
    ///
    /// `ENOMEM` from `ppoll`.
    pub(crate) fn wait(&self, limit: Duration) -> Result<bool> {
        let mut descriptor = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
        let ready = ready::wait_within(&mut descriptor, Some(limit));
        ready.map(|ready| ready > 0).map_err(|errno| Error::new("ppoll", "", errno))
    }
}

impl AsFd for Stop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
