//! From a newcomer to one of a pair.

use std::time::Duration;

use super::client::Standing;
use super::name::{Name, RULE};
use super::{ANSWER, MORE, Relay};
use crate::report::ClientState;
use crate::service::{ConnectionId, Io};

/// What a first line begins with that says a name.
const COMMAND: &[u8] = b"/name ";

impl Relay {
    /// Heeds `/name`, which the first line alone may be, and introduces whoever has said anything else.
    pub(super) fn hear_name(&mut self, io: &mut dyn Io, id: ConnectionId) {
        while let Some(client) = self.clients.get_mut(&id)
            && client.unnamed
            && !client.blocked
        {
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

    pub(super) fn rename(&mut self, io: &mut dyn Io, id: ConnectionId, name: Name) {
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
    pub(super) fn introduce(&mut self, io: &mut dyn Io, id: ConnectionId) {
        if self.standing(id) != Standing::New {
            return;
        }
        io.cancel(id, ANSWER);
        self.set_standing(id, Standing::Introduced);
        self.hall.make_ready(id);
        self.pair_all(io);
        if self.hall.waits(id) {
            self.tell(io, id, "waiting for a partner");
            self.report(io, id, ClientState::Waiting);
        }
    }

    pub(super) fn pair_all(&mut self, io: &mut dyn Io) {
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
            // What they have said already passes when all that is happening now has happened.
            io.after(room.writer, MORE, Duration::ZERO);
        }
    }
}
