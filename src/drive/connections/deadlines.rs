//! Deadlines of connections and timers of services, in one heap.

use std::io;

use slab::Slab;

use super::alarm::Alarm;
use super::reminders::Reminders;
use super::{Connections, parts};
use crate::drive::clock::Time;
use crate::drive::connection::{Connection, Deadline};
use crate::drive::stream::Stream;
use crate::report::CloseReason;
use crate::service::{ConnectionId, Service};
use crate::text::{Setting, Short};

impl<S: Stream> Connections<S> {
    pub(super) fn arm(&mut self, id: ConnectionId) {
        let limits = self.settings.limits;
        let Some(connection) = self.get(id) else { return };
        for (due, deadline) in connection.arm(&limits) {
            self.push_timer(due, id, Alarm::Deadline(deadline));
        }
    }

    pub(super) fn push_timer(&mut self, due: Time, id: ConnectionId, alarm: Alarm) {
        let (table, asked) = (&self.table, &self.reminders);
        self.timers.push(due, (id, alarm), |due, &key| stands(table, asked, due, key));
    }

    /// Throws out the entries that have nothing to say any more.
    pub(super) fn sweep_timers(&mut self) {
        let (table, asked) = (&self.table, &self.reminders);
        self.timers.sweep(|due, &key| stands(table, asked, due, key));
    }

    /// Fires every timer that is due by `until`: up to then all that has arrived is known and read.
    pub(crate) fn fire_timers(&mut self, service: &mut dyn Service, until: Time) {
        while let Some((due, (id, alarm))) = self.timers.pop_due(until) {
            match alarm {
                Alarm::Deadline(deadline) => self.check_deadline(service, id, deadline, until),
                Alarm::Service(timer) => {
                    // Another due time: asked for again since, or cancelled.
                    if self.reminders.due(id, timer) == Some(due) {
                        self.reminders.cancel(id, timer);
                        service.timer(self, id, timer);
                    }
                }
            }
        }
    }

    /// Wakes the service if it is due by `until`.
    pub(crate) fn wake(&mut self, service: &mut dyn Service, until: Time) {
        if self.wake_at.is_some_and(|at| at <= until) {
            self.wake_at = None;
            service.woken(self);
        }
    }

    pub(super) fn check_deadline(
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
                    let words = format!("no answer to SYN within {limit} ({})", Setting::ConnectTimeout);
                    self.fail_open(service, id, "connect", io::Error::other(words));
                }
            },
            _ => self.arm(id),
        }
    }
}

/// Whether a timer's entry may still have something to say.
fn stands<S>(
    table: &Slab<Connection<S>>,
    asked: &Reminders,
    due: Time,
    (id, alarm): (ConnectionId, Alarm),
) -> bool {
    match alarm {
        Alarm::Service(timer) => asked.due(id, timer) == Some(due),
        Alarm::Deadline(_) => {
            let (index, generation) = parts(id);
            table.get(index).is_some_and(|connection| connection.generation == generation)
        }
    }
}
