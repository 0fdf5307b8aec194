//! The thread that watches.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::report::{self, Event, Returned};
use nix::sys::signal::Signal;

use super::news::News;
use super::transcript::Transcript;
use crate::commands::perform::steps::{Call, Step};

pub(super) struct Watchdog<'a> {
    pub steps: &'a [Step],
    pub transcript: Transcript,
    pub news: Receiver<News>,
    pub wake: Sender<()>,
    pub patience: Duration,
    /// When the current step's call will have blocked for too long.
    pub deadline: Option<Instant>,
    /// How many steps are still to take a signal each.
    pub pauses: usize,
}

impl Watchdog<'_> {
    /// Returns when the thread of the calls has ended, or with the signal that ends the performance.
    pub(super) fn until_the_end(mut self) -> Result<Option<i32>> {
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
        let why = format!("still blocked after {}", crate::text::Short(self.patience));
        let (call, subject) = match self.break_off(&format!("({why})")) {
            Some(step) => (step.call.name(), step.subject()),
            None => ("perform", String::new()),
        };
        Error::new(call, subject, std::io::Error::other(why))
            .hint("--patience lets a call block longer; SO_RCVTIMEO and `nonblocking on` let it return")
    }

    /// Tells the call that has not returned, and keeps the calls' thread from telling more.
    fn break_off(&self, why: &str) -> Option<&Step> {
        let mut told = self.transcript.lock();
        told.broken_off = true;
        let step = self.steps.get(told.begun?)?;
        let arguments = &step.call.arguments();
        let (socket, name) = (step.named(), step.call.name());
        let returned = Returned::Nothing(why);
        let call = report::CallEvent { socket, name, arguments, returned, local: None, remote: None };
        self.transcript.reporter.report(&Event::Call(call));
        Some(step)
    }
}
