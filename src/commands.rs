//! What people run: `fourtuple`, the lab bench, and the programs of the lab under names of their own.

mod bundle;
mod columns;
mod fields;
mod hide;
mod isolate;
mod load;
mod matrix;
mod packets;
mod perform;
mod ports;
mod programs;
mod report;
mod schema;
mod sockets;
mod why;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::cli;
use clap::Parser;

const AFTER_HELP: &str = "\
A subcommand's options and examples: fourtuple SUBCOMMAND --help
Programs, also as links of these names: listener, connector, talk, relay

Examples:
  fourtuple sockets --port 3000         who has this port
  fourtuple why 3000                    may I listen there, and if not, why?
  fourtuple isolate -- bash             a network to try things in
  fourtuple load rr 127.0.0.1:3000      load an echo server";

/// A lab bench for TCP connections: namespaces to try things in, and what the kernel says about them
#[derive(Parser)]
#[command(name = "fourtuple", version, arg_required_else_help = true, after_help = AFTER_HELP)]
enum FourtupleCommand {
    #[command(hide = true)]
    Bundle(bundle::BundleArgs),
    #[command(hide = true)]
    Fields(fields::FieldsArgs),
    #[command(hide = true)]
    Hide(hide::HideArgs),
    Isolate(isolate::IsolateArgs),
    Load(load::LoadArgs),
    Matrix(matrix::MatrixArgs),
    Packets(packets::PacketsArgs),
    Perform(perform::PerformArgs),
    Ports(ports::PortsArgs),
    /// The names that links to this program may have, a line each
    #[command(hide = true)]
    Programs,
    Report(report::ReportArgs),
    Schema(schema::SchemaArgs),
    Sockets(sockets::SocketsArgs),
    Why(why::WhyArgs),
}

/// What `fourtuple` and its links do: the whole program, with the command line of the process.
pub fn main() -> ExitCode {
    cli::start();
    match programs::called() {
        Some((program, arguments)) => (program.main)(&arguments),
        None => bench(&std::env::args_os().collect::<Vec<_>>()),
    }
}

fn bench(arguments: &[OsString]) -> ExitCode {
    let outcome = match cli::parse(arguments) {
        FourtupleCommand::Bundle(args) => bundle::run(&args),
        FourtupleCommand::Fields(args) => fields::run(&args),
        FourtupleCommand::Hide(args) => hide::run(&args),
        FourtupleCommand::Isolate(args) => Ok(isolate::run(args)),
        FourtupleCommand::Load(args) => Ok(load::run(&args)),
        FourtupleCommand::Matrix(args) => matrix::run(&args),
        FourtupleCommand::Packets(args) => packets::run(&args),
        FourtupleCommand::Perform(args) => Ok(perform::run(&args)),
        FourtupleCommand::Ports(args) => ports::run(&args),
        FourtupleCommand::Programs => cli::print(&names()),
        FourtupleCommand::Report(args) => report::run(&args),
        FourtupleCommand::Schema(args) => schema::run(&args),
        FourtupleCommand::Sockets(args) => sockets::run(&args),
        FourtupleCommand::Why(args) => why::run(&args),
    };
    cli::exit("fourtuple", outcome)
}

fn names() -> String {
    programs::ALL.iter().map(|program| format!("{}\n", program.name)).collect()
}
