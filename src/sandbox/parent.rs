//! The process that started this one, and its end.

use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;

use crate::error::{Error, Result};

/// Has the kernel end this process when its parent ends; a change of its credentials undoes that (prctl(2)).
///
/// # Errors
///
/// What a security policy answers.
pub(crate) fn die_with_parent() -> Result<()> {
    set_pdeathsig(Signal::SIGKILL).map_err(|errno| Error::new("prctl", "PR_SET_PDEATHSIG", errno))
}

/// Whether the parent, which alone has the other end of `pipe` or socket, has ended, and so closed it.
///
/// Asked after [`die_with_parent`], which says nothing of an end before it: descriptors are closed before children
/// are told.
/// getppid(2) cannot tell: a parent in another PID namespace is 0, dead or alive.
///
/// # Errors
///
/// `ENOMEM` from `poll`.
pub(crate) fn has_gone(pipe: impl AsFd) -> Result<bool> {
    let mut descriptors = [PollFd::new(pipe.as_fd(), PollFlags::empty())];
    poll(&mut descriptors, PollTimeout::ZERO).map_err(|errno| Error::new("poll", "", errno))?;
    let [descriptor] = descriptors;
    Ok(descriptor.revents().is_some_and(|found| found.contains(PollFlags::POLLHUP)))
}

#[cfg(test)]
mod tests {
    use std::io::pipe;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn an_end_that_was_closed_tells_that_the_parent_has_gone() {
        let (reader, writer) = pipe().unwrap();
        let (child, parent) = UnixStream::pair().unwrap();
        assert_eq!((has_gone(&reader).unwrap(), has_gone(&child).unwrap()), (false, false));
        drop((writer, parent));
        assert_eq!((has_gone(&reader).unwrap(), has_gone(&child).unwrap()), (true, true));
    }
}
