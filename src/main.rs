//! `fourtuple`, and every program that is a link to it.

use std::process::ExitCode;

fn main() -> ExitCode {
    fourtuple::commands::main()
}
