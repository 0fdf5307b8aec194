//! The kinds of work that servers are measured at.

mod buffers;
mod calls;
mod exchange;
mod idle;
mod model;
mod start;
mod strace;

pub use calls::Calls;
pub use exchange::{Arrangement, Exchange};
pub use idle::Idle;
pub use model::Model;
pub use start::Start;
