//! `fourtuple`: the lab bench.

mod isolate;
mod sockets;

use std::process::ExitCode;

use clap::Parser;
use fourtuple::cli;

/// A lab bench for TCP connections: namespaces to try things in, and what the kernel says about them
#[derive(Parser)]
#[command(name = "fourtuple", version, arg_required_else_help = true)]
enum Command {
    Isolate(isolate::IsolateArgs),
    Sockets(sockets::SocketsArgs),
}

fn main() -> ExitCode {
    let outcome = match cli::parse() {
        Command::Isolate(args) => Ok(isolate::run(args)),
        Command::Sockets(args) => sockets::run(&args),
    };
    cli::exit("fourtuple", outcome)
}
