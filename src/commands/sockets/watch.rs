//! `fourtuple sockets --watch`: a line for every transition.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::cli::Stop;
use crate::error::Result;
use crate::kernel::watch::{Transition, Watch};
use crate::net::{OnDevice, is_link_local};
use crate::report::Output;
use crate::text::{Format, Line};

use super::args::SocketsArgs;

/// Between two samples.
const EVERY: Duration = Duration::from_millis(5);

/// Samples the table until a signal comes, and then once more.
pub(super) fn run(args: &SocketsArgs) -> Result<ExitCode> {
    let stop = Stop::on_signal()?;
    let output = Output::stdout(args.output.format);
    let mut watch = Watch::default();
    output.line(watching(args.output.format));
    let mut next = Instant::now();
    loop {
        let stopped = stop.wait(next.saturating_duration_since(Instant::now()))?;
        let begin = Instant::now();
        for change in watch.sample(&|row| args.matches_address(row))? {
            if args.matches_change(&change) {
                output.line(line(args.output.format, &change));
            }
        }
        if stopped {
            output.flush();
            return Ok(ExitCode::SUCCESS);
        }
        // However large the table is, at most half of the time is spent on it.
        next = (next + EVERY).max(Instant::now() + begin.elapsed());
    }
}

fn watching(format: Format) -> String {
    let mut line = Line::new(format, "watching");
    line.duration("every", EVERY);
    line.finish()
}

fn line(format: Format, change: &Transition) -> String {
    let mut line = Line::at(format, "socket", change.time);
    let to = change.to.map_or("gone", |state| state.name());
    let from = change.from.map(|state| state.name());
    let (local, zone) = (change.local, |address| change.device.filter(|_| is_link_local(address)));
    let remote = OnDevice(change.remote, zone(change.remote));
    match format {
        Format::Text => line
            .field("local", OnDevice(local, change.device))
            .field("remote", remote)
            .optional("from", from)
            .field("to", to)
            .number("inode", change.inode.into())
            .list("processes", &change.processes),
        Format::Json => line
            .optional("from", from)
            .field("to", to)
            .field("local", OnDevice(local, zone(local)))
            .field("remote", remote)
            .field_if_any("device", change.device)
            .number("inode", change.inode.into())
            .number("uid", change.uid.into())
            .list("processes", &change.processes)
            .field("source", "sampled"),
    };
    line.finish()
}
