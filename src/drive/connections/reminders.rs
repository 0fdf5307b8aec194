//! What services have asked to be reminded of, and when.

use std::collections::HashMap;

use crate::drive::clock::Time;
use crate::service::{ConnectionId, Timer};

/// The timers of each connection that has any: few, and most have none.
#[derive(Default)]
pub(super) struct Reminders(HashMap<ConnectionId, Vec<(Timer, Time)>>);

impl Reminders {
    pub(super) fn due(&self, id: ConnectionId, timer: Timer) -> Option<Time> {
        let asked = self.0.get(&id)?;
        asked.iter().find(|(other, _)| *other == timer).map(|(_, due)| *due)
    }

    /// Sets the timer, and returns for when it was set before.
    pub(super) fn set(&mut self, id: ConnectionId, timer: Timer, due: Time) -> Option<Time> {
        let before = self.due(id, timer);
        self.cancel(id, timer);
        self.0.entry(id).or_default().push((timer, due));
        before
    }

    pub(super) fn cancel(&mut self, id: ConnectionId, timer: Timer) {
        if let Some(asked) = self.0.get_mut(&id) {
            asked.retain(|(other, _)| *other != timer);
            if asked.is_empty() {
                self.0.remove(&id);
            }
        }
    }

    /// The connection is no more.
    pub(super) fn forget(&mut self, id: ConnectionId) {
        self.0.remove(&id);
    }
}
