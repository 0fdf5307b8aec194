//! How many connections this host can have open at once from one address, and what fails first.

mod measure;
mod method;
mod plan;
mod pool;
mod rate;
mod situation;
mod time_wait;
mod usage;

pub use measure::{Compared, Measure};
pub use method::{Failure, Method};
pub use plan::{Asked, AtRate, Destination, Forecast, plan};
pub use situation::Situation;
pub use usage::{Usage, usage};
