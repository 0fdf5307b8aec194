//! Signals as a descriptor to wait on, and as bytes between the process outside and the one inside.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use signal_hook::flag;

use crate::error::{Error, Result};
use crate::ready;

/// What is passed on. The signals that stop are not: the terminal sends those to the whole process group, and the
/// process outside stops with it so that the shell sees a stopped job.
const PASSED_ON: [Signal; 8] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGALRM,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
];

/// The signals that arrive at this process, and at its children until they [`release`](Self::release) them.
///
/// Blocked, not handled: so what the caller ignored stays ignored in the command, as nohup(1) wants it.
pub(super) struct BlockedSignals {
    before: SigSet,
    blocked: SigSet,
}

/// A signal that came to this process.
pub(super) struct Arrival {
    pub(super) signal: Signal,
    /// The sender has no pid here: the kernel, or a process outside this PID namespace.
    pub(super) from_outside: bool,
}

impl BlockedSignals {
    pub(super) fn block() -> Result<Self> {
        // A caller may have ignored SIGCHLD, and then the kernel reaps and wait(2) learns nothing; a handler ends that.
        flag::register(Signal::SIGCHLD as i32, Arc::default())
            .map_err(|error| Error::new("sigaction", "SIGCHLD", error))?;
        let mut blocked: SigSet = PASSED_ON.into_iter().collect();
        blocked.add(Signal::SIGCHLD);
        let before = blocked
            .thread_swap_mask(SigmaskHow::SIG_BLOCK)
            .map_err(|errno| Error::new("sigprocmask", "SIG_BLOCK", errno))?;
        Ok(Self { before, blocked })
    }

    /// Lets signals come as they did before they were blocked.
    pub(super) fn release(&self) -> Result<()> {
        self.before.thread_set_mask().map_err(|errno| Error::new("sigprocmask", "SIG_SETMASK", errno))
    }

    pub(super) fn watch(&self) -> Result<SignalReader> {
        SignalFd::with_flags(&self.blocked, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .map(SignalReader)
            .map_err(|errno| Error::new("signalfd", "", errno))
    }
}

/// Where the signals that came to this process are read.
pub(super) struct SignalReader(SignalFd);

impl SignalReader {
    /// Waits until a signal comes or `other` is readable.
    pub(super) fn wait(&self, other: BorrowedFd) -> Result<()> {
        let mut descriptors =
            [PollFd::new(self.0.as_fd(), PollFlags::POLLIN), PollFd::new(other, PollFlags::POLLIN)];
        ready::wait(&mut descriptors).map_err(|errno| Error::new("poll", "", errno))
    }

    /// All that has come since the last call.
    pub(super) fn arrivals(&self) -> impl Iterator<Item = Arrival> {
        std::iter::from_fn(|| self.0.read_signal().ok().flatten()).filter_map(|info| {
            let signal = i32::try_from(info.ssi_signo).ok()?;
            Some(Arrival { signal: signal.try_into().ok()?, from_outside: info.ssi_pid == 0 })
        })
    }
}

/// A signal as one byte.
pub(super) fn to_byte(signal: Signal) -> u8 {
    // Linux has 64 signals.
    signal as u8
}

/// The signal that [`to_byte`] made `byte` of.
pub(super) fn from_byte(byte: u8) -> Option<Signal> {
    Signal::try_from(i32::from(byte)).ok()
}
