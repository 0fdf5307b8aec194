//! What stands among the timers.

use crate::drive::connection::Deadline;
use crate::service::Timer;

/// What is due: a deadline of a connection, or what its service asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Alarm {
    Deadline(Deadline),
    Service(Timer),
}

// In the heap it takes what is left beside a time and an id: a timer's name costs no memory.
const _: () = assert!(size_of::<Alarm>() == size_of::<u64>());
