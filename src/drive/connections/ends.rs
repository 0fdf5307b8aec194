//! The end of a connection, and of all of them.

use super::{Connections, ROOM, parts};
use crate::drive::connection::Connection;
use crate::drive::memory::give_back_free_pages;
use crate::drive::stream::Stream;
use crate::report::CloseReason;
use crate::service::{ConnectionId, Service};

impl<S: Stream> Connections<S> {
    /// Takes a connection out of the table; its socket is closed when the caller drops it.
    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<Connection<S>> {
        self.get(id)?;
        let connection = self.table.try_remove(parts(id).0)?;
        if self.table.len() < self.shrink_at {
            self.shrink();
        }
        self.unsent -= connection.unsent();
        self.settings.gauge.leave();
        self.ended += 1;
        self.reminders.forget(id);
        Some(connection)
    }

    /// After a crowd has left: each halving of the number looks once, so it costs nothing that counts.
    pub(super) fn shrink(&mut self) {
        self.shrink_at = self.table.len() / 2;
        self.table.shrink_to_fit();
        self.table.reserve(ROOM);
        self.turns.shrink_to_fit();
        self.turns.reserve(ROOM);
        self.sweep_timers();
        give_back_free_pages();
    }

    pub(super) fn end(&mut self, service: &mut dyn Service, id: ConnectionId, reason: CloseReason) {
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
    pub(crate) fn abort_all(&mut self, service: &mut dyn Service) {
        for id in self.ids() {
            self.end(service, id, CloseReason::Abort);
        }
    }

    /// Finishes every connection, and throws away what they still send: closing with it unread would
    /// send RST, and the last of our bytes could be lost with it.
    pub(crate) fn finish_all(&mut self) {
        let now = self.now;
        for id in self.ids() {
            self.ask(id, |connection| {
                connection.discard(now);
                connection.finish();
            });
        }
    }
}
