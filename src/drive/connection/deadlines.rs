//! When the limits of a connection are over.

use super::Connection;
use super::limits::{Deadline, Limits};
use crate::drive::clock::Time;
use crate::drive::stream::Stream;

impl<S: Stream> Connection<S> {
    /// When this deadline ends, if it runs.
    pub(crate) fn due(&self, deadline: Deadline, limits: &Limits) -> Option<Time> {
        let (runs, since, limit) = match deadline {
            Deadline::Connect => (self.connecting, self.opened, limits.connect),
            Deadline::Receive => (self.awaits_bytes(), self.last_received, limits.receive),
            Deadline::Send => {
                let last_sent = self.unsent.as_ref().map(|unsent| unsent.last_sent);
                (!self.connecting && last_sent.is_some(), last_sent.unwrap_or_default(), limits.send)
            }
        };
        limit.filter(|_| runs).map(|limit| since.after(limit))
    }

    /// The deadlines that run and have no entry among the timers yet; they are taken to have one now.
    pub(crate) fn arm(&mut self, limits: &Limits) -> impl Iterator<Item = (Time, Deadline)> + use<S> {
        let mut due = [None; 3];
        for deadline in Deadline::ALL {
            let index = deadline as usize;
            if self.armed.get(index) == Some(&false) {
                let at = self.due(deadline, limits);
                self.set_armed(deadline, at.is_some());
                if let (Some(slot), Some(at)) = (due.get_mut(index), at) {
                    *slot = Some((at, deadline));
                }
            }
        }
        due.into_iter().flatten()
    }

    /// The deadline's entry among the timers is gone.
    pub(crate) fn disarm(&mut self, deadline: Deadline) {
        self.set_armed(deadline, false);
    }

    fn set_armed(&mut self, deadline: Deadline, armed: bool) {
        if let Some(slot) = self.armed.get_mut(deadline as usize) {
            *slot = armed;
        }
    }
}
