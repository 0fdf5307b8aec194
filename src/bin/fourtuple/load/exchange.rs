//! `fourtuple load rr`: requests and answers over connections that stay.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use fourtuple::cli;
use fourtuple::error::Result;
use fourtuple::report::Load;
use fourtuple::service::load::{Course, Exchange, LoadPlan};

use super::run::{Common, Run};

/// Send a request on each connection, the next when its answer is there
///
/// All connections are opened first; the measured time begins when the last one stands, and ends them by RST. A
/// connection that fails is counted by what became of it and not opened again. The first answer of each connection is
/// compared with what was sent.
#[derive(Args)]
pub struct RrArgs {
    #[command(flatten)]
    common: Common,
    /// Bytes of a request
    #[arg(long, default_value = "64B", value_parser = cli::positive_size, value_name = "SIZE")]
    size: usize,
}

/// Runs it.
pub fn rr(args: &RrArgs) -> Result<ExitCode> {
    let common = &args.common;
    let remote = common.remote()?;
    let course = Arc::new(Course::default());
    let running = Load::Running {
        mode: "rr",
        remote,
        connections: common.connections,
        size: args.size,
        depth: common.depth,
        threads: common.threads(),
    };
    let services = common.shares().map(|connections| {
        let plan = LoadPlan {
            local: wildcard_for(remote),
            remote,
            connections,
            size: args.size,
            depth: common.depth,
            duration: common.duration,
            timeout: common.reply_timeout,
            verify: common.verify,
        };
        Exchange::new(plan, Arc::clone(&course))
    });
    let services = services.collect();
    Run { common, course: &course, remote, running }.all(services, Exchange::tally)
}

/// Leaves the choice of the source address to the kernel.
pub fn wildcard_for(remote: SocketAddr) -> SocketAddr {
    match remote {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
    }
}
