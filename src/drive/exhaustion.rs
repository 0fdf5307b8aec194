//! What accept(2) says when it gives no connection, and when to ask it again.

use std::io::{self, ErrorKind};
use std::time::Duration;

use nix::errno::Errno;

use super::clock::Time;
use crate::report::Event;

/// How long to wait, after the kernel refused a connection, until it is asked again.
const RETRY: Duration = Duration::from_millis(50);
/// How long it must refuse none until that is told as over: at the limit, every client that goes makes room for one.
const CALM: Duration = Duration::from_secs(1);

/// Why there is no connection.
pub enum Refused {
    QueueEmpty,
    /// This connection is gone; the next may be well.
    Skip,
    /// The kernel, or this process, has no room for one.
    Exhausted(Errno),
}

impl From<&io::Error> for Refused {
    /// accept(2): errors of the connection that was waiting are passed on by it and are to be skipped.
    fn from(error: &io::Error) -> Self {
        if error.kind() == ErrorKind::WouldBlock {
            return Self::QueueEmpty;
        }
        match error.raw_os_error().map_or(Errno::EIO, Errno::from_raw) {
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
            | Errno::ETIMEDOUT => Self::Skip,
            errno => Self::Exhausted(errno),
        }
    }
}

/// Whether the kernel refuses us connections, and until when not to ask for any.
#[derive(Default)]
pub struct Exhaustion {
    /// Ask again at this time.
    paused: Option<Time>,
    /// When the kernel refused one last; `None` once that is told as over.
    refused: Option<Time>,
}

impl Exhaustion {
    /// When to ask again, if not at once.
    pub fn paused(&self) -> Option<Time> {
        self.paused
    }

    /// The kernel has refused one; what is to be told of it.
    pub fn refused(&mut self, reason: Errno, now: Time) -> Option<Event<'static>> {
        let first = self.refused.is_none();
        self.refused = Some(now);
        self.paused = Some(now.after(RETRY));
        first.then_some(Event::AcceptPaused { reason })
    }

    /// A descriptor has come free: do not wait for the retry.
    pub fn note_room(&mut self, now: Time) {
        if self.paused.is_some() {
            self.paused = Some(now);
        }
    }

    /// The queue has been emptied.
    pub fn queue_is_empty(&mut self) {
        self.paused = None;
    }

    /// When the kernel will have refused nobody for long enough, if the queue has been emptied since.
    pub fn calm_at(&self) -> Option<Time> {
        self.refused.filter(|_| self.paused.is_none()).map(|last| last.after(CALM))
    }

    /// What is to be told once it is calm.
    pub fn calm(&mut self, now: Time) -> Option<Event<'static>> {
        self.calm_at().filter(|&calm| calm <= now)?;
        self.refused = None;
        Some(Event::AcceptResumed)
    }
}
