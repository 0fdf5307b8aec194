//! One run: threads with a loop each, begun together, watched, and summed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use crate::cli::{self, FormatArgs, Remote};
use crate::drive::{Ended, EventLoop, Limits, LoopSettings};
use crate::error::{Error, Result};
use crate::net::{SocketOptions, any_local};
use crate::report::{Event, LoadEvent, Reporter};
use crate::service::Service;
use crate::service::load::{Course, LoadPlan, Tally};
use clap::Args;
use nix::sys::signal::{Signal, raise};

use super::outcome::RunReport;
use super::progress::Progress;

/// What the lines of a run say.
pub(super) const LINES: &str = "\
Lines:
  running   the measured time begins
  result    requests answered in it, connections that got at least one answer,
            and bytes of the answers
  latency   from a request's send, with --rate from when it was due, to its
            answer's last byte: percentiles, and the maximum; answered requests
            only, with --rate corrected for coordinated omission
  cpu       processor time of this process, and of the server (--server-pid),
            its threads and children; measured to the nanosecond, but divided
            into user and system by clock ticks of 10 ms
  failures  failed connections; not counted above";

/// How often a thing is looked at that nobody tells of.
const LOOK: Duration = Duration::from_micros(500);
/// How often it is looked whether all ended early.
const GLANCE: Duration = Duration::from_millis(20);
/// How long connections have to end after the last byte.
const DRAIN: Duration = Duration::from_secs(1);

/// What the loads have in common.
#[derive(Args)]
#[command(mut_arg("format", cli::how("events are")))]
pub(super) struct Common {
    /// The server: address or host name, and port, such as 127.0.0.1:3000 or [::1]:3000
    #[arg(value_name = "REMOTE", value_parser = cli::remote)]
    remote: Remote,
    /// How long to measure
    #[arg(long, default_value = "5s", value_parser = cli::positive_duration, value_name = "DURATION")]
    duration: Duration,
    /// Threads, each with an event loop of its own; at most one a connection
    #[arg(long, default_value_t = 1, value_parser = cli::positive, value_name = "N")]
    threads: usize,
    /// Also report CPU time of this process and its children
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i32::MAX.into()), value_name = "PID")]
    server_pid: Option<u32>,
    /// How long a handshake may take
    #[arg(long, hide_short_help = true, default_value = "5s", value_parser = cli::positive_duration, value_name = "DURATION")]
    connect_timeout: Duration,
    /// How long an answer may take
    #[arg(long, hide_short_help = true, default_value = "5s", value_parser = cli::positive_duration, value_name = "DURATION")]
    reply_timeout: Duration,
    /// Plot latency by percentile to this file, as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    pub output: FormatArgs,
}

impl Common {
    /// The server's address.
    pub(super) fn remote(&self) -> Result<SocketAddr> {
        self.remote.first()
    }

    /// How many of all connections each thread has.
    pub(super) fn shares(&self, connections: usize) -> Vec<usize> {
        let threads = self.threads.min(connections);
        let share = |thread| connections / threads + usize::from(thread < connections % threads);
        (0..threads).map(share).collect()
    }

    /// A plan for one thread: one small request at a time, none compared but the first.
    pub(super) fn plan(&self, remote: SocketAddr, connections: usize) -> LoadPlan {
        LoadPlan {
            local: any_local(remote),
            remote,
            connections,
            size: 1,
            depth: 1,
            rate: None,
            warm_up: Duration::ZERO,
            duration: self.duration,
            timeout: self.reply_timeout,
            verify: false,
        }
    }

    fn settings(&self, options: &SocketOptions) -> LoopSettings {
        LoopSettings {
            limits: Limits { connect: Some(self.connect_timeout), ..Limits::default() },
            drain: DRAIN,
            options: SocketOptions { no_delay: true, ..options.clone() },
            ..LoopSettings::default()
        }
    }
}

/// A run and what is told of it.
pub(super) struct Run<'a> {
    /// Its arguments.
    pub common: &'a Common,
    /// Who tells of it.
    pub reporter: &'a Reporter,
    /// What its threads share.
    pub course: &'a Arc<Course>,
    /// The line that tells that it has begun.
    pub running: LoadEvent,
    /// It goes on beyond the duration until all answers are there.
    pub waits: bool,
    /// For its sockets, beside TCP_NODELAY.
    pub options: SocketOptions,
}

type Thread<'scope, S> = ScopedJoinHandle<'scope, Result<(Ended, S)>>;

impl Run<'_> {
    /// Gives each service a thread, and tells what they brought together.
    pub(super) fn all<S: Service + Send>(self, services: Vec<S>, tally: fn(S) -> Tally) -> Result<ExitCode> {
        let mut outcome = RunReport::new(self.common.server_pid, self.common.plot.as_deref())?;
        let mut ended = Ended::Stopped;
        let loops = services.into_iter().map(|service| {
            Ok((
                EventLoop::new(
                    self.reporter.silent(),
                    self.common.settings(&self.options),
                    &[crate::service::Signal::Stop],
                )?,
                service,
            ))
        });
        let loops: Vec<(EventLoop, S)> = loops.collect::<Result<_>>()?;
        thread::scope(|scope| -> Result<()> {
            let threads = loops.into_iter().map(|(event_loop, mut service)| {
                let work = move || event_loop.run(&mut service).map(|ended| (ended, service));
                thread::Builder::new().name("load".to_owned()).spawn_scoped(scope, work).map_err(|error| {
                    // Those that are started would wait for this one.
                    let _ = raise(Signal::SIGTERM);
                    Error::new("clone", "for a thread", error).hint("fewer --threads")
                })
            });
            let threads: Vec<Thread<S>> = threads.collect::<Result<_>>()?;
            self.conduct(&threads, &mut outcome);
            for thread in threads {
                let joined = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                let (how, service) = joined?;
                ended = ended.max(how);
                outcome.tally.add(tally(service));
            }
            Ok(())
        })?;
        let status = outcome.tell(self.reporter, &self.title(), &self.options);
        match ended {
            Ended::Stopped => status,
            Ended::AtOnce(signal) => Ok(cli::signalled(signal)),
        }
    }

    /// The words above its picture.
    fn title(&self) -> String {
        let LoadEvent::Running { mode, remote, connections, size, .. } = self.running else {
            return String::new();
        };
        format!("{mode} {remote}: {connections} connections, {size} bytes")
    }

    /// Lets all threads begin when all are ready, and looks at the clocks then and at the end.
    fn conduct<S>(&self, threads: &[Thread<S>], outcome: &mut RunReport) {
        let gone = || threads.iter().filter(|thread| thread.is_finished()).count();
        while self.course.ready() < threads.len() && gone() == 0 {
            thread::sleep(LOOK);
        }
        if gone() == threads.len() {
            return;
        }
        self.reporter.report(&Event::Load(self.running));
        // The bar is drawn at once, and the line must stand above it.
        self.reporter.flush();
        outcome.note_begin();
        let begin = self.course.begin();
        let progress = Progress::of(self.common.duration.as_millis() as u64);
        while gone() < threads.len() {
            let left = self.common.duration.saturating_sub(begin.elapsed());
            if left.is_zero() && !self.waits {
                break;
            }
            progress.answered(begin.elapsed(), self.course.answered());
            thread::sleep(if left.is_zero() { GLANCE } else { left.min(GLANCE) });
        }
        outcome.note_end();
        self.course.end();
    }
}
