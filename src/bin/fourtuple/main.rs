//! `fourtuple`: the lab bench.

mod isolate;
mod packets;
mod report;
mod sockets;

use std::process::ExitCode;

use clap::Parser;

/// A lab bench for TCP connections: namespaces to try things in, and what the kernel says about them
#[derive(Parser)]
#[command(name = "fourtuple", version, arg_required_else_help = true)]
enum Command {
    Isolate(isolate::IsolateArgs),
    Packets(packets::PacketsArgs),
    Report(report::ReportArgs),
    Sockets(sockets::SocketsArgs),
}

fn main() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Isolate(args) => Ok(isolate::run(args)),
        Command::Packets(args) => packets::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Sockets(args) => sockets::run(&args),
    };
    fourtuple::cli::exit("fourtuple", outcome)
}
