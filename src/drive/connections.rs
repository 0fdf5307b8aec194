//! All connections of a loop: the table, their timers, whose turn it is, and what a service may ask of them.

#[cfg(test)]
mod fake;
#[cfg(test)]
mod model;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use nix::errno::Errno;
use slab::Slab;
use socket2::{SockRef, Socket};

use super::clock::{Clock, Time};
use super::connection::{Connection, Deadline, Limits, ReadOutcome, Readiness, Stream};
use super::gauge::Gauge;
use super::memory::give_back_free_pages;
use super::timers::Timers;
use crate::error::{Error, Result};
use crate::net::{FourTuple, SocketOptions, bind, local_address};
use crate::report::{CloseReason, Event, Refusal, Reporter, Short, Verbosity};
use crate::service::{ConnectionId, Io, Service, Timer};

/// The read buffer in bytes, one for all connections.
const BUFFER: usize = 256 * 1024;
/// When so many bytes are unsent in all, a read takes a smaller piece, since it may have to be kept.
const MUCH_UNSENT: usize = 16 * 1024 * 1024;
const SMALL_READ: usize = 16 * 1024;
/// The table and the queue keep room for so many: enough to lie outside the heap, see `memory`.
const ROOM: usize = 1024;

/// What holds for every connection of a loop.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// How long a connection may stay as it is.
    pub limits: Limits,
    /// How long, after a stop, connections have to finish.
    pub drain: Duration,
    /// The most connections open at once, by the gauge; those beyond are told and closed.
    pub max_connections: Option<usize>,
    /// Counts the connections of all loops that have a clone of it.
    pub gauge: Gauge,
    /// For active opens.
    pub options: SocketOptions,
}

impl Stream for TcpStream {
    fn watched(socket: Socket) -> Self {
        Self::from_std(socket.into())
    }

    fn local(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }

    fn remote(&self) -> io::Result<SocketAddr> {
        self.peer_addr()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.shutdown(std::net::Shutdown::Write)
    }

    fn take_error(&mut self) -> io::Result<Option<io::Error>> {
        TcpStream::take_error(self)
    }

    fn reset_on_close(&mut self) {
        let _ = SockRef::from(&*self).set_linger(Some(Duration::ZERO));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Alarm {
    Deadline(Deadline),
    Service(Timer),
}

/// The table of connections and all that acts on it.
pub struct Connections<S = TcpStream> {
    registry: Registry,
    reporter: Reporter,
    settings: Settings,
    clock: Clock,
    now: Time,
    table: Slab<Connection<S>>,
    generation: u32,
    /// With so few left, the table gives back what it grew to.
    shrink_at: usize,
    timers: Timers<(ConnectionId, Alarm)>,
    service_timers: HashMap<(ConnectionId, Timer), Time>,
    /// Who has something to do, in order; each at most once.
    turns: VecDeque<ConnectionId>,
    buffer: Vec<u8>,
    /// Unsent bytes of all together.
    unsent: usize,
    /// How many have ended so far: a descriptor came free each time.
    ended: u64,
    stopping: bool,
}

impl<S: Stream> Connections<S> {
    pub fn new(registry: Registry, reporter: Reporter, settings: Settings) -> Self {
        Self {
            registry,
            reporter,
            settings,
            clock: Clock::start(),
            now: Time::default(),
            table: Slab::with_capacity(ROOM),
            generation: 0,
            shrink_at: 0,
            timers: Timers::new(),
            service_timers: HashMap::new(),
            turns: VecDeque::with_capacity(ROOM),
            buffer: vec![0; BUFFER],
            unsent: 0,
            ended: 0,
            stopping: false,
        }
    }

    pub fn now(&self) -> Time {
        self.now
    }

    pub fn update_now(&mut self) {
        self.now = self.clock.now();
    }

    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn stopping(&self) -> bool {
        self.stopping
    }

    pub fn ended(&self) -> u64 {
        self.ended
    }

    pub fn drain_limit(&self) -> Duration {
        self.settings.drain
    }

    /// When the loop must wake at the latest, if nothing happens.
    pub fn due(&self) -> Option<Time> {
        if self.turns.is_empty() { self.timers.earliest() } else { Some(self.now) }
    }

    fn get(&mut self, id: ConnectionId) -> Option<&mut Connection<S>> {
        let (index, generation) = parts(id);
        self.table.get_mut(index).filter(|connection| connection.generation == generation)
    }

    /// Takes on an accepted stream, or refuses it.
    pub fn adopt(&mut self, service: &mut dyn Service, stream: S, listening: SocketAddr, remote: SocketAddr) {
        let refuse = |reporter: &Reporter, local, reason| {
            reporter.report(&Event::Refused { local, remote, reason });
        };
        if !self.settings.gauge.enter(self.settings.max_connections) {
            return refuse(&self.reporter, listening, Refusal::MaxConnections);
        }
        // Only a wildcard listener must ask which address the client meant.
        let local = match listening.ip().is_unspecified() {
            true => stream.local(),
            false => Ok(listening),
        };
        let outcome = local.and_then(|local| {
            let tuple = FourTuple { local, remote };
            Ok((self.insert(Connection::new(stream, tuple, self.now))?, tuple))
        });
        match outcome {
            Ok((id, tuple)) => {
                service.opened(self, id, tuple);
                self.settle(service, id);
            }
            Err(error) => {
                self.settings.gauge.leave();
                refuse(&self.reporter, listening, Refusal::Failed(errno_of(&error)));
            }
        }
    }

    /// Puts a connection into the table and watches it.
    fn insert(&mut self, mut connection: Connection<S>) -> io::Result<ConnectionId> {
        self.generation = self.generation.wrapping_add(1);
        connection.generation = self.generation;
        let slot = self.table.vacant_entry();
        let id = ConnectionId::new(u64::from(self.generation) << 32 | slot.key() as u64);
        // PRIORITY: urgent data ends a read short of what is there, and only EPOLLPRI tells.
        let interests = Interest::READABLE | Interest::WRITABLE | Interest::PRIORITY;
        self.registry.register(connection.stream(), token(id), interests)?;
        slot.insert(connection);
        self.shrink_at = self.shrink_at.max(self.table.len() / 4);
        Ok(id)
    }

    /// Notes what epoll tells of a connection and gives it a turn.
    pub fn note(&mut self, event: &mio::event::Event) {
        let readiness = Readiness {
            readable: event.is_readable(),
            more: event.is_read_closed() || event.is_priority(),
            writable: event.is_writable(),
            errored: event.is_error(),
        };
        self.note_readiness(ConnectionId::new(event.token().0 as u64), readiness);
    }

    fn note_readiness(&mut self, id: ConnectionId, readiness: Readiness) {
        let Some(connection) = self.get(id) else { return };
        connection.note(readiness);
        self.enqueue(id);
    }

    fn enqueue(&mut self, id: ConnectionId) {
        if let Some(connection) = self.get(id)
            && !connection.queued
        {
            connection.queued = true;
            self.turns.push_back(id);
        }
    }

    /// Gives everyone waiting one turn.
    pub fn take_turns(&mut self, service: &mut dyn Service) {
        for _ in 0..self.turns.len() {
            if let Some(id) = self.turns.pop_front() {
                self.turn(service, id);
            }
        }
    }

    fn turn(&mut self, service: &mut dyn Service, id: ConnectionId) {
        let Some(connection) = self.get(id) else { return };
        if connection.connecting && !self.complete_open(service, id) {
            return;
        }
        self.flush(service, id);
        self.read(service, id);
        if let Some(connection) = self.get(id)
            && connection.errored
            && !connection.wants_read()
        {
            connection.check_error();
        }
        if let Some(connection) = self.get(id) {
            connection.queued = false;
        }
        self.settle(service, id);
    }

    fn flush(&mut self, service: &mut dyn Service, id: ConnectionId) {
        let now = self.now;
        let Some(connection) = self.get(id) else { return };
        let before = connection.unsent();
        let drained = connection.flush(now);
        let after = connection.unsent();
        self.unsent = self.unsent + after - before;
        if drained {
            service.drained(self, id);
        }
    }

    /// Reads once: whoever has more to read comes again after the others.
    fn read(&mut self, service: &mut dyn Service, id: ConnectionId) {
        let size = if self.unsent < MUCH_UNSENT { BUFFER } else { SMALL_READ };
        let mut buffer = std::mem::take(&mut self.buffer);
        let now = self.now;
        let verbose = self.reporter.tells(Verbosity::Verbose);
        if let Some(connection) = self.get(id)
            && connection.wants_read()
            && let Some(space) = buffer.get_mut(..size)
        {
            let outcome = connection.read(space, now);
            let discarding = connection.discarding;
            let tuple = verbose.then(|| connection.tuple());
            match outcome {
                ReadOutcome::Bytes(length) if !discarding => {
                    let bytes = buffer.get(..length).unwrap_or_default();
                    if let Some(FourTuple { local, remote }) = tuple {
                        self.report(&Event::Received { local, remote, bytes });
                    }
                    service.received(self, id, bytes);
                }
                ReadOutcome::Finished if !discarding => service.finished(self, id),
                _ => {}
            }
        }
        self.buffer = buffer;
    }

    /// Ends the connection if it is over, else sees to it that it is woken.
    fn settle(&mut self, service: &mut dyn Service, id: ConnectionId) {
        let Some(connection) = self.get(id) else { return };
        match connection.settle() {
            Some(reason) => self.end(service, id, reason),
            None => {
                if connection.wants_read() {
                    self.enqueue(id);
                }
                self.arm(id);
            }
        }
    }

    fn arm(&mut self, id: ConnectionId) {
        let limits = self.settings.limits;
        let Some(connection) = self.get(id) else { return };
        for (due, deadline) in connection.arm(&limits) {
            self.push_timer(due, id, Alarm::Deadline(deadline));
        }
    }

    fn push_timer(&mut self, due: Time, id: ConnectionId, alarm: Alarm) {
        let (table, asked) = (&self.table, &self.service_timers);
        self.timers.push(due, (id, alarm), |due, &key| stands(table, asked, due, key));
    }

    /// After a crowd has left: each halving of the number looks once, so it costs nothing that counts.
    fn shrink(&mut self) {
        self.shrink_at = self.table.len() / 2;
        self.table.shrink_to_fit();
        self.table.reserve(ROOM);
        self.turns.shrink_to_fit();
        self.turns.reserve(ROOM);
        let (table, asked) = (&self.table, &self.service_timers);
        self.timers.sweep(|due, &key| stands(table, asked, due, key));
        give_back_free_pages();
    }

    /// Takes a connection out of the table; its socket is closed when the caller drops it.
    fn remove(&mut self, id: ConnectionId) -> Option<Connection<S>> {
        self.get(id)?;
        let connection = self.table.try_remove(parts(id).0)?;
        if self.table.len() < self.shrink_at {
            self.shrink();
        }
        self.unsent -= connection.unsent();
        self.settings.gauge.leave();
        self.ended += 1;
        if !self.service_timers.is_empty() {
            self.service_timers.retain(|&(owner, _), _| owner != id);
        }
        Some(connection)
    }

    fn end(&mut self, service: &mut dyn Service, id: ConnectionId, reason: CloseReason) {
        let Some(mut connection) = self.remove(id) else { return };
        if matches!(reason, CloseReason::Abort | CloseReason::SendTimeout) {
            // RST instead of FIN: the kernel would go on trying to send to somebody who does not read.
            connection.stream().reset_on_close();
        }
        let account = connection.account(reason, self.now);
        drop(connection);
        service.closed(self, id, account);
    }

    /// Ends every connection now, with RST.
    pub fn abort_all(&mut self, service: &mut dyn Service) {
        for id in self.ids() {
            self.end(service, id, CloseReason::Abort);
        }
    }

    /// Finishes every connection, and throws away what they still send: closing with it unread would
    /// send RST, and the last of our bytes could be lost with it.
    pub fn finish_all(&mut self) {
        let now = self.now;
        for id in self.ids() {
            if let Some(connection) = self.get(id) {
                connection.discarding = true;
                if connection.paused {
                    connection.resume(now);
                }
                connection.finish();
                self.enqueue(id);
            }
        }
    }

    fn ids(&self) -> Vec<ConnectionId> {
        let id = |(index, connection): (usize, &Connection<_>)| {
            ConnectionId::new(u64::from(connection.generation) << 32 | index as u64)
        };
        self.table.iter().map(id).collect()
    }

    /// Learns the outcome of connect(2); true if the connection is ESTABLISHED.
    fn complete_open(&mut self, service: &mut dyn Service, id: ConnectionId) -> bool {
        let now = self.now;
        let Some(connection) = self.get(id) else { return false };
        connection.queued = false;
        match outcome_of_connect(connection.stream()) {
            Err((call, error)) => {
                self.fail_open(service, id, call, error);
                false
            }
            // Woken for another reason; SYN-SENT still.
            Ok(None) => {
                self.settle(service, id);
                false
            }
            Ok(Some(tuple)) => {
                connection.queued = true;
                connection.established(tuple, now);
                service.opened(self, id, tuple);
                true
            }
        }
    }

    fn fail_open(
        &mut self,
        service: &mut dyn Service,
        id: ConnectionId,
        call: &'static str,
        error: io::Error,
    ) {
        let Some(connection) = self.remove(id) else { return };
        let error = Error::new(call, connection.tuple(), error);
        drop(connection);
        service.failed(self, id, error);
    }

    /// Fires every timer that is due by `until`: up to then all that has arrived is known and read.
    pub fn fire_timers(&mut self, service: &mut dyn Service, until: Time) {
        while let Some((due, (id, alarm))) = self.timers.pop_due(until) {
            match alarm {
                Alarm::Deadline(deadline) => self.check_deadline(service, id, deadline, until),
                Alarm::Service(timer) => {
                    // Another due time: asked for again since, or cancelled.
                    if self.service_timers.get(&(id, timer)) == Some(&due) {
                        self.service_timers.remove(&(id, timer));
                        service.timer(self, id, timer);
                    }
                }
            }
        }
    }

    fn check_deadline(
        &mut self,
        service: &mut dyn Service,
        id: ConnectionId,
        deadline: Deadline,
        until: Time,
    ) {
        let limits = self.settings.limits;
        let Some(connection) = self.get(id) else { return };
        connection.disarm(deadline);
        match connection.due(deadline, &limits) {
            Some(due) if due <= until => match deadline {
                Deadline::Receive => self.end(service, id, CloseReason::ReceiveTimeout),
                Deadline::Send => self.end(service, id, CloseReason::SendTimeout),
                Deadline::Connect => {
                    let limit = Short(limits.connect.unwrap_or_default());
                    let words = format!("no answer to SYN within {limit} (--connect-timeout)");
                    self.fail_open(service, id, "connect", io::Error::other(words));
                }
            },
            _ => self.arm(id),
        }
    }

    fn begin_open(&mut self, local: SocketAddr, remote: SocketAddr) -> Result<ConnectionId> {
        let bound = bind(local, &self.settings.options)?;
        if bound.local().port() != 0 {
            self.reporter.report(&Event::Bound { local: bound.local() });
        }
        let tuple = FourTuple { local: bound.local(), remote };
        let socket = bound.connect(remote)?;
        let tuple = FourTuple { local: local_address(&socket)?, ..tuple };
        let stream = S::watched(socket);
        let id = self
            .insert(Connection::connecting(stream, tuple, self.now))
            .map_err(|error| Error::new("epoll_ctl", tuple, error))?;
        self.settings.gauge.enter(None);
        self.arm(id);
        Ok(id)
    }
}

impl<S: Stream> Io for Connections<S> {
    fn open(&mut self, local: SocketAddr, remote: SocketAddr) -> Result<ConnectionId> {
        self.begin_open(local, remote)
    }

    fn send(&mut self, id: ConnectionId, bytes: &[u8]) -> usize {
        let now = self.now;
        let Some(connection) = self.get(id) else { return 0 };
        let before = connection.unsent();
        connection.send(bytes, now);
        let after = connection.unsent();
        self.unsent += after - before;
        self.enqueue(id);
        after
    }

    fn after(&mut self, id: ConnectionId, timer: Timer, delay: Duration) {
        let due = self.now.after(delay);
        if self.get(id).is_some() && self.service_timers.insert((id, timer), due) != Some(due) {
            self.push_timer(due, id, Alarm::Service(timer));
        }
    }

    fn cancel(&mut self, id: ConnectionId, timer: Timer) {
        self.service_timers.remove(&(id, timer));
    }

    fn finish(&mut self, id: ConnectionId) {
        if let Some(connection) = self.get(id) {
            connection.finish();
            self.enqueue(id);
        }
    }

    fn close(&mut self, id: ConnectionId) {
        if let Some(connection) = self.get(id) {
            if connection.connecting {
                self.remove(id);
            } else {
                connection.close();
                self.enqueue(id);
            }
        }
    }

    fn abort(&mut self, id: ConnectionId) {
        if let Some(connection) = self.get(id) {
            connection.abort();
            self.enqueue(id);
        }
    }

    fn pause(&mut self, id: ConnectionId) {
        if let Some(connection) = self.get(id) {
            connection.pause();
        }
    }

    fn resume(&mut self, id: ConnectionId) {
        let now = self.now;
        if let Some(connection) = self.get(id) {
            connection.resume(now);
            self.enqueue(id);
        }
    }

    fn report(&mut self, event: &Event) {
        self.reporter.report(event);
    }

    fn open_connections(&self) -> usize {
        self.settings.gauge.open()
    }

    fn stop(&mut self) {
        self.stopping = true;
    }
}

const _: () = assert!(usize::BITS == 64, "a token holds an index and a generation");

fn token(id: ConnectionId) -> Token {
    Token(id.number() as usize)
}

/// Where in the table, and which generation.
fn parts(id: ConnectionId) -> (usize, u32) {
    let number = id.number();
    ((number & u64::from(u32::MAX)) as usize, (number >> 32) as u32)
}

/// Whether a timer's entry may still have something to say.
fn stands<S>(
    table: &Slab<Connection<S>>,
    asked: &HashMap<(ConnectionId, Timer), Time>,
    due: Time,
    (id, alarm): (ConnectionId, Alarm),
) -> bool {
    match alarm {
        Alarm::Service(timer) => asked.get(&(id, timer)) == Some(&due),
        Alarm::Deadline(_) => {
            let (index, generation) = parts(id);
            table.get(index).is_some_and(|connection| connection.generation == generation)
        }
    }
}

fn errno_of(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// The four-tuple if the connection stands, `None` while it is still in SYN-SENT; else the call that failed.
fn outcome_of_connect(
    stream: &mut impl Stream,
) -> std::result::Result<Option<FourTuple>, (&'static str, io::Error)> {
    if let Some(error) = stream.take_error().map_err(|error| ("getsockopt", error))? {
        return Err(("connect", error));
    }
    match stream.remote() {
        Ok(remote) => {
            let local = stream.local().map_err(|error| ("getsockname", error))?;
            Ok(Some(FourTuple { local, remote }))
        }
        Err(error) if errno_of(&error) == Errno::ENOTCONN => Ok(None),
        Err(error) => Err(("getpeername", error)),
    }
}
