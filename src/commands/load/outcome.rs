//! What a run has brought, told in lines.

use std::path::Path;
use std::process::{ExitCode, id};
use std::time::Duration;

use crate::error::Result;
use crate::kernel::cpu::CpuTime;
use crate::lab::explain::explain;
use crate::net::SocketOptions;
use crate::report::{Event, LoadEvent, Reporter};
use crate::service::load::Tally;

use super::plot::Plot;

/// What all modes end with.
pub(super) const STATUS: &str = "\
SIGINT or SIGTERM ends the run early and prints its results so far; a second one
ends it at once.
Exit status: 0 every connection succeeded; 1 one failed, or the run could not
begin; 2 wrong usage; 130 or 143 after a second SIGINT or SIGTERM.";

/// The account of a run.
pub(super) struct RunReport {
    /// What its threads brought together.
    pub tally: Tally,
    clocks: Vec<CpuClock>,
    plot: Option<Plot>,
}

/// A process whose time is told.
struct CpuClock {
    of: &'static str,
    pid: u32,
    begin: Option<CpuTime>,
    spent: Option<CpuTime>,
}

impl CpuClock {
    fn of(of: &'static str, pid: u32) -> Self {
        Self { of, pid, begin: None, spent: None }
    }
}

impl RunReport {
    /// An account that has nothing in it yet.
    ///
    /// # Errors
    ///
    /// `ENOENT` where no process has the server's number; what open(2) says of the file for the plot.
    pub(super) fn new(server: Option<u32>, plot: Option<&Path>) -> Result<Self> {
        let mut clocks = vec![CpuClock::of("self", id())];
        if let Some(pid) = server {
            CpuTime::of(pid)?;
            clocks.push(CpuClock::of("server", pid));
        }
        Ok(Self { tally: Tally::default(), clocks, plot: plot.map(Plot::create).transpose()? })
    }

    /// The measured time begins.
    pub(super) fn note_begin(&mut self) {
        for clock in &mut self.clocks {
            clock.begin = CpuTime::of(clock.pid).ok();
        }
    }

    /// The measured time ends.
    pub(super) fn note_end(&mut self) {
        for clock in &mut self.clocks {
            let end = CpuTime::of(clock.pid).ok();
            clock.spent = end.zip(clock.begin).map(|(end, begin)| end - begin);
        }
    }

    /// Prints it, and draws the latency where that is asked for; connections that came to nothing are an error.
    pub(super) fn tell(self, reporter: &Reporter, title: &str, options: &SocketOptions) -> Result<ExitCode> {
        let (tally, tell) = (self.tally, |load| reporter.report(&Event::Load(load)));
        let (requests, bytes) = (tally.requests, tally.bytes);
        let (served, due) = (tally.served, (tally.due > 0).then_some(tally.due));
        tell(LoadEvent::Result { requests, due, served, bytes, elapsed: tally.elapsed });
        if requests > 0 {
            let at = |quantile| Duration::from_nanos(tally.latency.value_at_quantile(quantile));
            let max = Duration::from_nanos(tally.latency.max());
            tell(LoadEvent::Latency { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max });
        }
        for clock in self.clocks {
            if let Some((user, system)) = clock.spent.map(CpuTime::split) {
                tell(LoadEvent::Cpu { of: clock.of, pid: clock.pid, user, system, requests, bytes });
            }
        }
        tell(LoadEvent::Failures(tally.failures));
        if let Some(plot) = self.plot {
            plot.write(title, &tally.latency)?;
        }
        let failures = tally.failures.sum();
        match tally.first_failure {
            None => Ok(ExitCode::SUCCESS),
            Some((error, tuple)) => {
                let error = error.note(format_args!("{failures} connections failed; this was the first"));
                Err(explain(error, tuple.local, Some(tuple.remote), options))
            }
        }
    }
}
