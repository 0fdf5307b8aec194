//! A server's system calls, by strace(1).

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::{Error, Result};

/// What strace with these options writes about a process and its threads during `work`.
pub fn strace(pid: u32, options: &[&str], work: impl FnOnce() -> Result<()>) -> Result<String> {
    let path = format!("target/bench/strace-{pid}");
    let started = Command::new("strace")
        .args(options)
        .args(["-f", "-o", &path, "-p", &pid.to_string()])
        .stderr(Stdio::piped())
        .spawn();
    let mut strace = started.map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::unable("strace is not installed"),
        _ => error.into(),
    })?;
    let mut said =
        strace.stderr.take().map(BufReader::new).ok_or_else(|| Error::unable("no pipe to strace"))?;
    // It says so when it is attached.
    said.read_line(&mut String::new())?;
    let worked = work();
    kill(Pid::from_raw(i32::try_from(strace.id())?), Signal::SIGINT)?;
    strace.wait()?;
    worked?;
    let report = fs::read_to_string(&path)?;
    fs::remove_file(&path)?;
    Ok(report)
}
