//! What is run, where, and how it ended.

use std::ffi::OsString;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::sysctl::Sysctl;
use crate::error::Error;

/// The namespaces a command runs in.
#[derive(Debug)]
pub(crate) enum Namespaces {
    /// New ones: lo up, the sysctls that decide what an experiment sees pinned, and then these written.
    Own(Vec<Sysctl>),
    /// Those of a process that runs.
    Of(Pid),
}

pub(crate) struct IsolatedCommand {
    /// The program, searched in `PATH`, and its arguments.
    pub words: Vec<OsString>,
    /// Tells of a failure and chooses the exit status it has; called in the child process that it befell.
    ///
    /// Where the program could not be started, the call that failed is `execve`.
    pub failed: fn(&Error) -> u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommandEnd {
    /// It exited with this status.
    Exited(u8),
    Signaled(Signal),
}
