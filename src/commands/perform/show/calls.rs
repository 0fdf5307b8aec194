//! The thread that makes the calls.

use std::sync::mpsc::Receiver;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::net::TcpState;
use crate::report::{self, Event, Returned, Shown};
use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getcpu, sched_setaffinity};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::Pid;

use super::news::{News, Tell};
use super::transcript::Transcript;
use crate::commands::perform::open_sockets::{CallResult, OpenSockets};
use crate::commands::perform::steps::{Address, Call, Step};

pub(super) struct CallThread {
    pub sockets: OpenSockets,
    pub transcript: Transcript,
    pub tell: Tell,
    /// Says that a signal has ended a `pause`.
    pub woken: Receiver<()>,
    pub patience: Duration,
}

impl CallThread {
    pub(super) fn make(mut self, steps: &[Step]) -> Result<()> {
        stay_on_this_processor();
        // They are for the other threads: here they would interrupt a call that has SO_RCVTIMEO, signal(7).
        let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
        signals.thread_block().map_err(|errno| Error::new("sigprocmask", "SIG_BLOCK", errno))?;
        for (index, step) in steps.iter().enumerate() {
            if !self.transcript.begin(index) {
                return Ok(());
            }
            let _ = self.tell.0.send(News::Began(index));
            // An address that is another socket's is told as what it was when the call was made.
            let arguments = self.arguments(&step.call);
            let outcome = match step.call {
                Call::Pause(None) => {
                    let _ = self.woken.recv();
                    CallResult::Errno(Errno::EINTR)
                }
                _ => self.sockets.perform(step),
            };
            let mut told = self.transcript.lock();
            if told.broken_off {
                return Ok(());
            }
            self.report(step, &arguments, &outcome);
            told.begun = None;
            drop(told);
            if let CallResult::Instead(state) = outcome {
                return Err(self.in_vain(step, state));
            }
        }
        Ok(())
    }

    fn arguments(&self, call: &Call) -> String {
        match call {
            Call::Bind(address @ Address::Of(_)) | Call::Connect(address @ Address::Of(_)) => self
                .sockets
                .resolve(address)
                .map_or_else(|_| address.to_string(), |address| address.to_string()),
            _ => call.arguments(),
        }
    }

    fn report(&self, step: &Step, arguments: &str, outcome: &CallResult) {
        let about = match &step.call {
            Call::Accept(name) if matches!(outcome, CallResult::Words(..)) => &Some(name.clone()),
            _ => &step.socket,
        };
        let (local, remote) =
            if step.call.has_socket() { self.sockets.addresses(about) } else { (None, None) };
        let instead;
        let returned = match outcome {
            CallResult::Number(number) => Returned::Number(*number, Shown::Nothing),
            CallResult::Words(number, words) => Returned::Number(*number, Shown::Words(words)),
            CallResult::Bytes(bytes) => Returned::Number(bytes.len() as i64, Shown::Bytes(bytes)),
            CallResult::Errno(errno) => Returned::Errno(*errno),
            CallResult::Instead(state) => {
                instead = format!("({state})");
                Returned::Failed(&instead)
            }
        };
        let name = step.call.name();
        let socket = step.named();
        let call = report::CallEvent { socket, name, arguments, returned, local, remote };
        self.transcript.reporter.report(&Event::Call(call));
    }

    fn in_vain(&self, step: &Step, seen: TcpState) -> Error {
        let subject = step.subject();
        let patience = crate::text::Short(self.patience);
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
