//! All connections of a loop: the table, and what holds for all of them.

mod alarm;
mod deadlines;
mod ends;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod model;
mod opens;
mod reminders;
mod requests;
mod streams;
mod turns;

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use slab::Slab;

use super::clock::{Clock, Time};
use super::connection::{Connection, Limits};
use super::gauge::Gauge;
use super::stream::Stream;
use super::timers::Timers;
use crate::buffer::Buffer;
use crate::net::SocketOptions;
use crate::report::Reporter;
use crate::service::ConnectionId;
use crate::terminal::standard::Standard;
use alarm::Alarm;
use reminders::Reminders;

/// The read buffer in bytes, one for all connections.
const BUFFER: usize = 256 * 1024;
/// When so many bytes are unsent in all, a read takes a smaller piece, since it may have to be kept.
const MUCH_UNSENT: usize = 16 * 1024 * 1024;
const SMALL_READ: usize = 16 * 1024;
/// The table and the queue keep room for so many: enough to lie outside the heap, see `memory`.
const ROOM: usize = 1024;

/// What holds for every connection of a loop.
#[derive(Clone, Debug, Default)]
pub struct LoopSettings {
    /// How long a connection may stay as it is.
    pub limits: Limits,
    /// How long, after a stop, connections have to finish.
    pub drain: Duration,
    /// How long, after something happened, to ask for more without sleeping: a wakeup saved, a processor spent.
    pub spin: Duration,
    /// The most connections open at once, by the gauge; those beyond are told and closed.
    pub max_connections: Option<usize>,
    /// Counts the connections of all loops that have a clone of it.
    pub gauge: Gauge,
    /// For active opens.
    pub options: SocketOptions,
}

/// The table of connections and all that acts on it.
pub(super) struct Connections<S = TcpStream> {
    registry: Registry,
    reporter: Reporter,
    settings: LoopSettings,
    /// Only a program that holds a conversation has them.
    standard: Option<Box<Standard>>,
    clock: Clock,
    now: Time,
    table: Slab<Connection<S>>,
    generation: u32,
    /// With so few left, the table gives back what it grew to.
    shrink_at: usize,
    timers: Timers<(ConnectionId, Alarm)>,
    reminders: Reminders,
    /// When the service wants to be woken.
    wake_at: Option<Time>,
    /// Who has something to do, in order; each at most once.
    turns: VecDeque<ConnectionId>,
    buffer: Buffer,
    /// Unsent bytes of all together.
    unsent: usize,
    /// How many have ended so far: a descriptor came free each time.
    ended: u64,
    stopping: bool,
}

impl<S: Stream> Connections<S> {
    pub(super) fn new(registry: Registry, reporter: Reporter, settings: LoopSettings) -> Self {
        Self {
            registry,
            reporter,
            settings,
            standard: None,
            clock: Clock::start(),
            now: Time::default(),
            table: Slab::with_capacity(ROOM),
            generation: 0,
            shrink_at: 0,
            timers: Timers::new(),
            reminders: Reminders::default(),
            wake_at: None,
            turns: VecDeque::with_capacity(ROOM),
            buffer: Buffer::zeroed(BUFFER),
            unsent: 0,
            ended: 0,
            stopping: false,
        }
    }

    pub(super) fn now(&self) -> Time {
        self.now
    }

    pub(super) fn update_now(&mut self) {
        self.now = self.clock.now();
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn stopping(&self) -> bool {
        self.stopping
    }

    pub(super) fn ended(&self) -> u64 {
        self.ended
    }

    pub(super) fn spin(&self) -> Duration {
        self.settings.spin
    }

    pub(super) fn drain_limit(&self) -> Duration {
        self.settings.drain
    }

    /// When the loop must wake at the latest, if nothing happens.
    pub(super) fn due(&self) -> Option<Time> {
        let ready = self.standard.as_ref().is_some_and(|standard| standard.ready());
        if ready || !self.turns.is_empty() {
            return Some(self.now);
        }
        // The wait is rounded up to a millisecond: end it before the last one, and come back at once until then.
        let wake_at = self.wake_at.map(|at| at.before(Duration::from_millis(1)));
        [self.timers.earliest(), wake_at].into_iter().flatten().min()
    }

    fn get(&mut self, id: ConnectionId) -> Option<&mut Connection<S>> {
        let (index, generation) = parts(id);
        self.table.get_mut(index).filter(|connection| connection.generation == generation)
    }

    /// Puts a connection into the table and watches it.
    fn insert(&mut self, mut connection: Connection<S>) -> io::Result<ConnectionId> {
        self.generation = self.generation.wrapping_add(1);
        connection.generation = self.generation;
        let slot = self.table.vacant_entry();
        let id = id_of(slot.key(), self.generation);
        // PRIORITY: urgent data ends a read short of what is there, and only EPOLLPRI tells.
        let interests = Interest::READABLE | Interest::WRITABLE | Interest::PRIORITY;
        self.registry.register(connection.stream(), token(id), interests)?;
        slot.insert(connection);
        self.shrink_at = self.shrink_at.max(self.table.len() / 4);
        Ok(id)
    }

    fn ids(&self) -> Vec<ConnectionId> {
        self.table.iter().map(|(index, connection)| id_of(index, connection.generation)).collect()
    }
}

const _: () = assert!(usize::BITS == 64, "a token holds an index and a generation");

fn token(id: ConnectionId) -> Token {
    Token(id.number() as usize)
}

fn id_of(index: usize, generation: u32) -> ConnectionId {
    ConnectionId::new(u64::from(generation) << 32 | index as u64)
}

/// Where in the table, and which generation.
fn parts(id: ConnectionId) -> (usize, u32) {
    let number = id.number();
    ((number & u64::from(u32::MAX)) as usize, (number >> 32) as u32)
}
