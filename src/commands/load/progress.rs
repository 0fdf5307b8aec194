//! How far a run is, on a terminal.

use std::time::Duration;

use crate::text::Short;
use indicatif::{ProgressBar, ProgressStyle};

/// A bar on standard error where that is a terminal; taken away again at the end.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// A bar of so many steps.
    pub(super) fn of(steps: u64) -> Self {
        let bar = ProgressBar::new(steps);
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {msg}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// So much of the time is over, and so many requests are answered.
    pub(super) fn answered(&self, elapsed: Duration, answered: u64) {
        self.0.set_position(elapsed.as_millis() as u64);
        self.0.set_message(format!("{} {answered} answered", Short(Duration::from_secs(elapsed.as_secs()))));
    }

    /// So many connections stand.
    pub(super) fn open(&self, connections: usize) {
        self.0.set_position(connections as u64);
        self.0.set_message(format!("{connections} open"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
