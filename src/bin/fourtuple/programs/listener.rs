//! `listener`: an echo server that opens its socket exactly as told.

mod args;
mod serve;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::CommandFactory;
use clap::error::ErrorKind;
use fourtuple::cli;
use fourtuple::error::Result;
use fourtuple::report::{Event, Reporter};
use fourtuple::service::{Ack, Echo, Prefix};

use args::{Answer, Args, Model};

/// Runs it with this command line.
pub fn main(arguments: &[OsString]) -> ExitCode {
    let args: Args = cli::parse(arguments);
    if let Some(words) = args.conflict() {
        Args::command().error(ErrorKind::ArgumentConflict, words).exit();
    }
    cli::run("listener", &args.output, |reporter| run(&args, reporter))
}

fn run(args: &Args, reporter: &Reporter) -> Result<ExitCode> {
    let (ended, totals) = match (args.reply, &args.reply_prefix) {
        (_, Some(text)) => serve::serve(args, reporter, Prefix::new(text)),
        (Answer::Echo, None) => serve::serve(args, reporter, Echo),
        (Answer::Ack, None) => serve::serve(args, reporter, Ack::default()),
    }?;
    reporter.report(&match args.model {
        Model::Fork => Event::Stopped { accepted: totals.accepted, bytes: None },
        _ => totals.event(),
    });
    Ok(cli::status(ended))
}
