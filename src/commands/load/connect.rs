//! `fourtuple load connect`: connect, one request, its answer, close.

use std::process::ExitCode;
use std::sync::Arc;

use crate::cli;
use crate::error::Result;
use crate::net::SocketOptions;
use crate::report::{LoadEvent, Reporter};
use crate::service::load::{Connects, Course, LoadPlan, SourcePorts};
use clap::Args;

use super::outcome::STATUS;
use super::run::{Common, LINES, Run};

const EXAMPLES: &str = "\
Examples:
  fourtuple load connect 127.0.0.1:3000
  fourtuple load connect 127.0.0.1:3000 --connections 1 --duration 1s";

/// Connect, send one request, wait for its answer, close; repeat
///
/// Each connection counts as one request, its latency from connect(2) to the answer's last byte. Source ports are taken
/// in turn, with SO_REUSEADDR, so that TIME-WAIT, which stays on this side, is no obstacle. A connection that fails is
/// counted by cause, and one fewer is under way from then on. Every answer is compared.
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{LINES}\n\n{STATUS}"))]
pub(super) struct ConnectArgs {
    /// Connections under way at once, shared out among the threads
    #[arg(long, default_value_t = 50, value_parser = cli::positive, value_name = "N")]
    connections: usize,
    /// Bytes of a request
    #[arg(long, default_value = "64B", value_parser = cli::positive_size, value_name = "SIZE")]
    size: usize,
    /// Ports to bind; ports in use are left out
    #[arg(long, default_value = "20000-59999", value_parser = cli::port_range, value_name = "LOW-HIGH")]
    source_ports: (u16, u16),
    #[command(flatten)]
    pub common: Common,
}

/// Runs it.
pub(super) fn run(args: &ConnectArgs, reporter: &Reporter) -> Result<ExitCode> {
    let ConnectArgs { ref common, connections, size, source_ports } = *args;
    let remote = common.remote()?;
    let course = Arc::new(Course::default());
    let shares = common.shares(connections);
    let threads = shares.len();
    let services = shares.iter().enumerate().map(|(thread, &connections)| {
        let plan = LoadPlan { size, verify: true, ..common.plan(remote, connections) };
        let ports = SourcePorts::share(source_ports, thread as u16, threads as u16);
        Connects::new(plan, ports, Arc::clone(&course))
    });
    let services = services.collect();
    let running =
        LoadEvent::Running { mode: "connect", remote, connections, size, depth: 1, rate: None, threads };
    let options = SocketOptions { reuse_address: true, ..SocketOptions::default() };
    Run { common, reporter, course: &course, running, waits: false, options }.all(services, Connects::tally)
}
