//! Clients that make work for an echo server, and measure how it does it.

mod arrivals;
mod client;
mod connect;
mod course;
mod exchange;
mod hold;
mod measure;
mod pattern;
mod plan;
mod ports;
mod spread;
mod tally;

pub(crate) use arrivals::Rate;
pub(crate) use connect::Connects;
pub(crate) use course::Course;
pub(crate) use exchange::Exchange;
pub(crate) use hold::{Hold, HoldPlan, Holding};
pub(crate) use plan::LoadPlan;
pub(crate) use ports::SourcePorts;
pub(crate) use spread::{MOST_OWNERS, Spread};
pub(crate) use tally::Tally;

#[cfg(test)]
fn any_plan() -> LoadPlan {
    LoadPlan {
        local: ([127, 0, 0, 1], 0).into(),
        remote: ([127, 0, 0, 1], 3000).into(),
        connections: 1,
        size: 64,
        depth: 1,
        rate: None,
        warm_up: std::time::Duration::ZERO,
        duration: std::time::Duration::from_secs(3600),
        timeout: std::time::Duration::from_secs(5),
        verify: false,
    }
}
