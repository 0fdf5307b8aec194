//! How clients leave, and rooms end.

use super::client::Standing;
use super::lines::LineBuffer;
use super::{ANSWER, Relay};
use crate::report::Parting;
use crate::service::{ConnectionId, Io};

impl Relay {
    /// `id` has said all: forgotten where it waits, and gone from its room once all of it has passed.
    pub(super) fn part(&mut self, io: &mut dyn Io, id: ConnectionId, parting: Parting) {
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
    pub(super) fn forget(&mut self, io: &mut dyn Io, id: ConnectionId) {
        self.hall.leave(id);
        self.dismiss(io, id);
        self.pair_all(io);
    }

    /// `leaver` is gone: its partner is told, and both are dismissed.
    pub(super) fn end_room(&mut self, io: &mut dyn Io, leaver: ConnectionId) {
        let Some(client) = self.clients.get(&leaver) else { return };
        let Standing::SaidAll(parting) = client.standing else { return };
        let words = format!("{} has left", client.name());
        let Some(room) = self.hall.leave(leaver) else { return };
        let partner = room.partner_of(leaver);
        self.tell(io, partner, &words);
        self.report_room(io, &room, Some(parting));
        self.dismiss(io, partner);
        self.dismiss(io, leaver);
    }

    /// Sends FIN, and throws away what still comes: closing with it unread would send RST.
    pub(super) fn dismiss(&mut self, io: &mut dyn Io, id: ConnectionId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.standing = Standing::Dismissed;
        client.lines = LineBuffer::default();
        self.throttle(io, id);
        io.finish(id);
        io.after(id, ANSWER, self.plan.patience);
    }

    /// Hands over what may be, whosever turn it is, says goodbye to all, and stops.
    pub(super) fn disconnect_all(&mut self, io: &mut dyn Io) {
        self.stopping = true;
        let ids: Vec<ConnectionId> = self.clients.keys().copied().collect();
        for &id in &ids {
            if !self.standing(id).is_leaving() {
                self.set_standing(id, Standing::Leaving);
            }
        }
        for &id in &ids {
            while self.pass_all(io, id) {}
        }
        for &id in &ids {
            if self.standing(id) != Standing::Dismissed {
                io.cancel(id, ANSWER);
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
