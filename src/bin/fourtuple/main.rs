//! `fourtuple`: the lab bench.

mod sockets;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A lab for TCP connections: what the kernel and the wire say about them
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Sockets(sockets::SocketsArgs),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Sockets(args) => sockets::run(&args),
    };
    fourtuple::cli::exit("fourtuple", outcome)
}
