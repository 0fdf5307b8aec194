//! The turns of connections over fake sockets, in random order, held against what must come of them: 10^6 steps in all.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use mio::{Poll, Registry};
use nix::errno::Errno;

use super::fake::{Fake, Kernel, Open, pattern};
use super::{Connection, Connections, Limits, LoopSettings, Time};
use crate::drive::connection::Readiness;
use crate::error::Error;
use crate::net::FourTuple;
use crate::report::{CloseReason, Reporter, Verbosity};
use crate::service::{Closed, ConnectionId, Io, Service, Signal, Timer};
use crate::tapes::make_a_million_steps;
use crate::text::Format;

/// What must hold of a connection, beside what its kernel checks by itself.
struct Standing {
    kernel: Rc<RefCell<Kernel>>,
    connecting: bool,
    /// Of the open, the latest byte or resume, the latest byte that left or the first that could not.
    opened: Time,
    received_at: Time,
    sent_at: Time,
    received: u64,
    /// It is known that the remote side has finished; read or not.
    ending: bool,
    finished: bool,
    discarding: bool,
    /// `drained` has to come.
    owed: bool,
    timers: BTreeMap<Timer, Time>,
}

impl Standing {
    fn new(kernel: &Rc<RefCell<Kernel>>, now: Time) -> Self {
        Self {
            kernel: Rc::clone(kernel),
            connecting: kernel.borrow().open == Open::SynSent,
            opened: now,
            received_at: now,
            sent_at: now,
            received: 0,
            ending: false,
            finished: false,
            discarding: false,
            owed: false,
            timers: BTreeMap::new(),
        }
    }

    fn receive_due(&self, limits: &Limits) -> Option<Time> {
        let kernel = self.kernel.borrow();
        let runs = !self.connecting && !kernel.paused && !kernel.fin_read;
        limits.receive.filter(|_| runs).map(|limit| self.received_at.after(limit))
    }

    fn send_due(&self, limits: &Limits) -> Option<Time> {
        let kernel = self.kernel.borrow();
        let since = self.sent_at.max(kernel.last_taken);
        limits.send.filter(|_| !self.connecting && kernel.unsent() > 0).map(|limit| since.after(limit))
    }

    fn connect_due(&self, limits: &Limits) -> Option<Time> {
        limits.connect.filter(|_| self.connecting).map(|limit| self.opened.after(limit))
    }

    fn dues(&self, limits: &Limits) -> impl Iterator<Item = Time> {
        let deadlines = [self.receive_due(limits), self.send_due(limits), self.connect_due(limits)];
        deadlines.into_iter().flatten().chain(self.timers.values().copied())
    }

    /// With no edge to come and no turn booked, nothing may be left to do.
    fn assert_nothing_to_do(&self, id: ConnectionId) {
        let kernel = self.kernel.borrow();
        let stuck = |what: &str| panic!("{id:?} is stuck: {what}\n{kernel:#?}");
        if kernel.failed.is_some() {
            stuck("it has failed");
        }
        if self.connecting {
            assert_eq!(kernel.open, Open::SynSent, "{id:?} is stuck: connect(2) has its outcome");
            return;
        }
        if kernel.error.is_some() {
            stuck("an error waits");
        }
        let may_read = !kernel.paused && !kernel.close_asked && !kernel.fin_read;
        if may_read && kernel.has_something_to_read() {
            stuck("there is something to read");
        }
        if kernel.fin && !self.discarding && !self.ending {
            stuck("nobody was told that it ends");
        }
        if kernel.unsent() > 0 {
            return if kernel.is_writable() {
                stuck("unsent bytes could leave")
            };
        }
        if self.owed {
            stuck("nobody was told that all has gone");
        }
        if kernel.close_asked || kernel.finish_asked && kernel.fin_read {
            stuck("it is over");
        }
        if kernel.finish_asked && !kernel.shut {
            stuck("FIN is due");
        }
    }
}

/// A service that does what the tape says, from within its callbacks too, and knows what it must be told.
struct Scripted {
    tape: std::vec::IntoIter<u32>,
    steps: u64,
    now: Rc<Cell<Time>>,
    limits: Limits,
    kernels: Vec<Rc<RefCell<Kernel>>>,
    standing: BTreeMap<ConnectionId, Standing>,
    gone: Vec<ConnectionId>,
    /// Everybody is being aborted.
    aborting: bool,
}

impl Scripted {
    fn draw(&mut self, below: u32) -> u32 {
        self.tape.next().unwrap_or(0) % below
    }

    /// Mostly a few bytes, at times many, at times what fills a read buffer to the last byte.
    fn length(&mut self) -> u64 {
        let size = self.draw(64 * 1024);
        match size % 64 {
            0 => u64::from(size) * 8,
            1 => super::BUFFER as u64,
            _ => u64::from(size / 512),
        }
    }

    fn one_standing(&mut self) -> Option<ConnectionId> {
        let count = self.standing.len().max(1) as u32;
        let index = self.draw(count) as usize;
        self.standing.keys().nth(index).copied()
    }

    fn kernel(&self, id: ConnectionId) -> Option<Rc<RefCell<Kernel>>> {
        self.standing.get(&id).map(|standing| Rc::clone(&standing.kernel))
    }

    /// The remote side, the network or the kernel does something.
    fn remote(&mut self, id: ConnectionId) {
        let Some(kernel) = self.kernel(id) else { return };
        self.steps += 1;
        let length = self.length();
        let (what, number) = (self.draw(32), u64::from(self.draw(1_000)));
        let mut kernel = kernel.borrow_mut();
        match what {
            0..8 if kernel.unread() < 256 * 1024 => kernel.arrive(length, false),
            8..10 => kernel.arrive(number, true),
            10 => kernel.remote_finish(),
            11 if number < 300 => kernel.die(Errno::ECONNRESET),
            11 if number < 400 => kernel.die(Errno::ETIMEDOUT),
            12..20 => kernel.acknowledge(number),
            20 => kernel.acknowledge(u64::MAX / 2),
            21..24 => kernel.set_room(number.max(1)),
            24..26 => kernel.bite = number.max(1),
            26 => kernel.bite = u64::MAX,
            27 => kernel.interrupts = 1 + number as u32 % 3,
            28 => kernel.woken = true,
            _ if kernel.open == Open::SynSent => (kernel.open, kernel.woken) = (Open::Done, true),
            _ => {}
        }
    }

    /// The service asks for something.
    fn act(&mut self, io: &mut dyn Io, id: ConnectionId) {
        self.steps += 1;
        let (what, delay) = (self.draw(32), Duration::from_micros(1 + u64::from(self.draw(5_000))));
        let timer = if what % 2 == 0 { Timer::named("even") } else { Timer::named("odd") };
        match what {
            0..4 => {}
            4..12 => self.send(io, id),
            12..14 => self.pause(io, id),
            14..18 => self.resume(io, id),
            18 if delay.as_micros() % 4 == 0 => self.finish(io, id),
            19 if delay.as_micros() % 8 == 0 => self.close(io, id),
            20 if delay.as_micros() % 8 == 0 => self.abort(io, id),
            21..25 => {
                io.after(id, timer, delay);
                let due = self.now.get().after(delay);
                if let Some(standing) = self.standing.get_mut(&id) {
                    standing.timers.insert(timer, due);
                }
            }
            25 => {
                io.cancel(id, timer);
                if let Some(standing) = self.standing.get_mut(&id) {
                    standing.timers.remove(&timer);
                }
            }
            _ => self.remote(id),
        }
    }

    fn send(&mut self, io: &mut dyn Io, id: ConnectionId) {
        let length = self.length();
        let Some(kernel) = self.kernel(id) else { return assert_eq!(io.send(id, b"void"), 0) };
        let (from, before, heard) = {
            let mut kernel = kernel.borrow_mut();
            let heard = !kernel.finish_asked && !kernel.close_asked && kernel.failed.is_none();
            let (from, before) = (kernel.offered, kernel.unsent());
            kernel.offered += if heard { length } else { 0 };
            (from, before, heard)
        };
        let unsent = io.send(id, pattern(from, length)) as u64;
        assert_eq!(unsent, kernel.borrow().unsent(), "what send says of {id:?}");
        if let Some(standing) = self.standing.get_mut(&id)
            && heard
            && before == 0
            && unsent > 0
        {
            (standing.owed, standing.sent_at) = (true, self.now.get());
        }
    }

    fn pause(&mut self, io: &mut dyn Io, id: ConnectionId) {
        io.pause(id);
        // What is thrown away cannot wait.
        if let Some(standing) = self.standing.get_mut(&id).filter(|standing| !standing.discarding) {
            standing.kernel.borrow_mut().paused = true;
        }
    }

    fn resume(&mut self, io: &mut dyn Io, id: ConnectionId) {
        io.resume(id);
        self.note_resumed(id);
    }

    fn note_resumed(&mut self, id: ConnectionId) {
        if let Some(standing) = self.standing.get_mut(&id) {
            standing.received_at = self.now.get();
            standing.kernel.borrow_mut().paused = false;
        }
    }

    fn finish(&mut self, io: &mut dyn Io, id: ConnectionId) {
        io.finish(id);
        if let Some(kernel) = self.kernel(id) {
            kernel.borrow_mut().finish_asked = true;
        }
    }

    fn close(&mut self, io: &mut dyn Io, id: ConnectionId) {
        io.close(id);
        let Some(standing) = self.standing.get(&id) else { return };
        standing.kernel.borrow_mut().close_asked = true;
        // Nobody is told: in SYN-SENT there is nothing to tell of.
        if standing.connecting {
            self.remove(id);
        }
    }

    fn abort(&mut self, io: &mut dyn Io, id: ConnectionId) {
        io.abort(id);
        if let Some(kernel) = self.kernel(id) {
            kernel.borrow_mut().fail(CloseReason::Abort);
        }
    }

    fn remove(&mut self, id: ConnectionId) -> Standing {
        let standing = self.standing.remove(&id).expect("told of a connection that stands");
        assert!(standing.kernel.borrow().closed, "{id:?} is over, and its socket is open");
        self.gone.push(id);
        standing
    }

    /// Something happened to `id`; do something, mostly to it.
    fn react(&mut self, io: &mut dyn Io, id: ConnectionId) {
        self.act(io, id);
        if self.draw(4) == 1
            && let Some(other) = self.one_standing()
        {
            self.act(io, other);
        }
    }
}

impl Service for Scripted {
    fn opened(&mut self, io: &mut dyn Io, id: ConnectionId, tuple: FourTuple) {
        let now = self.now.get();
        let kernel = Rc::clone(&self.kernels[usize::from(tuple.remote.port()) - 1]);
        let standing = self.standing.entry(id).or_insert_with(|| Standing::new(&kernel, now));
        assert!(Rc::ptr_eq(&kernel, &standing.kernel), "another's four-tuple");
        (standing.connecting, standing.opened, standing.received_at) = (false, now, now);
        self.react(io, id);
    }

    fn received(&mut self, io: &mut dyn Io, id: ConnectionId, bytes: &[u8]) {
        let standing = self.standing.get_mut(&id).expect("bytes for one that stands");
        let length = bytes.len() as u64;
        assert!(length > 0 && !standing.finished && !standing.discarding && !standing.connecting);
        assert!(bytes == pattern(standing.received, length), "other bytes than arrived");
        standing.received += length;
        standing.received_at = self.now.get();
        self.react(io, id);
    }

    fn ending(&mut self, io: &mut dyn Io, id: ConnectionId) {
        let standing = self.standing.get_mut(&id).expect("one that stands");
        assert!(!standing.finished && !standing.discarding && !standing.connecting);
        assert!(!std::mem::replace(&mut standing.ending, true), "told twice that it ends");
        let kernel = self.kernel(id).expect("it stands");
        assert!(kernel.borrow().fin || kernel.borrow().dead, "told that it ends, and it does not");
        self.react(io, id);
    }

    fn finished(&mut self, io: &mut dyn Io, id: ConnectionId) {
        let standing = self.standing.get_mut(&id).expect("the end of one that stands");
        standing.ending = true;
        assert!(!std::mem::replace(&mut standing.finished, true), "finished twice");
        let kernel = self.kernel(id).expect("it stands");
        assert_eq!(kernel.borrow().unread(), 0, "finished before the last byte");
        if self.draw(4) < 3 {
            self.finish(io, id);
        }
        self.react(io, id);
    }

    fn drained(&mut self, io: &mut dyn Io, id: ConnectionId) {
        let standing = self.standing.get_mut(&id).expect("one that stands");
        assert!(std::mem::replace(&mut standing.owed, false), "drained, and nothing was unsent");
        assert_eq!(standing.kernel.borrow().unsent(), 0, "drained before the last byte");
        self.react(io, id);
    }

    fn timer(&mut self, io: &mut dyn Io, id: ConnectionId, timer: Timer) {
        let standing = self.standing.get_mut(&id).expect("a timer of one that stands");
        let due = standing.timers.remove(&timer).expect("a timer that was asked for");
        assert!(due <= self.now.get(), "{timer:?} is early");
        self.react(io, id);
    }

    fn failed(&mut self, io: &mut dyn Io, id: ConnectionId, _: Error) {
        let standing = self.remove(id);
        assert!(standing.connecting);
        let overdue = standing.connect_due(&self.limits).is_some_and(|due| due <= self.now.get());
        assert!(overdue || standing.kernel.borrow().dead, "an open failed without a reason");
        self.react(io, id);
    }

    fn signal(&mut self, _: &mut dyn Io, _: Signal) {}

    fn closed(&mut self, io: &mut dyn Io, id: ConnectionId, account: Closed) {
        let standing = self.remove(id);
        let now = self.now.get();
        let passed = |due: Option<Time>| due.is_some_and(|due| due <= now);
        let kernel = standing.kernel.borrow();
        let right = match account.reason {
            CloseReason::ReceiveTimeout => passed(standing.receive_due(&self.limits)),
            CloseReason::SendTimeout => passed(standing.send_due(&self.limits)),
            CloseReason::Abort if self.aborting => true,
            reason if kernel.failed.is_some() => kernel.failed == Some(reason),
            CloseReason::Fin => kernel.finish_asked && kernel.fin_read && kernel.unsent() == 0,
            CloseReason::Local => kernel.close_asked && kernel.unsent() == 0,
            _ => false,
        };
        assert!(right, "{id:?} closed for another reason: {account:?}\n{kernel:#?}");
        let abortive = matches!(account.reason, CloseReason::Abort | CloseReason::SendTimeout);
        assert_eq!(kernel.reset_on_close, abortive, "{id:?}: FIN or RST at its end");
        assert_eq!((account.received, account.sent), (kernel.read, kernel.taken), "the account of {id:?}");
        assert_eq!(account.duration, now.since(standing.opened));
        drop(kernel);
        self.react(io, id);
    }
}

struct World {
    connections: Connections<Fake>,
    service: Scripted,
    /// The most connections at once.
    most: usize,
}

impl World {
    fn new(registry: &Registry, reporter: &Reporter, tape: Vec<u32>) -> Self {
        let now = Rc::new(Cell::new(Time::default()));
        let mut service = Scripted {
            tape: tape.into_iter(),
            steps: 0,
            now,
            limits: Limits::default(),
            kernels: Vec::new(),
            standing: BTreeMap::new(),
            gone: Vec::new(),
            aborting: false,
        };
        let mut limit = |longest| (service.draw(3) > 0).then(|| Duration::from_micros(longest));
        let limits = Limits { receive: limit(100_000), send: limit(50_000), connect: limit(20_000) };
        service.limits = limits;
        let most = [2, 6, 6, 24][service.draw(4) as usize];
        let registry = registry.try_clone().expect("dup");
        let settings = LoopSettings { limits, ..LoopSettings::default() };
        Self { connections: Connections::new(registry, reporter.clone(), settings), service, most }
    }

    fn step(&mut self) {
        let what = self.service.draw(1_024);
        if what == 1_023 {
            return self.crowd_leaves();
        }
        let what = what % 16;
        if what >= 14 {
            return self.open();
        }
        let Some(id) = self.service.one_standing() else { return self.open() };
        match what {
            0..5 => self.go_round(),
            5..9 => self.service.act(&mut self.connections, id),
            9..13 => self.service.remote(id),
            _ => self.address_the_dead(),
        }
    }

    fn open(&mut self) {
        self.service.steps += 1;
        if self.service.standing.len() == self.most {
            return;
        }
        let port = u16::try_from(self.service.kernels.len() + 1).expect("few enough connections");
        let tuple = FourTuple { local: ([127, 0, 0, 1], 3000).into(), remote: ([127, 0, 0, 2], port).into() };
        let active = self.service.draw(4) == 1;
        let open = if active { Open::SynSent } else { Open::Done };
        let now = Rc::clone(&self.service.now);
        let mut kernel = Kernel::new((tuple.local, tuple.remote), now, open);
        kernel.set_room(u64::from(self.service.draw(2_000)) + 1);
        let kernel = Rc::new(RefCell::new(kernel));
        self.service.kernels.push(Rc::clone(&kernel));
        let (stream, now) = (Fake(Rc::clone(&kernel)), self.connections.now());
        if active {
            let connection = Connection::connecting(stream, tuple, now);
            let id = self.connections.insert(connection).expect("register");
            self.connections.settings.gauge.enter(None);
            self.connections.arm(id);
            self.service.standing.insert(id, Standing::new(&kernel, now));
        } else {
            self.connections.adopt(&mut self.service, stream, tuple.local, tuple.remote);
        }
    }

    /// All but one are reset at once.
    fn crowd_leaves(&mut self) {
        for standing in self.service.standing.values().skip(1) {
            standing.kernel.borrow_mut().die(Errno::ECONNRESET);
        }
    }

    /// A late event, or a call, with the id of one that is gone.
    fn address_the_dead(&mut self) {
        let count = self.service.gone.len().max(1) as u32;
        let index = self.service.draw(count) as usize;
        let Some(id) = self.service.gone.get(index).copied() else { return };
        let all = Readiness { readable: true, more: true, ending: true, writable: true, errored: true };
        self.connections.note_readiness(id, all);
        self.service.act(&mut self.connections, id);
    }

    /// What the event loop does between two waits.
    fn go_round(&mut self) {
        self.service.steps += 1;
        let pass = self.service.draw(2_000) * if self.service.draw(64) == 1 { 20 } else { 1 };
        self.set_now(self.connections.now().after(Duration::from_micros(pass.into())));
        for id in self.service.standing.keys().copied().collect::<Vec<_>>() {
            if self.service.draw(4) < 3 {
                self.deliver(id);
            }
        }
        if let Some(id) = self.service.one_standing() {
            self.service.remote(id);
        }
        self.serve();
    }

    fn set_now(&mut self, now: Time) {
        self.connections.now = now;
        self.service.now.set(now);
    }

    fn deliver(&mut self, id: ConnectionId) {
        let Some(kernel) = self.service.kernel(id) else { return };
        if kernel.borrow().woken {
            let event = kernel.borrow_mut().event();
            if event.readable || event.writable || event.errored {
                self.connections.note_readiness(id, event);
            }
        }
    }

    fn serve(&mut self) {
        self.connections.take_turns(&mut self.service);
        let now = self.connections.now();
        self.connections.fire_timers(&mut self.service, now);
        self.check();
    }

    fn check(&mut self) {
        let now = self.connections.now();
        let booked = self.connections.turns.clone();
        let mut unsent = 0;
        for (id, standing) in &self.service.standing {
            let connection = self.connections.get(*id).expect("what stands is in the table");
            unsent += connection.unsent();
            assert_eq!(connection.unsent() as u64, standing.kernel.borrow().unsent(), "unsent of {id:?}");
            let turns = booked.iter().filter(|booked| *booked == id).count();
            assert_eq!(turns, usize::from(connection.queued), "turns booked for {id:?}");
            if !connection.queued && !standing.kernel.borrow().woken {
                standing.assert_nothing_to_do(*id);
            }
            for due in standing.dues(&self.service.limits) {
                assert!(due > now, "{id:?} has a deadline that did not fire");
                assert!(
                    self.connections.due().is_some_and(|wake| wake <= due),
                    "nobody would wake for {id:?}"
                );
            }
            let kernel = standing.kernel.borrow();
            assert!(
                standing.discarding
                    || (standing.received, standing.finished) == (kernel.read, kernel.fin_read)
            );
        }
        assert_eq!(self.connections.open_connections(), self.service.standing.len());
        assert_eq!(self.connections.unsent, unsent, "unsent bytes of all together");
    }

    /// The tape has ended: everybody comes to an end, by RST or by FIN after the last byte.
    fn wind_down(&mut self) {
        if self.service.kernels.len().is_multiple_of(4) {
            self.service.aborting = true;
            self.connections.abort_all(&mut self.service);
        } else {
            // Long enough for every deadline, but a pause holds that of receiving.
            self.set_now(self.connections.now().after(Duration::from_secs(1)));
            self.serve();
            self.finish_all();
        }
        assert!(self.connections.len() == 0, "not at an end: {:?}", self.service.standing.keys());
        assert_eq!(self.connections.unsent, 0);
        assert!(self.service.kernels.iter().all(|kernel| kernel.borrow().closed));
    }

    fn finish_all(&mut self) {
        self.connections.finish_all();
        let ids: Vec<_> = self.service.standing.keys().copied().collect();
        for id in &ids {
            let kernel = self.service.kernel(*id).expect("it stands");
            if kernel.borrow().paused {
                self.service.note_resumed(*id);
            }
            kernel.borrow_mut().finish_asked = true;
            self.service.standing.get_mut(id).expect("it stands").discarding = true;
        }
        self.serve();
        for kernel in &self.service.kernels {
            kernel.borrow_mut().oblige();
        }
        // Less than a mebibyte is unread, which is four reads, and the end a fifth.
        for _ in 0..8 {
            ids.iter().for_each(|id| self.deliver(*id));
            self.serve();
        }
    }
}

#[test]
fn a_million_steps_lose_nothing_double_nothing_and_never_get_stuck() {
    let poll = Poll::new().unwrap();
    let reporter = Reporter::stdout(Format::Text, Verbosity::Quiet);
    make_a_million_steps(8_000, |tape| {
        let mut world = World::new(poll.registry(), &reporter, tape);
        while !world.service.tape.as_slice().is_empty() {
            world.step();
        }
        world.wind_down();
        world.service.steps
    });
}
