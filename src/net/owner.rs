//! Whose a socket is: SO_REUSEPORT shares a port among the sockets of one user.

use std::io;

use nix::errno::Errno;
use nix::unistd::{Uid, setfsuid};

/// Has the sockets that this thread opens from now on be `user`'s, and gives whose they were before.
///
/// The kernel gives a socket to the user that setfsuid(2) names, and compares that one (`sk_uid`). It also takes away a
/// wish to end with the parent process: PR_SET_PDEATHSIG, prctl(2).
///
/// # Errors
///
/// `EPERM` without CAP_SETUID, and for a user that the user namespace does not have.
pub(crate) fn set_owner(user: Uid) -> io::Result<Uid> {
    const NOBODY: Uid = Uid::from_raw(u32::MAX);
    let before = setfsuid(user);
    // It returns the same whether or not it did; asked for nobody, it changes nothing and tells who it is.
    if setfsuid(NOBODY) == user { Ok(before) } else { Err(Errno::EPERM.into()) }
}
