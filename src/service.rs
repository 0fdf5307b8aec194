//! What to do with a connection, and nothing about how its bytes move.
//!
//! A driver calls a [`Service`] when something happened to a connection; the service answers through
//! [`Io`]. Neither names a socket, so a service is tested without one.

mod answers;
mod heartbeat;
mod io;
pub mod load;
#[cfg(test)]
mod recorder;
mod relay;
mod reply;
mod replying;
mod talk;

pub use heartbeat::{Heartbeat, HeartbeatPlan};
pub use io::{Closed, ConnectionId, Input, Io, Service, Signal, Timer};
pub use relay::{Name, RULE as NAME_RULE, Relay, RelayPlan};
pub use reply::{Ack, Echo, Pieces, Prefix, Reply};
pub use replying::Replying;
pub use talk::{Expect, Script, Show, Speaker, Talk, TalkPlan};
