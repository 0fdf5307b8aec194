//! One of the processes that hold: it opens its share, says how far it is, and dies with the one that started it.

use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::cli;
use crate::drive::{EventLoop, Limits, LoopSettings};
use crate::error::{Error, Result};
use crate::net::SocketOptions;
use crate::report::{Failures, Reporter, Verbosity};
use crate::sandbox::parent;
use crate::service::load::{Hold, HoldPlan, Holding};
use crate::text::Format;
use clap::Args;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

/// How often it says how far it is.
const TELL: Duration = Duration::from_millis(50);
/// How long connections have to end by FIN.
const DRAIN: Duration = Duration::from_secs(60);

/// Hold a share of the connections, which standard input describes, for `fourtuple load hold`
#[derive(Args)]
pub(crate) struct ShareArgs {}

/// What a holder is told, on one line.
#[derive(Serialize, Deserialize)]
pub(super) struct Order {
    pub plan: HoldPlan,
    pub connect_timeout: Duration,
}

/// What a holder says, a line at a time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct HolderProgress {
    pub open: usize,
    pub verified: usize,
    pub settled: bool,
    pub failures: Failures,
    /// The first failure, in words.
    pub first: Option<String>,
}

/// Runs it.
pub(crate) fn run() -> Result<ExitCode> {
    cli::raise_descriptor_limit();
    parent::die_with_parent()?;
    if parent::has_gone(io::stdin())? {
        return Err(Error::new("getppid", "", Errno::ESRCH));
    }
    let Order { plan, connect_timeout } = order()?;
    let settings = LoopSettings {
        limits: Limits { connect: Some(connect_timeout), ..Limits::default() },
        drain: DRAIN,
        options: options(plan.finish),
        ..LoopSettings::default()
    };
    let silent = Reporter::stdout(Format::Json, Verbosity::Nothing);
    let event_loop = EventLoop::new(silent, settings, &[crate::service::Signal::Stop])?;
    let holding = Arc::new(Holding::default());
    let mut hold = Hold::new(plan, Arc::clone(&holding));
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .spawn_scoped(scope, move || event_loop.run(&mut hold).map(|_| hold.tally()))
            .map_err(|error| Error::new("clone", "for a holder's thread", error))?;
        let mut said = HolderProgress::default();
        while !thread.is_finished() {
            let progress = HolderProgress {
                settled: holding.is_settled(),
                open: holding.open(),
                verified: holding.verified(),
                ..HolderProgress::default()
            };
            if progress != said {
                tell(&progress)?;
                said = progress;
            }
            thread::sleep(TELL);
        }
        let tally = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let first = tally.first_failure.map(|(error, _)| error.to_string());
        tell(&HolderProgress { settled: true, failures: tally.failures, first, ..said })?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Both options, so that source ports are shared, and an end by RST, also where the kernel ends this process.
fn options(finish: bool) -> SocketOptions {
    SocketOptions {
        reuse_address: true,
        reuse_port: true,
        no_delay: true,
        linger: (!finish).then_some(Duration::ZERO),
        ..SocketOptions::default()
    }
}

fn order() -> Result<Order> {
    let failed = |error| Error::new("read", "standard input", error);
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(failed)?;
    serde_json::from_str(&line).map_err(|error| failed(error.into()))
}

fn tell(progress: &HolderProgress) -> Result<()> {
    let mut line = serde_json::to_string(progress).unwrap_or_default();
    line.push('\n');
    let mut output = io::stdout().lock();
    let written = output.write_all(line.as_bytes()).and_then(|()| output.flush());
    written.map_err(|error| Error::new("write", "standard output", error))
}
