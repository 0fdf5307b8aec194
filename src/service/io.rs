//! What a service hears from its driver, and what it asks of it.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::net::FourTuple;
use crate::report::{CloseReason, Event};

/// Names a connection to its driver. Not used again while anything may still name it.
///
/// Only a driver makes one up; a service uses it to look up what it keeps of the connection:
///
/// ```
/// use std::collections::HashMap;
/// use fourtuple::ConnectionId;
///
/// let mut received: HashMap<ConnectionId, usize> = HashMap::new();
/// *received.entry(ConnectionId::new(7)).or_default() += 5;
/// assert_eq!(received[&ConnectionId::new(7)], 5);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(u64);

impl ConnectionId {
    /// The id that a driver has made up.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The driver's number back.
    pub fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:x}", self.0)
    }
}

/// What a service can ask to be reminded of, once at a time for each connection. Each names its own.
///
/// ```
/// use fourtuple::Timer;
///
/// const ANSWER: Timer = Timer::named("answer");
/// assert_eq!(format!("{ANSWER:?}"), "answer");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timer([u8; 7]);

impl Timer {
    /// The timer of this name, seven bytes at most: a driver keeps it by the hundred thousand.
    ///
    /// # Panics
    ///
    /// Where the name is longer: as a constant it is not compiled.
    pub const fn named(name: &str) -> Self {
        let mut bytes = [0; 7];
        bytes.split_at_mut(name.len()).0.copy_from_slice(name.as_bytes());
        Self(bytes)
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.split(|byte| *byte == 0).next().unwrap_or_default();
        f.write_str(&String::from_utf8_lossy(name))
    }
}

/// What standard input brings.
#[derive(Debug)]
pub enum Input<'a> {
    /// Bytes, in order; never none.
    Bytes(&'a [u8]),
    /// The terminal that keys come from is so many columns wide, and may show something else than it did.
    Columns(usize),
    /// Its end.
    End,
    /// It cannot be read any more.
    Failed(Error),
}

/// What somebody outside asks of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT or SIGTERM, the first one: come to an end. The second ends the driver itself.
    Stop,
    /// SIGUSR1: say goodbye, then come to an end.
    Goodbye,
    /// SIGUSR2: tell how you are.
    Status,
}

/// The account of a connection that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// What it was.
    pub tuple: FourTuple,
    /// Why it ended.
    pub reason: CloseReason,
    /// Bytes read.
    pub received: u64,
    /// Bytes that the kernel took.
    pub sent: u64,
    /// From its open to its end.
    pub duration: Duration,
}

impl Closed {
    /// The event that tells of it.
    pub fn event(&self) -> Event<'static> {
        Event::Closed {
            local: self.tuple.local,
            remote: self.tuple.remote,
            reason: self.reason,
            received: self.received,
            sent: self.sent,
            duration: self.duration,
        }
    }
}

/// What a driver tells of its connections. Every call may act through `io`, on any connection.
///
/// A server that answers after a while, and counts how its connections ended:
///
/// ```
/// use std::time::Duration;
/// use fourtuple::{CloseReason, Closed, ConnectionId, FourTuple, Input, Io, Service, Signal, Timer};
///
/// /// An answer is due.
/// const ANSWER: Timer = Timer::named("answer");
///
/// #[derive(Default)]
/// struct Slow {
///     ended_well: usize,
/// }
///
/// impl Service for Slow {
///     fn opened(&mut self, io: &mut dyn Io, id: ConnectionId, _: FourTuple) {
///         io.after(id, ANSWER, Duration::from_millis(200));
///     }
///
///     fn received(&mut self, _: &mut dyn Io, _: ConnectionId, _: &[u8]) {}
///
///     fn timer(&mut self, io: &mut dyn Io, id: ConnectionId, _: Timer) {
///         io.send(id, b"at last\n");
///         io.finish(id);
///     }
///
///     fn input(&mut self, io: &mut dyn Io, input: Input<'_>) {
///         if let Input::End = input {
///             io.stop();
///         }
///     }
///
///     fn signal(&mut self, io: &mut dyn Io, signal: Signal) {
///         assert_ne!(signal, Signal::Status, "not asked for");
///         io.stop();
///     }
///
///     fn closed(&mut self, _: &mut dyn Io, _: ConnectionId, account: Closed) {
///         self.ended_well += usize::from(account.reason == CloseReason::Fin);
///     }
/// }
/// ```
pub trait Service {
    /// The driver is ready: open what is to be opened.
    ///
    /// # Errors
    ///
    /// What keeps the program from its work; the driver ends with it.
    fn start(&mut self, _io: &mut dyn Io) -> Result<()> {
        Ok(())
    }

    /// The connection is ESTABLISHED.
    fn opened(&mut self, _io: &mut dyn Io, _id: ConnectionId, _tuple: FourTuple) {}

    /// Bytes arrived, in order; never none.
    fn received(&mut self, io: &mut dyn Io, id: ConnectionId, bytes: &[u8]);

    /// The remote side has sent FIN, and some of what it sent before may be unread still, paused or not. Told once.
    fn ending(&mut self, _io: &mut dyn Io, _id: ConnectionId) {}

    /// The remote side sent FIN: no more bytes will arrive.
    fn finished(&mut self, io: &mut dyn Io, id: ConnectionId) {
        io.finish(id);
    }

    /// All that was unsent has gone to the kernel.
    fn drained(&mut self, _io: &mut dyn Io, _id: ConnectionId) {}

    /// The delay asked for with [`Io::after`] is over.
    fn timer(&mut self, _io: &mut dyn Io, _id: ConnectionId, _timer: Timer) {}

    /// The delay asked for with [`Io::wake_after`] is over.
    fn woken(&mut self, _io: &mut dyn Io) {}

    /// An active open came to nothing; the id is void.
    fn failed(&mut self, _io: &mut dyn Io, _id: ConnectionId, _error: Error) {}

    /// Standard input brought something; see [`Io::resume_input`].
    fn input(&mut self, _io: &mut dyn Io, _input: Input<'_>) {}

    /// All that was given to [`Io::write`] has been written; or it cannot be, and is lost with all that follows.
    fn written(&mut self, _io: &mut dyn Io, _outcome: Result<()>) {}

    /// Somebody outside asks for something.
    fn signal(&mut self, io: &mut dyn Io, signal: Signal) {
        if signal != Signal::Status {
            io.stop();
        }
    }

    /// The connection is no more; the id is void.
    fn closed(&mut self, _io: &mut dyn Io, _id: ConnectionId, _account: Closed) {}

    /// The most bytes sent for one that was received: reads are so much shorter, so that what is unsent stays bounded.
    fn growth(&self) -> usize {
        1
    }
}

/// What a service asks of its driver. A call on an id that is void does nothing.
pub trait Io {
    /// Begins an active open from `local` to `remote`; [`Service::opened`] or [`Service::failed`] tells its outcome.
    ///
    /// # Errors
    ///
    /// What `socket`, `bind` and `connect` know at once, see [`crate::net::bind`].
    fn open(&mut self, local: SocketAddr, remote: SocketAddr) -> Result<ConnectionId>;

    /// Sends bytes, and returns how many of this connection's bytes the kernel has not taken yet.
    ///
    /// They are kept and sent later, in order. Bytes after [`finish`](Self::finish) are not sent.
    fn send(&mut self, id: ConnectionId, bytes: &[u8]) -> usize;

    /// Asks for [`Service::timer`] after `delay`, in place of what was asked for this timer before.
    fn after(&mut self, id: ConnectionId, timer: Timer, delay: Duration);

    /// Takes [`after`](Self::after) back.
    fn cancel(&mut self, id: ConnectionId, timer: Timer);

    /// Asks for [`Service::woken`] after `delay`, in place of what was asked before.
    ///
    /// The driver does not sleep through the last millisecond, so it is on time to some microseconds.
    fn wake_after(&mut self, delay: Duration);

    /// Sends FIN once nothing is unsent; bytes still arrive until the remote side finishes too.
    fn finish(&mut self, id: ConnectionId);

    /// Closes once nothing is unsent, without waiting for the remote side to finish.
    fn close(&mut self, id: ConnectionId);

    /// Closes now, with RST; what is unsent is lost.
    fn abort(&mut self, id: ConnectionId);

    /// Stops reading: what arrives stays in the kernel.
    fn pause(&mut self, id: ConnectionId);

    /// Reads again.
    fn resume(&mut self, id: ConnectionId);

    /// Writes bytes to standard output, and returns how many wait there. They are never dropped.
    fn write(&mut self, bytes: &[u8]) -> usize;

    /// Stops taking from standard input; at first nothing is taken.
    fn pause_input(&mut self);

    /// Takes from standard input: [`Service::input`] tells what comes.
    fn resume_input(&mut self);

    /// Prints an event.
    fn report(&mut self, event: &Event);

    /// How many connections are open.
    fn open_connections(&self) -> usize;

    /// Ends the driver: no more connections are accepted, each open one is finished and what it still
    /// receives is thrown away; those left when the drain limit is over are aborted.
    fn stop(&mut self);
}
