//! What stands among the timers.

use crate::drive::connection::Deadline;
use crate::service::Timer;

/// What is due: a deadline of a connection, or what its service asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Alarm {
    Deadline(Deadline),
    Service(Timer),
}
