//! `fourtuple load rr` and `bulk`: requests and answers over connections that stay.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use crate::cli;
use crate::error::Result;
use crate::net::SocketOptions;
use crate::report::{LoadEvent, Reporter};
use crate::service::load::{Course, Exchange, LoadPlan, Rate};
use clap::Args;

use super::outcome::STATUS;
use super::run::{Common, LINES, Run};

const RR_EXAMPLES: &str = "\
Examples:
  fourtuple load rr 127.0.0.1:3000
  fourtuple load rr 127.0.0.1:3000 --connections 1000 --size 16KiB --threads 2
  fourtuple load rr 127.0.0.1:3000 --rate 20k/s --plot latency.svg";

const BULK_EXAMPLES: &str = "\
Examples:
  fourtuple load bulk 127.0.0.1:3000
  fourtuple load bulk 127.0.0.1:3000 --connections 4 --verify";

/// Send a request on each connection, the next one after its answer
///
/// All connections are opened first; the measured time begins when the last one is ESTABLISHED. They end by RST, which
/// leaves no TIME-WAIT. A connection that fails is counted by cause and not reopened. The first answer of each is
/// compared with what was sent.
#[derive(Args)]
#[command(after_help = RR_EXAMPLES, after_long_help = format!("{RR_EXAMPLES}\n\n{LINES}\n\n{STATUS}"))]
pub(super) struct RrArgs {
    /// Connections, shared out among the threads
    #[arg(long, default_value_t = 50, value_parser = cli::positive, value_name = "N")]
    connections: usize,
    /// Bytes of a request
    #[arg(long, default_value = "64B", value_parser = cli::positive_size, value_name = "SIZE")]
    size: usize,
    /// Requests of a connection that are under way at once
    #[arg(long, default_value_t = 1, value_parser = cli::positive, value_name = "N")]
    depth: usize,
    /// Send at this rate, whether or not earlier requests are answered, such as 500/s or 20k/s
    ///
    /// Latency counts from when a request is due, even where it could not be sent yet: it is corrected for coordinated
    /// omission. The last millisecond before each is busy-waited, so from 1k/s on a thread is never idle. All answers
    /// are waited for.
    #[arg(long, conflicts_with = "depth", value_parser = cli::rate, value_name = "N/s")]
    rate: Option<usize>,
    /// Send one request on each connection before the measured time
    ///
    /// That begins when all are answered, or after this long: for a server that starts something for each client.
    #[arg(long, hide_short_help = true, default_value = "0s", value_parser = cli::duration, value_name = "DURATION")]
    warm_up: Duration,
    /// Compare every byte of every answer with what was sent
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    pub common: Common,
}

/// Send without waiting for each answer: as much as fits on the way there and back
///
/// Each connection has DEPTH × SIZE bytes under way, and sends as many as come back. Otherwise as rr.
#[derive(Args)]
#[command(after_help = BULK_EXAMPLES, after_long_help = format!("{BULK_EXAMPLES}\n\n{LINES}\n\n{STATUS}"))]
pub(super) struct BulkArgs {
    /// Connections, shared out among the threads
    #[arg(long, default_value_t = 1, value_parser = cli::positive, value_name = "N")]
    connections: usize,
    /// Bytes that count as one request
    #[arg(long, default_value = "64KiB", value_parser = cli::positive_size, value_name = "SIZE")]
    size: usize,
    /// Requests of a connection that are under way at once
    #[arg(long, default_value_t = 16, value_parser = cli::positive, value_name = "N")]
    depth: usize,
    /// Compare every byte of every answer with what was sent
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    pub common: Common,
}

/// Runs the load `rr`.
pub(super) fn rr(args: &RrArgs, reporter: &Reporter) -> Result<ExitCode> {
    let RrArgs { ref common, connections, size, depth, rate, warm_up, verify } = *args;
    exchange(common, reporter, "rr", Shape { connections, size, depth, rate, warm_up, verify })
}

/// Runs the load `bulk`.
pub(super) fn bulk(args: &BulkArgs, reporter: &Reporter) -> Result<ExitCode> {
    let BulkArgs { ref common, connections, size, depth, verify } = *args;
    exchange(
        common,
        reporter,
        "bulk",
        Shape { connections, size, depth, rate: None, warm_up: Duration::ZERO, verify },
    )
}

struct Shape {
    connections: usize,
    size: usize,
    depth: usize,
    rate: Option<usize>,
    warm_up: Duration,
    verify: bool,
}

fn exchange(common: &Common, reporter: &Reporter, mode: &'static str, shape: Shape) -> Result<ExitCode> {
    let Shape { connections, size, depth, rate, warm_up, verify } = shape;
    let remote = common.remote()?;
    let course = Arc::new(Course::default());
    let shares = common.shares(connections);
    let threads = shares.len();
    let services = shares.iter().enumerate().map(|(thread, &connections)| {
        let rate = rate.map(|rate| Rate { per_second: rate as f64, thread, threads });
        let plan = LoadPlan { size, depth, rate, warm_up, verify, ..common.plan(remote, connections) };
        Exchange::new(plan, Arc::clone(&course))
    });
    let services = services.collect();
    let running = LoadEvent::Running { mode, remote, connections, size, depth, rate, threads };
    let options = SocketOptions { bind_address_no_port: true, ..SocketOptions::default() };
    Run { common, reporter, course: &course, running, waits: rate.is_some(), options }
        .all(services, Exchange::tally)
}
