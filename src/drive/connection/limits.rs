//! How long a connection may stay as it is.

use std::time::Duration;

/// How long a connection may stay as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Without a byte arriving.
    pub receive: Option<Duration>,
    /// Without an unsent byte leaving.
    pub send: Option<Duration>,
    /// In SYN-SENT.
    pub connect: Option<Duration>,
}

/// The deadlines that a connection keeps by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deadline {
    Connect,
    Receive,
    Send,
}

impl Deadline {
    pub const ALL: [Self; 3] = [Self::Connect, Self::Receive, Self::Send];
}
