//! `fourtuple load`: clients that make work for an echo server, and what it costs.

mod connect;
mod exchange;
mod hold;
mod outcome;
mod plot;
mod progress;
mod run;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use fourtuple::error::Result;

/// Make work for an echo server, and measure how it does it
#[derive(Args)]
pub struct LoadArgs {
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
pub fn run(args: &LoadArgs) -> Result<ExitCode> {
    match &args.mode {
        Mode::Rr(args) => exchange::rr(args),
        Mode::Bulk(args) => exchange::bulk(args),
        Mode::Connect(args) => connect::run(args),
        Mode::Hold(args) => hold::run(args),
        Mode::Share(args) => hold::run_share(args),
    }
}
