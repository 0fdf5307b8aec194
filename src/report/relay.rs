//! What a relay tells.

use std::fmt::{self, Display};
use std::net::SocketAddr;

use super::values::CloseReason;
use crate::text::Line;

/// A line of a relay.
#[derive(Clone, Copy, Debug)]
pub enum RelayEvent<'a> {
    Status {
        clients: usize,
        rooms: usize,
        waiting: usize,
    },
    /// Where a client is now.
    Client {
        name: &'a str,
        remote: SocketAddr,
        state: ClientState,
    },
    /// A pair was made or parted.
    Room {
        /// Which one, counted from 1.
        number: u64,
        /// The one who had waited.
        first: SocketAddr,
        second: SocketAddr,
        messages: u64,
        /// How it ended, once it has.
        closed: Option<Parting>,
    },
}

/// Where a client of a relay is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientState {
    /// It has no partner yet.
    Waiting,
    /// It is in a room.
    Connected,
    Disconnected(CloseReason),
}

/// How a room came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    Exit,
    Fin,
    /// One sent a line longer than the relay allows.
    LineTooLong,
    /// The connection of one ended otherwise, as `client … state=disconnected` tells.
    Lost,
    Stop,
}

impl Display for Parting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exit => "exit",
            Self::Fin => "fin",
            Self::LineTooLong => "line-too-long",
            Self::Lost => "lost",
            Self::Stop => "stop",
        })
    }
}

impl RelayEvent<'_> {
    pub(super) fn fields<'l>(&self, line: &'l mut Line) -> &'l mut Line {
        match *self {
            Self::Status { clients, rooms, waiting } => line
                .begin("status")
                .number("clients", clients as u64)
                .number("rooms", rooms as u64)
                .number("waiting", waiting as u64),
            Self::Client { name, remote, state } => {
                line.begin("client").field("name", name).field("remote", remote);
                match state {
                    ClientState::Waiting => line.field("state", "waiting"),
                    ClientState::Connected => line.field("state", "connected"),
                    ClientState::Disconnected(reason) => {
                        line.field("state", "disconnected").field("reason", reason)
                    }
                }
            }
            Self::Room { number, first, second, messages, closed } => {
                line.begin("room").number("number", number).field("first", first).field("second", second);
                match closed {
                    None => line.field("state", "open"),
                    Some(parting) => {
                        line.field("state", "closed").field("reason", parting).number("messages", messages)
                    }
                }
            }
        }
    }
}
