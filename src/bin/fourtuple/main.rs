//! The lab bench: namespaces and instruments.

mod isolate;

use std::process::ExitCode;

use clap::Parser;

/// A lab bench for TCP connections
#[derive(Parser)]
#[command(name = "fourtuple", version)]
enum Command {
    Isolate(isolate::IsolateArgs),
}

fn main() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Isolate(args) => Ok(isolate::run(args)),
    };
    fourtuple::cli::exit("fourtuple", outcome)
}
