//! fork(2), which has no safe wrapper.

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{self, ForkResult};

use crate::error::{Error, Result};

/// Forks a process that has one thread, and refuses any other.
///
/// # Errors
///
/// `EINVAL` from `unshare` where a second thread runs; `EAGAIN` and `ENOMEM` from `fork`, the latter also where
/// the PID namespace to be entered has lost its first process.
#[expect(
    unsafe_code,
    reason = "fork(2) is what makes a process of a new PID namespace without executing a program"
)]
pub(super) fn fork() -> Result<ForkResult> {
    // It changes nothing, and fails unless the caller is the only thread (unshare(2)).
    unshare(CloneFlags::CLONE_THREAD).map_err(|errno| Error::new("unshare", "CLONE_THREAD", errno))?;
    // SAFETY: the process has this thread alone, so the child finds no lock held by a thread it lacks.
    unsafe { unistd::fork() }.map_err(|errno| Error::new("fork", "", errno))
}
