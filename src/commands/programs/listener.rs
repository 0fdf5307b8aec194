//! `listener`: an echo server that opens its socket exactly as told.

mod args;
mod serve;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::cli;
use crate::error::Result;
use crate::report::{Event, Reporter};
use crate::service::{Ack, Echo, Prefix};
use clap::CommandFactory;
use clap::error::ErrorKind;

use args::{ConcurrencyModel, ListenerArgs, ReplyMode};

/// Runs it with this command line.
pub(super) fn main(arguments: &[OsString]) -> ExitCode {
    let args: ListenerArgs = cli::parse(arguments);
    if let Some(words) = args.conflict() {
        ListenerArgs::command().error(ErrorKind::ArgumentConflict, words).exit();
    }
    cli::run("listener", &args.output, |reporter| run(&args, reporter))
}

fn run(args: &ListenerArgs, reporter: &Reporter) -> Result<ExitCode> {
    let (ended, totals) = match (args.reply, &args.reply_prefix) {
        (_, Some(text)) => serve::serve(args, reporter, Prefix::new(text)),
        (ReplyMode::Echo, None) => serve::serve(args, reporter, Echo),
        (ReplyMode::Ack, None) => serve::serve(args, reporter, Ack::default()),
    }?;
    reporter.report(&match args.model {
        ConcurrencyModel::Fork => Event::Stopped { accepted: totals.accepted, bytes: None },
        _ => totals.event(),
    });
    Ok(cli::status(ended))
}
