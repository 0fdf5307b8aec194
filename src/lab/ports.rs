//! How many connections this host can have open at once from one address, and what fails first.

mod measure;
mod method;
mod plan;
mod pool;
mod rate;
mod situation;
mod time_wait;
mod usage;

pub(crate) use measure::{Compared, Measure};
pub use method::{Failure, Method};
pub use plan::{Asked, AtRate, Destination, Forecast, plan};
pub use situation::Situation;
pub(crate) use usage::{Usage, usage};
