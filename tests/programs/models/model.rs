//! The models, and the processes of a listener.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::program::{Listener, Program};

/// A model by its name on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model(&'static str);

impl Model {
    pub fn event_loop() -> Self {
        Self("event-loop")
    }

    pub fn sequential() -> Self {
        Self("sequential")
    }

    pub fn thread() -> Self {
        Self("thread")
    }

    pub fn fork() -> Self {
        Self("fork")
    }

    /// The options that choose it, and more.
    pub fn options<'a>(self, more: &[&'a str]) -> Vec<&'a str> {
        [&["--model", self.0], more].concat()
    }

    /// A listener on 127.0.0.1 and any port.
    #[track_caller]
    pub fn start(self, options: &[&str]) -> Listener {
        Listener::start(&self.options(options))
    }

    /// The last line of a listener; one whose children served knows nothing of their bytes.
    pub fn stopped(self, accepted: usize, bytes: usize) -> String {
        match self.0 {
            "fork" => format!("stopped accepted={accepted}"),
            _ => format!("stopped accepted={accepted} received={bytes} sent={bytes}"),
        }
    }
}

/// The children of a process.
pub fn children(parent: u32) -> Vec<i32> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    children.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// Signals a program and its children.
pub fn signal_all(program: &Program, signal: Signal) {
    program.signal(signal);
    for child in children(program.pid()) {
        // It may have ended.
        let _ = kill(Pid::from_raw(child), signal);
    }
}
