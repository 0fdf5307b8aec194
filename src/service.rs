//! What to do with a connection, and nothing about how its bytes move.
//!
//! A driver calls a [`Service`] when something happened to a connection; the service answers through
//! [`Io`]. Neither names a socket, so a service is tested without one.

mod answers;
mod calls;
mod heartbeat;
mod io;
#[cfg(feature = "cli")]
pub(crate) mod load;
#[cfg(test)]
mod recorder;
mod relay;
mod reply;
mod replying;
mod talk;

pub(crate) use heartbeat::{Heartbeat, HeartbeatPlan};
pub use io::{Closed, ConnectionId, Input, Io, Service, Signal, Timer};
pub(crate) use relay::{Name, RULE as NAME_RULE, Relay, RelayPlan};
pub(crate) use reply::{Ack, Echo, Pieces, Prefix, Reply};
pub(crate) use replying::Replying;
pub(crate) use talk::{Expect, Script, Show, Speaker, Talk, TalkPlan};
