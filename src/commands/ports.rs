//! `fourtuple ports`: how many connections this host can have open at once.

mod layout;
mod measure;
mod now;
mod plan;

use std::process::ExitCode;

use crate::error::Result;
use clap::{Args, Subcommand};

const EXAMPLES: &str = "\
Examples:
  fourtuple ports now
  fourtuple ports plan --from 127.0.0.1 --to 127.0.0.1:3000 --rate 500/s
  fourtuple ports measure --range 40000-40007 --destinations 4";

const METHODS: &str = "\
Methods, how a client gets its source port:
  connect                  connect(2) without bind(2)
  bind-port-0              bind(2) to port 0, then connect(2)
  IP_BIND_ADDRESS_NO_PORT  the same with this option: connect picks the port
  IP_LOCAL_PORT_RANGE      the same, and the socket has a range of its own
                           (Linux 6.3)
  SO_REUSEADDR             bind(2) to each port in turn with this option, then
                           connect(2); again for the next destination
  SO_REUSEPORT             the same with this option";

/// Show how many connections can be open at once from one address, and what fails first
///
/// A connection is its four-tuple, so the whole range of ephemeral ports can be used for every destination.
/// Whether it is used depends on the call that picks the port: connect(2) knows the destination, bind(2) does not.
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{METHODS}\n\n{EXAMPLES}"), arg_required_else_help = true)]
pub(super) struct PortsArgs {
    #[command(subcommand)]
    command: PortsCommand,
}

#[derive(Subcommand)]
enum PortsCommand {
    Plan(plan::PlanArgs),
    Measure(measure::MeasureArgs),
    Now(now::NowArgs),
}

/// Does what was asked for.
pub(super) fn run(args: &PortsArgs) -> Result<ExitCode> {
    match &args.command {
        PortsCommand::Plan(args) => plan::run(args),
        PortsCommand::Measure(args) => measure::run(args),
        PortsCommand::Now(args) => now::run(args),
    }
}
