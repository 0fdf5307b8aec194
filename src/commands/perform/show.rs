//! The performance: a thread that makes the calls, and one that watches signals and the time a call takes.
//!
//! The calls block as the kernel has it, so nothing but another thread can end the wait for one. A signal handler
//! could interrupt it instead, but then the call would answer EINTR, which the steps have not asked for.

mod calls;
mod news;
mod transcript;
mod watch;

use std::panic::resume_unwind;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use crate::cli;
use crate::error::{Error, Result};
use crate::report::Reporter;
use nix::libc::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::open_sockets::OpenSockets;
use super::steps::{Call, Step};
use calls::CallThread;
use news::{News, Tell};
use transcript::Transcript;
use watch::Watchdog;

/// Performs `steps`; no call may block longer than `patience`.
pub(super) fn perform(steps: Vec<Step>, patience: Duration, reporter: &Reporter) -> Result<ExitCode> {
    let steps: Arc<[Step]> = steps.into();
    let transcript = Transcript::of(reporter.clone());
    let (tell, news) = channel();
    let (wake, woken) = channel();
    watch_signals(tell.clone())?;
    let calls = CallThread {
        sockets: OpenSockets::new(patience),
        transcript: transcript.clone(),
        tell: Tell(tell),
        woken,
        patience,
    };
    let own = Arc::clone(&steps);
    let started = thread::Builder::new().name("calls".to_owned()).spawn(move || calls.make(&own));
    let calls = started.map_err(|error| Error::new("pthread_create", "", error))?;
    let pauses = steps.iter().filter(|step| matches!(step.call, Call::Pause(None))).count();
    let watch = Watchdog { steps: &steps, transcript, news, wake, patience, deadline: None, pauses };
    match watch.until_the_end()? {
        Some(signal) => Ok(cli::signalled(signal)),
        None => calls.join().unwrap_or_else(|panic| resume_unwind(panic)).map(|()| ExitCode::SUCCESS),
    }
}

fn watch_signals(tell: Sender<News>) -> Result<()> {
    let failed = |error| Error::new("sigaction", "", error);
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(failed)?;
    let watch = move || {
        for number in signals.forever() {
            if tell.send(News::Signal(number)).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(watch).map_err(failed)?;
    Ok(())
}
