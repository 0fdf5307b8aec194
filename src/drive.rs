//! Who waits and moves bytes: the event loop.

mod accept;
mod clock;
mod connection;
mod connections;
mod event_loop;
mod gauge;
mod memory;
mod signals;
mod standard;
mod stream;
mod terminal;
mod timers;

pub use connection::Limits;
pub use connections::Settings;
pub use event_loop::{Ended, EventLoop};
pub use gauge::Gauge;
