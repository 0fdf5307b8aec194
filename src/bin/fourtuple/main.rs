//! `fourtuple`: the lab bench.

mod isolate;
mod perform;
mod sockets;

use std::process::ExitCode;

use clap::Parser;

/// A lab bench for TCP connections: namespaces to try things in, and what the kernel says about them
#[derive(Parser)]
#[command(name = "fourtuple", version, arg_required_else_help = true)]
enum Command {
    Isolate(isolate::IsolateArgs),
    Perform(perform::PerformArgs),
    Sockets(sockets::SocketsArgs),
}

fn main() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Isolate(args) => Ok(isolate::run(args)),
        Command::Perform(args) => Ok(perform::run(&args)),
        Command::Sockets(args) => sockets::run(&args),
    };
    fourtuple::cli::exit("fourtuple", outcome)
}
