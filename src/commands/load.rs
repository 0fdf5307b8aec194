//! `fourtuple load`: clients that make work for an echo server, and what it costs.

mod connect;
mod exchange;
mod hold;
mod outcome;
mod plot;
mod progress;
mod run;

use std::process::ExitCode;

use crate::cli::{self, OutputArgs};
use crate::error::Result;
use crate::report::Reporter;
use clap::{Args, Subcommand};

use outcome::STATUS;

const EXAMPLES: &str = "\
Examples:
  fourtuple load rr 127.0.0.1:3000 --size 64B --server-pid $(pidof listener)
  fourtuple load rr 127.0.0.1:3000 --rate 20k/s --plot latency.svg
  fourtuple load bulk 127.0.0.1:3000 --verify
  fourtuple load hold --count 20k --remote 127.0.0.1:3000-3001 --verify";

/// Load an echo server, and measure how it copes
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{STATUS}"))]
pub(super) struct LoadArgs {
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Subcommand)]
enum Mode {
    Rr(exchange::RrArgs),
    Bulk(exchange::BulkArgs),
    Connect(connect::ConnectArgs),
    Hold(hold::HoldArgs),
    #[command(hide = true)]
    Share(hold::ShareArgs),
}

/// Runs the load that was asked for.
pub(super) fn run(args: &LoadArgs) -> ExitCode {
    let told = |format, body: &dyn Fn(&Reporter) -> Result<ExitCode>| {
        cli::run("fourtuple", &OutputArgs { format, quiet: true, verbose: false, events: None }, body)
    };
    match &args.mode {
        Mode::Rr(args) => told(args.common.output.format, &|reporter| exchange::rr(args, reporter)),
        Mode::Bulk(args) => told(args.common.output.format, &|reporter| exchange::bulk(args, reporter)),
        Mode::Connect(args) => told(args.common.output.format, &|reporter| connect::run(args, reporter)),
        Mode::Hold(args) => told(args.output.format, &|reporter| hold::run(args, reporter)),
        Mode::Share(_) => cli::exit("fourtuple", hold::share()),
    }
}
