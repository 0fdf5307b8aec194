//! One stream: what is unsent, which way is ready, which sides have finished, and its deadlines.

mod addresses;
mod deadlines;
mod limits;
mod unsent;

use std::io::{self, ErrorKind};

use nix::errno::Errno;

use super::clock::Time;
use super::stream::Stream;
use crate::net::FourTuple;
use crate::report::CloseReason;
use crate::service::Closed;
use addresses::Addresses;
use unsent::Unsent;

pub(crate) use limits::{Deadline, Limits};

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Readiness {
    pub readable: bool,
    /// A short read will not be the end of it: FIN or urgent data follows.
    pub more: bool,
    /// The remote side has sent FIN.
    pub ending: bool,
    pub writable: bool,
    pub errored: bool,
}

/// What one attempt to read brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReadOutcome {
    /// That many bytes stand at the buffer's beginning.
    Bytes(usize),
    Finished,
    /// Nothing now; an edge will tell.
    Nothing,
}

/// A stream and all that is known of it. It owns no buffer while nothing is unsent.
#[derive(Debug)]
pub(super) struct Connection<S> {
    stream: S,
    addresses: Addresses,
    unsent: Option<Box<Unsent>>,
    received: u64,
    sent: u64,
    opened: Time,
    last_received: Time,
    /// Tells this connection from one that had its place in the table before.
    pub generation: u32,
    pub connecting: bool,
    /// There may be something to read: the edge came and was not spent.
    readable: bool,
    /// The kernel may take bytes: it has not refused any since the last edge.
    writable: bool,
    /// A short read does not mean that nothing is left: FIN or urgent data follows.
    read_to_end: bool,
    /// The kernel has an error to tell.
    pub errored: bool,
    arriving: Arriving,
    ending: Ending,
    leaving: Leaving,
    /// Seldom there, so it costs the others a pointer only.
    failed: Option<Box<CloseReason>>,
    /// Its turn in the loop is booked.
    pub queued: bool,
    armed: [bool; 3],
}

/// What becomes of what the remote side sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arriving {
    /// It is read, for the service.
    Read,
    /// It waits in the kernel until the service resumes.
    Paused,
    /// It is read and thrown away.
    Discarded,
    /// There is no more: its FIN has been read.
    Finished,
}

/// How far our side has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    /// The service may send.
    Open,
    /// FIN follows the last unsent byte.
    Finishing,
    /// FIN was sent.
    Finished,
    /// close(2) follows the last unsent byte.
    Closing,
}

/// Whether the remote side has sent FIN, however much of what it sent before is unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Unknown,
    Known,
    Told,
}

impl<S: Stream> Connection<S> {
    pub(super) fn new(stream: S, tuple: FourTuple, now: Time) -> Self {
        Self {
            stream,
            addresses: tuple.into(),
            unsent: None,
            received: 0,
            sent: 0,
            opened: now,
            last_received: now,
            generation: 0,
            connecting: false,
            readable: false,
            writable: true,
            read_to_end: false,
            errored: false,
            arriving: Arriving::Read,
            ending: Ending::Unknown,
            leaving: Leaving::Open,
            failed: None,
            queued: false,
            armed: [false; 3],
        }
    }

    pub(super) fn connecting(stream: S, tuple: FourTuple, now: Time) -> Self {
        Self { connecting: true, ..Self::new(stream, tuple, now) }
    }

    pub(super) fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    pub(super) fn tuple(&self) -> FourTuple {
        self.addresses.tuple()
    }

    /// The kernel's answer to connect(2) has come, and it was yes.
    pub(super) fn established(&mut self, tuple: FourTuple, now: Time) {
        self.connecting = false;
        self.addresses = tuple.into();
        (self.opened, self.last_received) = (now, now);
    }

    pub(super) fn account(&self, reason: CloseReason, now: Time) -> Closed {
        Closed {
            tuple: self.tuple(),
            reason,
            received: self.received,
            sent: self.sent,
            duration: now.since(self.opened),
        }
    }

    pub(super) fn unsent(&self) -> usize {
        self.unsent.as_ref().map_or(0, |unsent| unsent.rest().len())
    }

    /// Notes what an event told.
    pub(super) fn note(&mut self, readiness: Readiness) {
        self.readable |= readiness.readable || readiness.more;
        self.read_to_end |= readiness.more;
        if readiness.ending && self.ending == Ending::Unknown {
            self.ending = Ending::Known;
        }
        self.writable |= readiness.writable;
        self.errored |= readiness.errored;
    }

    /// Whether the service is to be told now that the remote side has finished; not once it has read so far.
    pub(super) fn tell_ending(&mut self) -> bool {
        let known = self.ending == Ending::Known;
        if known {
            self.ending = Ending::Told;
        }
        known && matches!(self.arriving, Arriving::Read | Arriving::Paused) && self.failed.is_none()
    }

    /// Whether a read is due.
    pub(super) fn wants_read(&self) -> bool {
        let is_read = matches!(self.arriving, Arriving::Read | Arriving::Discarded);
        let ended = self.connecting || self.leaving == Leaving::Closing || self.failed.is_some();
        self.readable && is_read && !ended
    }

    pub(super) fn read(&mut self, buffer: &mut [u8], now: Time) -> ReadOutcome {
        loop {
            match self.stream.receive(buffer) {
                Ok(0) => {
                    self.readable = false;
                    self.arriving = Arriving::Finished;
                    return ReadOutcome::Finished;
                }
                Ok(length) => {
                    // A short read has emptied the socket, and with EPOLLET what comes next is a new edge.
                    self.readable = self.read_to_end || length == buffer.len();
                    self.received += length as u64;
                    self.last_received = now;
                    return ReadOutcome::Bytes(length);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.readable = false;
                    self.read_to_end = false;
                    self.fail_unless_would_block("recv", &error);
                    return ReadOutcome::Nothing;
                }
            }
        }
    }

    /// Writes what the kernel takes and keeps the rest; bytes after [`finish`](Self::finish) are dropped.
    pub(super) fn send(&mut self, bytes: &[u8], now: Time) {
        if self.leaving != Leaving::Open || self.failed.is_some() {
            return;
        }
        if let Some(unsent) = &mut self.unsent {
            return unsent.append(bytes);
        }
        let taken = if self.connecting { 0 } else { self.write(bytes) };
        match bytes.get(taken..) {
            Some(rest) if !rest.is_empty() => {
                self.unsent = Some(Box::new(Unsent::new(rest, now)));
            }
            _ => {}
        }
    }

    /// Writes what is unsent where an edge allows it, and says whether the last of it has gone now.
    pub(super) fn flush(&mut self, now: Time) -> bool {
        if !self.writable || self.failed.is_some() {
            return false;
        }
        let Some(mut unsent) = self.unsent.take() else { return false };
        let written = self.write(unsent.rest());
        if written > 0 {
            unsent.take(written, now);
        }
        if unsent.rest().is_empty() {
            return true;
        }
        self.unsent = Some(unsent);
        false
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match self.stream.send(rest) {
                Ok(length) => written += length,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.writable = false;
                    self.fail_unless_would_block("send", &error);
                    break;
                }
            }
        }
        self.sent += written as u64;
        written
    }

    fn fail_unless_would_block(&mut self, call: &'static str, error: &io::Error) {
        if error.kind() != ErrorKind::WouldBlock {
            self.fail(reason_of(call, error));
        }
    }

    /// Ends the connection at the end of its turn; what is unsent is lost.
    fn fail(&mut self, reason: CloseReason) {
        self.failed.get_or_insert_with(|| Box::new(reason));
    }

    /// Takes the error that an event announced, where no read or write will meet it.
    pub(super) fn check_error(&mut self) {
        self.errored = false;
        match self.stream.take_error() {
            Ok(None) => {}
            Ok(Some(error)) => self.fail(reason_of("recv", &error)),
            Err(error) => self.fail(reason_of("getsockopt", &error)),
        }
    }

    /// Sends FIN once nothing is unsent.
    pub(super) fn finish(&mut self) {
        if self.leaving == Leaving::Open {
            self.leaving = Leaving::Finishing;
        }
    }

    /// Closes once nothing is unsent.
    pub(super) fn close(&mut self) {
        self.leaving = Leaving::Closing;
    }

    /// Closes now, with RST; what is unsent is lost.
    pub(super) fn abort(&mut self) {
        self.fail(CloseReason::Abort);
    }

    /// Does what was waiting for the last unsent byte, and says why the connection is over, if it is.
    pub(super) fn settle(&mut self) -> Option<CloseReason> {
        if self.failed.is_some() || self.unsent.is_some() || self.connecting {
            return self.failed.as_deref().copied();
        }
        match (self.leaving, self.arriving) {
            (Leaving::Closing, _) => Some(CloseReason::Local),
            // Where the remote side finished first, close(2) sends our FIN and shutdown(2) is saved.
            (Leaving::Finishing | Leaving::Finished, Arriving::Finished) => Some(CloseReason::Fin),
            (Leaving::Finishing, _) => {
                self.send_fin();
                self.failed.as_deref().copied()
            }
            (Leaving::Open | Leaving::Finished, _) => None,
        }
    }

    fn send_fin(&mut self) {
        self.leaving = Leaving::Finished;
        if let Err(error) = self.stream.finish() {
            // After RST shutdown(2) says ENOTCONN, and SO_ERROR still says why.
            self.check_error();
            self.fail(reason_of("shutdown", &error));
        }
    }

    /// Whether the deadline for a byte to arrive runs.
    fn awaits_bytes(&self) -> bool {
        !self.connecting && matches!(self.arriving, Arriving::Read | Arriving::Discarded)
    }

    /// Leaves what arrives in the kernel; what is thrown away or has ended cannot wait.
    pub(super) fn pause(&mut self) {
        if self.arriving == Arriving::Read {
            self.arriving = Arriving::Paused;
        }
    }

    pub(super) fn resume(&mut self, now: Time) {
        if self.arriving == Arriving::Paused {
            self.arriving = Arriving::Read;
        }
        self.last_received = now;
    }

    /// Throws away what arrives from now on, for its end alone is waited for.
    pub(super) fn discard(&mut self, now: Time) {
        if self.arriving == Arriving::Paused {
            self.last_received = now;
        }
        if self.arriving != Arriving::Finished {
            self.arriving = Arriving::Discarded;
        }
    }

    pub(super) fn is_discarding(&self) -> bool {
        self.arriving == Arriving::Discarded
    }
}

/// EPIPE on a socket that we have not finished means that RST came: the first call after it said so.
pub(super) fn reason_of(call: &'static str, error: &io::Error) -> CloseReason {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ECONNRESET | Errno::EPIPE) => CloseReason::Reset,
        Some(errno) => CloseReason::Failed(call, errno),
        None => CloseReason::Failed(call, Errno::EIO),
    }
}
