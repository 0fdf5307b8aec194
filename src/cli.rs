//! What the programs' command lines share, and how an outcome becomes an exit status.

use std::process::ExitCode;

use clap::Args;

use crate::error::Result;
use crate::report::{Format, Reporter, Verbosity, say};

/// Ends a program: its own status where it has one, else the error on standard error and status 1.
pub fn exit(program: &str, outcome: Result<ExitCode>) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        say(&format!("{program}: {error}"));
        ExitCode::FAILURE
    })
}

/// How a program prints its events.
#[derive(Args, Clone, Copy, Debug)]
pub struct OutputArgs {
    /// How events are written: text, or one JSON object a line
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT", help_heading = "Output")]
    pub format: Format,
    /// Print the program's own events only, none of its connections'
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Output")]
    pub quiet: bool,
    /// Print every read too
    #[arg(short, long, help_heading = "Output")]
    pub verbose: bool,
}

impl OutputArgs {
    /// A reporter on standard output that tells as much as was asked for.
    pub fn reporter(self) -> Reporter {
        let verbosity = match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        };
        Reporter::stdout(self.format, verbosity)
    }
}
