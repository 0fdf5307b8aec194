//! Who waits and moves bytes: the event loop, or one of three models whose calls block.

mod accept;
mod admission;
mod blocking;
mod client;
mod clock;
mod connection;
mod connections;
mod event_loop;
mod exhaustion;
mod fork_per_client;
mod gauge;
mod memory;
mod sequential;
mod signals;
mod stream;
mod thread_per_client;
mod threads;
mod timers;

pub(crate) use blocking::Front;
pub(crate) use connection::Limits;
pub use connections::LoopSettings;
pub use event_loop::{Ended, EventLoop};
pub(crate) use fork_per_client::ForkPerClient;
pub(crate) use memory::map_large_blocks;
pub(crate) use sequential::sequential;
pub(crate) use thread_per_client::thread_per_client;
