//! The performance: a thread that makes the calls, and one that watches signals and the time a call takes.
//!
//! The calls block as the kernel has it, so nothing but another thread can end the wait for one. A signal handler
//! could interrupt it instead, but then the call would answer EINTR, which the steps have not asked for.

use std::panic::resume_unwind;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use fourtuple::cli;
use fourtuple::error::{Error, Result};
use fourtuple::report::{self, Event, Reporter, Returned, Shown};
use nix::errno::Errno;
use nix::libc::{SIGINT, SIGTERM};
use nix::sched::{CpuSet, sched_getcpu, sched_setaffinity};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::Pid;
use signal_hook::iterator::Signals;

use super::stage::{Outcome, Stage};
use super::steps::{Address, Call, Step};

/// What the watching thread hears.
enum News {
    /// The step of this index begins.
    Began(usize),
    /// The thread of the calls has come to its end.
    Ended,
    Signal(i32),
}

/// The lines told so far. Both threads tell: one the calls that returned, the other the call that did not.
#[derive(Clone)]
struct Lines {
    reporter: Reporter,
    told: Arc<Mutex<Told>>,
}

#[derive(Default)]
struct Told {
    /// The step whose call has begun and is not told yet.
    begun: Option<usize>,
    /// Nothing more is to be told.
    broken_off: bool,
}

/// Performs `steps`; no call may block longer than `patience`.
pub fn perform(steps: Vec<Step>, patience: Duration, reporter: &Reporter) -> Result<ExitCode> {
    let steps: Arc<[Step]> = steps.into();
    let lines = Lines { reporter: reporter.clone(), told: Arc::default() };
    let (tell, news) = channel();
    let (wake, woken) = channel();
    watch_signals(tell.clone())?;
    let calls =
        Calls { stage: Stage::new(patience), lines: lines.clone(), tell: Tell(tell), woken, patience };
    let own = Arc::clone(&steps);
    let started = thread::Builder::new().name("calls".to_owned()).spawn(move || calls.make(&own));
    let calls = started.map_err(|error| Error::new("pthread_create", "", error))?;
    let pauses = steps.iter().filter(|step| matches!(step.call, Call::Pause(None))).count();
    let watch = Watch { steps: &steps, lines, news, wake, patience, deadline: None, pauses };
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

/// Says that its thread has ended, however it did.
struct Tell(Sender<News>);

impl Drop for Tell {
    fn drop(&mut self) {
        let _ = self.0.send(News::Ended);
    }
}

impl Lines {
    /// Whether the call of this step may be made: not when the performance is broken off.
    fn begin(&self, index: usize) -> bool {
        let mut told = self.lock();
        told.begun = Some(index);
        !told.broken_off
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread of the calls.
struct Calls {
    stage: Stage,
    lines: Lines,
    tell: Tell,
    /// Says that a signal has ended a `pause`.
    woken: Receiver<()>,
    patience: Duration,
}

impl Calls {
    fn make(mut self, steps: &[Step]) -> Result<()> {
        stay_on_this_processor();
        // They are for the other threads: here they would interrupt a call that has SO_RCVTIMEO, signal(7).
        let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
        signals.thread_block().map_err(|errno| Error::new("sigprocmask", "SIG_BLOCK", errno))?;
        for (index, step) in steps.iter().enumerate() {
            if !self.lines.begin(index) {
                return Ok(());
            }
            let _ = self.tell.0.send(News::Began(index));
            // An address that is another socket's is told as what it was when the call was made.
            let arguments = self.arguments(&step.call);
            let outcome = match step.call {
                Call::Pause(None) => {
                    let _ = self.woken.recv();
                    Outcome::Errno(Errno::EINTR)
                }
                _ => self.stage.perform(step),
            };
            let mut told = self.lines.lock();
            if told.broken_off {
                return Ok(());
            }
            self.report(step, &arguments, &outcome);
            told.begun = None;
            drop(told);
            if let Outcome::Instead(state) = outcome {
                return Err(self.in_vain(step, state));
            }
        }
        Ok(())
    }

    fn arguments(&self, call: &Call) -> String {
        match call {
            Call::Bind(address @ Address::Of(_)) | Call::Connect(address @ Address::Of(_)) => self
                .stage
                .resolve(address)
                .map_or_else(|_| address.to_string(), |address| address.to_string()),
            _ => call.arguments(),
        }
    }

    fn report(&self, step: &Step, arguments: &str, outcome: &Outcome) {
        let about = match &step.call {
            Call::Accept(name) if matches!(outcome, Outcome::Words(..)) => &Some(name.clone()),
            _ => &step.socket,
        };
        let (local, remote) = if step.call.has_socket() { self.stage.addresses(about) } else { (None, None) };
        let instead;
        let returned = match outcome {
            Outcome::Number(number) => Returned::Number(*number, Shown::Nothing),
            Outcome::Words(number, words) => Returned::Number(*number, Shown::Words(words)),
            Outcome::Bytes(bytes) => Returned::Number(bytes.len() as i64, Shown::Bytes(bytes)),
            Outcome::Errno(errno) => Returned::Errno(*errno),
            Outcome::Instead(state) => {
                instead = format!("({state})");
                Returned::Failed(&instead)
            }
        };
        let name = step.call.name();
        let socket = named(step);
        let call = report::Call { socket, name, arguments, returned, local, remote };
        self.lines.reporter.report(&Event::Call(call));
    }

    fn in_vain(&self, step: &Step, seen: fourtuple::net::TcpState) -> Error {
        let subject = format!("{}{}", prefix(step), step.call.arguments());
        let patience = report::Short(self.patience);
        Error::new("wait", subject, std::io::Error::other(format!("still {seen} after {patience}")))
    }
}

/// Timers that two sockets' calls start shortly after each other then expire in one go, and what both send crosses:
/// a simultaneous open on loopback rests on it. Where it is refused the calls are made all the same.
fn stay_on_this_processor() {
    let mut processors = CpuSet::new();
    let processor = sched_getcpu().and_then(|processor| processors.set(processor));
    let _ = processor.and_then(|()| sched_setaffinity(Pid::from_raw(0), &processors));
}

/// The name that the step's line begins with.
fn named(step: &Step) -> Option<&str> {
    step.socket.as_deref().filter(|_| step.call.has_socket())
}

fn prefix(step: &Step) -> String {
    named(step).map(|name| format!("{name} ")).unwrap_or_default()
}

/// The thread that watches.
struct Watch<'a> {
    steps: &'a [Step],
    lines: Lines,
    news: Receiver<News>,
    wake: Sender<()>,
    patience: Duration,
    /// When the current step's call will have blocked for too long.
    deadline: Option<Instant>,
    /// How many steps are still to take a signal each.
    pauses: usize,
}

impl Watch<'_> {
    /// Returns when the thread of the calls has ended, or with the signal that ends the performance.
    fn until_the_end(mut self) -> Result<Option<i32>> {
        loop {
            match self.next() {
                Ok(News::Began(index)) => self.began(index),
                Ok(News::Ended) | Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Ok(News::Signal(_)) if self.pauses > 0 => {
                    self.pauses -= 1;
                    let _ = self.wake.send(());
                }
                Ok(News::Signal(number)) => {
                    let name = Signal::try_from(number).map_or("a signal", Signal::as_str);
                    self.break_off(&format!("({name})"));
                    return Ok(Some(number));
                }
                Err(RecvTimeoutError::Timeout) => return Err(self.blocked()),
            }
        }
    }

    fn next(&self) -> std::result::Result<News, RecvTimeoutError> {
        match self.deadline {
            Some(deadline) => self.news.recv_timeout(deadline.saturating_duration_since(Instant::now())),
            None => self.news.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    fn began(&mut self, index: usize) {
        let bounded = self
            .steps
            .get(index)
            .is_some_and(|step| !matches!(step.call, Call::Pause(_) | Call::WaitFor(_) | Call::Poll(..)));
        self.deadline = bounded.then(|| Instant::now() + self.patience);
    }

    fn blocked(&self) -> Error {
        let why = format!("still blocked after {}", report::Short(self.patience));
        let (call, subject) = match self.break_off(&format!("({why})")) {
            Some(step) => (step.call.name(), format!("{}{}", prefix(step), step.call.arguments())),
            None => ("perform", String::new()),
        };
        Error::new(call, subject, std::io::Error::other(why))
            .hint("--patience lets a call block longer; SO_RCVTIMEO and `nonblocking on` let it return")
    }

    /// Tells the call that has not returned, and keeps the calls' thread from telling more.
    fn break_off(&self, why: &str) -> Option<&Step> {
        let mut told = self.lines.lock();
        told.broken_off = true;
        let step = self.steps.get(told.begun?)?;
        let arguments = &step.call.arguments();
        let (socket, name) = (named(step), step.call.name());
        let returned = Returned::Nothing(why);
        let call = report::Call { socket, name, arguments, returned, local: None, remote: None };
        self.lines.reporter.report(&Event::Call(call));
        Some(step)
    }
}
