//! The relay: pairs callers in order of arrival, and passes lines between the two of a pair.
//!
//! What a client is told by the relay itself begins `* `, what its partner says begins with the partner's name and a
//! colon. A name has no colon and no asterisk, and every line passes with what a terminal would obey made visible,
//! so neither can be forged.

mod hall;
mod lines;
#[cfg(test)]
mod model;
mod name;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use super::{Closed, ConnectionId, Io, Service, Signal, Timer};
use crate::net::FourTuple;
use crate::report::{ClientState, Event, Harmless, Parting, Totals};
use hall::{Hall, Room};
use lines::{Added, Lines};

pub use name::{Name, RULE};

/// How long a newcomer has to say its name before it is introduced without one.
///
/// `talk` sends it with the open; and one that has left by then was never there.
const INTRODUCTION: Duration = Duration::from_millis(100);
/// So many bytes of messages are sent at once.
const BATCH: usize = 16 * 1024;

/// How a relay passes messages.
#[derive(Clone, Copy, Debug)]
pub struct RelayPlan {
    /// Whether the two of a pair write in turns.
    pub turns: bool,
    /// The longest line in bytes, and how much is kept of a client before it is read from no more.
    pub max_line: usize,
    /// How long a client that was told goodbye has to finish too.
    pub patience: Duration,
}

/// Passes lines between the clients of a pair.
#[derive(Debug)]
pub struct Relay {
    plan: RelayPlan,
    hall: Hall,
    clients: HashMap<ConnectionId, Client>,
    totals: Totals,
    stopping: bool,
    /// What is about to be sent.
    words: Vec<u8>,
}

#[derive(Debug)]
struct Client {
    remote: SocketAddr,
    name: Option<Name>,
    /// Its next line may say its name.
    unnamed: bool,
    /// What it said that has not been passed on.
    lines: Lines,
    standing: Standing,
    /// The kernel does not take all that it is sent.
    blocked: bool,
    paused: bool,
}

/// How far a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It may be about to say its name.
    New,
    /// It waits, or is in a room.
    Introduced,
    /// It has sent FIN, and some of what it said before may still be on the way. Turns are over.
    Leaving,
    /// It has said all, and leaves the room when that has passed.
    SaidAll(Parting),
    /// It was told goodbye, and nothing that it says counts.
    Dismissed,
}

impl Standing {
    /// Whether it says no more.
    fn is_over(self) -> bool {
        matches!(self, Self::SaidAll(_) | Self::Dismissed)
    }

    /// Whether what it said passes whosever turn it is, and nothing is passed to it.
    fn is_leaving(self) -> bool {
        self == Self::Leaving || self.is_over()
    }
}

impl Client {
    fn name(&self) -> &str {
        self.name.as_ref().map_or("client", Name::as_str)
    }
}

impl Relay {
    /// A relay without clients.
    pub fn new(plan: RelayPlan) -> Self {
        Self {
            plan,
            hall: Hall::new(plan.turns),
            clients: HashMap::new(),
            totals: Totals::default(),
            stopping: false,
            words: Vec::new(),
        }
    }

    /// The sums over all connections that have ended.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    fn standing(&self, id: ConnectionId) -> Standing {
        self.clients.get(&id).map_or(Standing::Dismissed, |client| client.standing)
    }

    fn set_standing(&mut self, id: ConnectionId, standing: Standing) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.standing = standing;
        }
    }

    /// Tells a client something in the relay's own name.
    fn tell(&mut self, io: &mut dyn Io, id: ConnectionId, words: &str) {
        self.send(io, id, format!("* {words}\n").as_bytes());
    }

    fn send(&mut self, io: &mut dyn Io, id: ConnectionId, bytes: &[u8]) {
        let unsent = io.send(id, bytes);
        if let Some(client) = self.clients.get_mut(&id) {
            client.blocked = unsent > 0;
        }
    }

    fn report(&self, io: &mut dyn Io, id: ConnectionId, state: ClientState) {
        if let Some(client) = self.clients.get(&id) {
            io.report(&Event::Client { name: client.name(), remote: client.remote, state });
        }
    }

    fn report_room(&self, io: &mut dyn Io, room: &Room, closed: Option<Parting>) {
        let remote = |id| self.clients.get(&id).map(|client| client.remote);
        if let [Some(first), Some(second)] = room.members.map(remote) {
            io.report(&Event::Room { number: room.number, first, second, messages: room.messages, closed });
        }
    }

    /// Heeds `/name`, which the first line alone may be, and introduces whoever has said anything else.
    fn hear_name(&mut self, io: &mut dyn Io, id: ConnectionId) {
        while let Some(client) = self.clients.get_mut(&id)
            && client.unnamed
            && !client.blocked
        {
            const COMMAND: &[u8] = b"/name ";
            let Some(line) = client.lines.first() else {
                let partial = client.lines.partial();
                if !COMMAND.starts_with(partial) && !partial.starts_with(COMMAND) {
                    self.introduce(io, id);
                }
                return;
            };
            let Some(name) = line.strip_prefix(COMMAND).map(Name::parse) else {
                client.unnamed = false;
                break;
            };
            client.lines.take(|_| ());
            match name {
                Some(name) => self.rename(io, id, name),
                None => self.tell(io, id, RULE),
            }
        }
        if self.clients.get(&id).is_some_and(|client| !client.unnamed) {
            self.introduce(io, id);
        }
    }

    fn rename(&mut self, io: &mut dyn Io, id: ConnectionId, name: Name) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let words = format!("{} is now {}", client.name(), name.as_str());
        client.name = Some(name);
        client.unnamed = false;
        if let Some(room) = self.hall.room(id).copied() {
            self.tell(io, room.partner_of(id), &words);
            self.report(io, id, ClientState::Connected);
        } else if client.standing == Standing::Introduced {
            self.report(io, id, ClientState::Waiting);
        }
    }

    /// A newcomer has said its name, or something else, or nothing for long enough.
    fn introduce(&mut self, io: &mut dyn Io, id: ConnectionId) {
        if self.standing(id) != Standing::New {
            return;
        }
        io.cancel(id, Timer::Answer);
        self.set_standing(id, Standing::Introduced);
        self.hall.make_ready(id);
        self.pair_all(io);
        if self.hall.waits(id) {
            self.tell(io, id, "waiting for a partner");
            self.report(io, id, ClientState::Waiting);
        }
    }

    fn pair_all(&mut self, io: &mut dyn Io) {
        while let Some(room) = self.hall.pair() {
            for id in room.members {
                let partner = self.clients.get(&room.partner_of(id));
                let Some(words) = partner.map(|p| format!("connected to {} ({})", p.name(), p.remote)) else {
                    continue;
                };
                let status = match id == room.writer {
                    _ if !self.plan.turns => "",
                    true => "\n* status WRITE",
                    false => "\n* status READ",
                };
                self.tell(io, id, &(words + status));
                self.report(io, id, ClientState::Connected);
            }
            self.report_room(io, &room, None);
            self.pass_all(io, room.writer);
        }
    }

    /// Passes on what may be passed in the room of `id`, either way, and ends the room if that was all.
    fn pass_all(&mut self, io: &mut dyn Io, id: ConnectionId) {
        let Some(members) = self.hall.room(id).map(|room| room.members) else { return };
        let [first, second] = members;
        while self.pass(io, first, second) | self.pass(io, second, first) {}
        for id in members {
            self.throttle(io, id);
        }
        for id in members {
            if let Some(Client { standing: Standing::SaidAll(_), lines, .. }) = self.clients.get(&id)
                && lines.is_empty()
            {
                return self.end_room(io, id);
            }
        }
    }

    /// Passes on one message where there are turns, else a batch; whether there was any.
    fn pass(&mut self, io: &mut dyn Io, from: ConnectionId, to: ConnectionId) -> bool {
        let leaving = self.standing(from).is_leaving();
        let may_pass = leaving || self.hall.may_write(from) && !self.standing(to).is_leaving();
        let mut words = std::mem::take(&mut self.words);
        words.clear();
        let mut turned = false;
        while may_pass && !turned && words.len() < BATCH && self.next_message(from, to, &mut words) {
            turned = self.hall.passed(from) && !leaving;
        }
        if turned {
            words.extend_from_slice(b"* status WRITE\n");
        }
        let passed = !words.is_empty();
        if passed {
            self.send(io, to, &words);
        }
        self.words = words;
        if turned {
            self.tell(io, from, "status READ");
        }
        passed
    }

    /// Adds the next message of `from` as `to` will see it; false where there is none, or `to` does not keep up.
    fn next_message(&mut self, from: ConnectionId, to: ConnectionId, words: &mut Vec<u8>) -> bool {
        let keeps_up = self.clients.get(&to).is_some_and(|client| !client.blocked) || self.stopping;
        let Some(client) = self.clients.get_mut(&from).filter(|client| keeps_up && !client.unnamed) else {
            return false;
        };
        let mut lines = std::mem::take(&mut client.lines);
        let message = lines.take(|line| {
            // Writing to a Vec cannot fail.
            let _ = writeln!(words, "{}: {}", client.name(), Harmless(line));
        });
        client.lines = lines;
        message.is_some()
    }

    /// Reads no more from a client of whom a line's length is kept, and reads again when it is less.
    fn throttle(&mut self, io: &mut dyn Io, id: ConnectionId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let full = client.lines.len() > self.plan.max_line;
        if full != client.paused {
            client.paused = full;
            if full { io.pause(id) } else { io.resume(id) }
        }
    }

    /// `id` has said all: forgotten where it waits, and gone from its room once all of it has passed.
    fn part(&mut self, io: &mut dyn Io, id: ConnectionId, parting: Parting) {
        if self.standing(id).is_over() {
            return;
        }
        self.set_standing(id, Standing::SaidAll(parting));
        if self.hall.waits(id) {
            self.forget(io, id);
        } else {
            self.pass_all(io, id);
        }
    }

    /// Who leaves the waiting room may have kept others from being paired.
    fn forget(&mut self, io: &mut dyn Io, id: ConnectionId) {
        self.hall.leave(id);
        self.dismiss(io, id);
        self.pair_all(io);
    }

    /// `leaver` is gone: its partner is told, and both are dismissed.
    fn end_room(&mut self, io: &mut dyn Io, leaver: ConnectionId) {
        let Some(Client { standing: Standing::SaidAll(parting), .. }) = self.clients.get(&leaver) else {
            return;
        };
        let parting = *parting;
        let Some(room) = self.hall.leave(leaver) else { return };
        let partner = room.partner_of(leaver);
        if let Some(words) = self.clients.get(&leaver).map(|client| format!("{} has left", client.name())) {
            self.tell(io, partner, &words);
        }
        self.report_room(io, &room, Some(parting));
        self.dismiss(io, partner);
        self.dismiss(io, leaver);
    }

    /// Sends FIN, and throws away what still comes: closing with it unread would send RST.
    fn dismiss(&mut self, io: &mut dyn Io, id: ConnectionId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.standing = Standing::Dismissed;
        client.lines = Lines::default();
        self.throttle(io, id);
        io.finish(id);
        io.after(id, Timer::Answer, self.plan.patience);
    }

    /// Hands over what may be, whosever turn it is, says goodbye to all, and stops.
    fn disconnect_all(&mut self, io: &mut dyn Io) {
        self.stopping = true;
        let ids: Vec<ConnectionId> = self.clients.keys().copied().collect();
        for &id in &ids {
            if !self.standing(id).is_leaving() {
                self.set_standing(id, Standing::Leaving);
            }
        }
        for &id in &ids {
            self.pass_all(io, id);
        }
        for &id in &ids {
            if self.standing(id) != Standing::Dismissed {
                io.cancel(id, Timer::Answer);
                self.tell(io, id, "the server will disconnect");
                if let Some(room) = self.hall.leave(id) {
                    self.report_room(io, &room, Some(Parting::Stop));
                }
                self.set_standing(id, Standing::Dismissed);
            }
        }
        io.stop();
    }
}

impl Service for Relay {
    fn opened(&mut self, io: &mut dyn Io, id: ConnectionId, tuple: FourTuple) {
        self.totals.accepted += 1;
        let client = Client {
            remote: tuple.remote,
            name: None,
            unnamed: true,
            lines: Lines::default(),
            standing: Standing::New,
            blocked: false,
            paused: false,
        };
        self.clients.insert(id, client);
        if self.stopping {
            self.set_standing(id, Standing::Dismissed);
            return self.tell(io, id, "the server will disconnect");
        }
        self.hall.arrive(id);
        self.tell(io, id, "welcome");
        io.after(id, Timer::Answer, INTRODUCTION);
    }

    fn received(&mut self, io: &mut dyn Io, id: ConnectionId, bytes: &[u8]) {
        let longest = self.plan.max_line;
        let Some(client) = self.clients.get_mut(&id) else { return };
        if client.standing.is_over() {
            return;
        }
        let added = client.lines.add(bytes, longest);
        self.hear_name(io, id);
        match added {
            Added::Kept => {
                self.pass_all(io, id);
                self.throttle(io, id);
            }
            Added::Exit => self.part(io, id, Parting::Exit),
            Added::TooLong => {
                self.tell(io, id, &format!("a line has at most {longest} bytes: goodbye"));
                self.part(io, id, Parting::LineTooLong);
            }
        }
    }

    fn ending(&mut self, io: &mut dyn Io, id: ConnectionId) {
        if self.hall.waits(id) {
            self.forget(io, id);
        } else if !self.standing(id).is_leaving() {
            self.set_standing(id, Standing::Leaving);
            self.pass_all(io, id);
        }
    }

    fn finished(&mut self, io: &mut dyn Io, id: ConnectionId) {
        if let Some(client) = self.clients.get_mut(&id)
            && !self.hall.waits(id)
        {
            client.lines.end();
            self.hear_name(io, id);
        }
        self.part(io, id, Parting::Fin);
    }

    fn drained(&mut self, io: &mut dyn Io, id: ConnectionId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.blocked = false;
        self.hear_name(io, id);
        self.pass_all(io, id);
        self.throttle(io, id);
    }

    fn timer(&mut self, io: &mut dyn Io, id: ConnectionId, _: Timer) {
        match self.standing(id) {
            Standing::Dismissed => io.close(id),
            _ => self.introduce(io, id),
        }
    }

    fn signal(&mut self, io: &mut dyn Io, signal: Signal) {
        match signal {
            Signal::Stop | Signal::Goodbye => self.disconnect_all(io),
            Signal::Status => io.report(&Event::Status {
                clients: self.clients.len(),
                rooms: self.hall.rooms(),
                waiting: self.hall.waiting(),
            }),
        }
    }

    /// Not for what is sent, which is bounded by itself: what is kept beyond a line's length is what one read brings.
    fn growth(&self) -> usize {
        16
    }

    fn closed(&mut self, io: &mut dyn Io, id: ConnectionId, account: Closed) {
        self.totals.received += account.received;
        self.totals.sent += account.sent;
        self.part(io, id, Parting::Lost);
        self.end_room(io, id);
        self.report(io, id, ClientState::Disconnected(account.reason));
        self.clients.remove(&id);
    }
}
