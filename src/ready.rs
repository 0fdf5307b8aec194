//! Waiting until a descriptor is ready, poll(2): a signal that comes meanwhile is no failure.

use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollTimeout, poll, ppoll};
use nix::sys::time::TimeSpec;

/// Waits until one of these is ready, or a signal comes.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn wait(descriptors: &mut [PollFd]) -> nix::Result<()> {
    unless_interrupted(poll(descriptors, PollTimeout::NONE)).map(drop)
}

/// The same, for `limit` at most: how many are ready.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn wait_within(descriptors: &mut [PollFd], limit: Option<Duration>) -> nix::Result<i32> {
    unless_interrupted(ppoll(descriptors, limit.map(TimeSpec::from_duration), None))
}

fn unless_interrupted(outcome: nix::Result<i32>) -> nix::Result<i32> {
    match outcome {
        Err(Errno::EINTR) => Ok(0),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use nix::poll::PollFlags;

    use super::*;

    #[test]
    fn what_is_readable_is_counted_and_a_limit_ends_the_wait() {
        let (read, mut write) = UnixStream::pair().unwrap();
        let mut descriptors = [PollFd::new(read.as_fd(), PollFlags::POLLIN)];
        assert_eq!(wait_within(&mut descriptors, Some(Duration::from_millis(1))), Ok(0));
        write.write_all(b"x").unwrap();
        assert_eq!(wait_within(&mut descriptors, None), Ok(1));
        assert_eq!(wait(&mut descriptors), Ok(()));
    }

    #[test]
    fn a_signal_is_no_failure_and_anything_else_is() {
        assert_eq!(unless_interrupted(Err(Errno::EINTR)), Ok(0));
        assert_eq!(unless_interrupted(Err(Errno::ENOMEM)), Err(Errno::ENOMEM));
    }
}
