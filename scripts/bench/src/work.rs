//! The kinds of work that servers are measured at.

mod alone;
mod buffers;
mod calls;
mod exchange;
mod idle;
mod model;
mod start;
mod strace;

pub use alone::Alone;
pub use calls::calls;
pub use exchange::{Arrangement, Exchange};
pub use idle::idle;
pub use model::Model;
pub use start::start;
