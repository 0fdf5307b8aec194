//! What accept(2) says when it gives no connection, and when to ask it again.

use std::io::{self, ErrorKind};
use std::time::Duration;

use nix::errno::Errno;

use super::clock::Time;
use crate::error::errno_of;
use crate::report::Event;

/// How long to wait, after the kernel refused a connection, until it is asked again.
const RETRY: Duration = Duration::from_millis(50);
/// How long it must refuse none until that is told as over: at the limit, every client that goes makes room for one.
const CALM: Duration = Duration::from_secs(1);
/// How many connections in a row may be gone; more are a refusal, such as EPERM by a security module for each.
const SKIPS: u32 = 256;

/// What accept(2) has come to.
pub(super) enum Accepted<T> {
    Client(T),
    QueueEmpty,
    /// This connection is gone; the next may be well.
    Skip,
    /// The kernel, or this process, has no room for one: ask later, and tell this.
    Paused(Option<Event<'static>>),
}

/// Whether the kernel refuses us connections, and until when not to ask for any.
#[derive(Default)]
pub(super) struct Exhaustion {
    /// Ask again at this time.
    paused: Option<Time>,
    /// When the kernel refused one last; `None` once that is told as over.
    refused: Option<Time>,
    /// How many were skipped in a row.
    skipped: u32,
}

impl Exhaustion {
    /// When to ask again, if not at once.
    pub(super) fn paused(&self) -> Option<Time> {
        self.paused
    }

    /// Notes what a call of accept(2) returned, and what follows.
    pub(super) fn note<T>(&mut self, outcome: io::Result<T>, now: Time) -> Accepted<T> {
        let error = match outcome {
            Ok(client) => {
                self.skipped = 0;
                return Accepted::Client(client);
            }
            Err(error) => error,
        };
        let errno = errno_of(&error);
        if error.kind() == ErrorKind::WouldBlock {
            self.paused = None;
            self.skipped = 0;
            Accepted::QueueEmpty
        } else if is_of_one_connection(errno) && self.skipped < SKIPS {
            self.skipped += 1;
            Accepted::Skip
        } else {
            Accepted::Paused(self.pause(errno, now))
        }
    }

    /// What is to be told of it.
    fn pause(&mut self, reason: Errno, now: Time) -> Option<Event<'static>> {
        let first = self.refused.is_none();
        self.refused = Some(now);
        self.paused = Some(now.after(RETRY));
        first.then_some(Event::AcceptPaused { reason })
    }

    /// A descriptor has come free: do not wait for the retry.
    pub(super) fn note_room(&mut self, now: Time) {
        if self.paused.is_some() {
            self.paused = Some(now);
        }
    }

    /// When the kernel will have refused nobody for long enough, if the queue has been emptied since.
    pub(super) fn calm_at(&self) -> Option<Time> {
        self.refused.filter(|_| self.paused.is_none()).map(|last| last.after(CALM))
    }

    /// What is to be told once it is calm.
    pub(super) fn calm(&mut self, now: Time) -> Option<Event<'static>> {
        self.calm_at().filter(|&calm| calm <= now)?;
        self.refused = None;
        Some(Event::AcceptResumed)
    }
}

/// accept(2): errors of the connection that was waiting are passed on by it and are to be skipped.
fn is_of_one_connection(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::EINTR
            | Errno::ECONNABORTED
            | Errno::EPERM
            | Errno::EPROTO
            | Errno::ENOPROTOOPT
            | Errno::EOPNOTSUPP
            | Errno::ENETDOWN
            | Errno::ENETUNREACH
            | Errno::EHOSTDOWN
            | Errno::EHOSTUNREACH
            | Errno::ENONET
            | Errno::ETIMEDOUT
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(exhaustion: &mut Exhaustion, errno: Errno) -> Accepted<()> {
        exhaustion.note(Err(errno.into()), Time::default())
    }

    fn is_skip(refused: &Accepted<()>) -> bool {
        matches!(refused, Accepted::Skip)
    }

    #[test]
    fn one_connection_after_the_other_that_is_gone_is_a_refusal_and_told_once() {
        let mut exhaustion = Exhaustion::default();
        assert!((0..SKIPS).all(|_| is_skip(&refused(&mut exhaustion, Errno::EPERM))));
        let told = refused(&mut exhaustion, Errno::EPERM);
        assert!(matches!(told, Accepted::Paused(Some(Event::AcceptPaused { reason: Errno::EPERM }))));
        assert!(exhaustion.paused().is_some());
        assert!(matches!(refused(&mut exhaustion, Errno::EPERM), Accepted::Paused(None)));
    }

    #[test]
    fn those_that_are_gone_among_others_are_skipped_for_ever() {
        let mut exhaustion = Exhaustion::default();
        for _ in 0..2 * SKIPS {
            assert!(is_skip(&refused(&mut exhaustion, Errno::ECONNABORTED)));
            assert!(matches!(exhaustion.note(Ok(()), Time::default()), Accepted::Client(())));
        }
        for _ in 0..2 * SKIPS {
            assert!(is_skip(&refused(&mut exhaustion, Errno::ECONNABORTED)));
            assert!(matches!(refused(&mut exhaustion, Errno::EAGAIN), Accepted::QueueEmpty));
        }
    }
}
