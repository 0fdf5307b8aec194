//! What is known of a client.

use std::net::SocketAddr;

use super::lines::LineBuffer;
use super::name::Name;
use crate::report::Parting;

#[derive(Debug)]
pub(super) struct RelayClient {
    pub remote: SocketAddr,
    pub name: Option<Name>,
    /// Its next line may say its name.
    pub unnamed: bool,
    /// What it said that has not been passed on.
    pub lines: LineBuffer,
    pub standing: Standing,
    /// The kernel does not take all that it is sent.
    pub blocked: bool,
    pub paused: bool,
}

/// How far a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It may be about to say its name.
    New,
    /// It waits, or is in a room.
    Introduced,
    /// It has sent FIN, and some of what it said before may still be on the way. Turns are over.
    Leaving,
    /// It has said all, and leaves the room when that has passed.
    SaidAll(Parting),
    /// It was told goodbye, and nothing that it says counts.
    Dismissed,
}

impl Standing {
    /// Whether it says no more.
    pub(super) fn is_over(self) -> bool {
        matches!(self, Self::SaidAll(_) | Self::Dismissed)
    }

    /// Whether what it said passes whosever turn it is, and nothing is passed to it.
    pub(super) fn is_leaving(self) -> bool {
        self == Self::Leaving || self.is_over()
    }
}

impl RelayClient {
    pub(super) fn name(&self) -> &str {
        self.name.as_ref().map_or("client", Name::as_str)
    }
}
