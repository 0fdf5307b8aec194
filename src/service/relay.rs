//! The relay: pairs callers in order of arrival, and passes lines between the two of a pair.
//!
//! What a client is told by the relay itself begins `* `, what its partner says begins with the partner's name and a
//! colon. A name has no colon and no asterisk, and every line passes with what a terminal would obey made visible,
//! so neither can be forged.

mod client;
mod hall;
mod introductions;
mod lines;
#[cfg(test)]
mod model;
mod name;
mod parting;
mod passing;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

use super::{Closed, ConnectionId, Io, Service, Signal, Timer};
use crate::buffer::Buffer;
use crate::net::FourTuple;
use crate::report::{self, ClientState, Event, Parting, Totals};
use client::{RelayClient, Standing};
use hall::{Hall, Room};
use lines::{Added, LineBuffer};

pub(crate) use name::{Name, RULE};

/// How long a newcomer has to say its name before it is introduced without one.
///
/// `talk` sends it with the open; and one that has left by then was never there.
const INTRODUCTION: Duration = Duration::from_millis(100);

/// The time to say a name is over; or that to finish, of a client that is dismissed.
const ANSWER: Timer = Timer::named("answer");
/// There was more to pass.
const MORE: Timer = Timer::named("more");

/// How a relay passes messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RelayPlan {
    /// Whether the two of a pair write in turns.
    pub turns: bool,
    /// The longest line in bytes, and how much is kept of a client before it is read from no more.
    pub max_line: usize,
    /// How long a client that was told goodbye has to finish too.
    pub patience: Duration,
}

/// Passes lines between the clients of a pair.
#[derive(Debug)]
pub(crate) struct Relay {
    plan: RelayPlan,
    hall: Hall,
    clients: HashMap<ConnectionId, RelayClient>,
    totals: Totals,
    stopping: bool,
    /// What the two of a room are about to be sent.
    words: [Buffer; 2],
}

impl Relay {
    pub(crate) fn new(plan: RelayPlan) -> Self {
        Self {
            plan,
            hall: Hall::new(plan.turns),
            clients: HashMap::new(),
            totals: Totals::default(),
            stopping: false,
            words: Default::default(),
        }
    }

    /// The sums over all connections that have ended.
    pub(crate) fn totals(&self) -> Totals {
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
            let (name, remote) = (client.name(), client.remote);
            io.report(&Event::Relay(report::RelayEvent::Client { name, remote, state }));
        }
    }

    fn report_room(&self, io: &mut dyn Io, room: &Room, closed: Option<Parting>) {
        let remote = |id| self.clients.get(&id).map(|client| client.remote);
        if let [Some(first), Some(second)] = room.members.map(remote) {
            let Room { number, messages, .. } = *room;
            io.report(&Event::Relay(report::RelayEvent::Room { number, first, second, messages, closed }));
        }
    }
}

impl Service for Relay {
    fn opened(&mut self, io: &mut dyn Io, id: ConnectionId, tuple: FourTuple) {
        self.totals.accepted += 1;
        let client = RelayClient {
            remote: tuple.remote,
            name: None,
            unnamed: true,
            lines: LineBuffer::default(),
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
        io.after(id, ANSWER, INTRODUCTION);
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

    fn timer(&mut self, io: &mut dyn Io, id: ConnectionId, timer: Timer) {
        match (timer, self.standing(id)) {
            (ANSWER, Standing::Dismissed) => io.close(id),
            (ANSWER, _) => self.introduce(io, id),
            _ => drop(self.pass_all(io, id)),
        }
    }

    fn signal(&mut self, io: &mut dyn Io, signal: Signal) {
        match signal {
            Signal::Stop | Signal::Goodbye => self.disconnect_all(io),
            Signal::Status => io.report(&Event::Relay(report::RelayEvent::Status {
                clients: self.clients.len(),
                rooms: self.hall.rooms(),
                waiting: self.hall.waiting(),
            })),
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
        while self.pass_all(io, id) {}
        self.end_room(io, id);
        self.report(io, id, ClientState::Disconnected(account.reason));
        self.clients.remove(&id);
    }
}
