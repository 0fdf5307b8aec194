//! `fourtuple`: the lab bench.

mod bundle;
mod columns;
mod hide;
mod isolate;
mod load;
mod matrix;
mod packets;
mod perform;
mod ports;
mod report;
mod sockets;
mod why;

use std::process::ExitCode;

use clap::Parser;
use fourtuple::cli;

/// A lab bench for TCP connections: namespaces to try things in, and what the kernel says about them
#[derive(Parser)]
#[command(name = "fourtuple", version, arg_required_else_help = true)]
enum Command {
    #[command(hide = true)]
    Bundle(bundle::BundleArgs),
    #[command(hide = true)]
    Hide(hide::HideArgs),
    Isolate(isolate::IsolateArgs),
    Load(load::LoadArgs),
    Matrix(matrix::MatrixArgs),
    Packets(packets::PacketsArgs),
    Perform(perform::PerformArgs),
    Ports(ports::PortsArgs),
    Report(report::ReportArgs),
    Sockets(sockets::SocketsArgs),
    Why(why::WhyArgs),
}

fn main() -> ExitCode {
    let outcome = match cli::parse() {
        Command::Bundle(args) => bundle::run(&args),
        Command::Hide(args) => hide::run(&args),
        Command::Isolate(args) => Ok(isolate::run(args)),
        Command::Load(args) => Ok(load::run(&args)),
        Command::Matrix(args) => matrix::run(&args),
        Command::Packets(args) => packets::run(&args),
        Command::Perform(args) => Ok(perform::run(&args)),
        Command::Ports(args) => ports::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Sockets(args) => sockets::run(&args),
        Command::Why(args) => why::run(&args),
    };
    cli::exit("fourtuple", outcome)
}
