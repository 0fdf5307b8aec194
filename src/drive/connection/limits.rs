//! How long a connection may stay as it is.

use std::time::Duration;

/// How long a connection may stay as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    pub receive: Option<Duration>,
    /// Without an unsent byte leaving.
    pub send: Option<Duration>,
    pub connect: Option<Duration>,
}

/// The deadlines that a connection keeps by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Deadline {
    Connect,
    Receive,
    Send,
}

impl Deadline {
    pub(crate) const ALL: [Self; 3] = [Self::Connect, Self::Receive, Self::Send];
}
