//! The process inside: it furnishes the place, starts the command there, passes signals to it and reaps.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{self, exit};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{ForkResult, Pid, getpgid, getpid, getppid};

use super::command::{CommandEnd, IsolatedCommand};
use super::enter::Ground;
use super::outside::is_transient;
use super::signals::{BlockedSignals, SignalReader, from_byte};
use super::{fork, furnish};
use crate::error::{Error, Result};
use crate::sandbox::parent;
use crate::text::Escaped;

/// Runs the command to its end and tells it; returning ends the PID namespace this process is the first of.
pub(super) fn attend(
    ground: Ground,
    command: &IsolatedCommand,
    mut outside: &UnixStream,
    signals: &BlockedSignals,
) -> Result<()> {
    parent::die_with_parent()?;
    outside.set_nonblocking(true).map_err(|error| Error::new("fcntl", "O_NONBLOCK", error))?;
    if parent::has_gone(outside)? {
        return Ok(());
    }
    furnish::furnish(ground)?;
    let first = getpid();
    let child = match fork::fork()? {
        ForkResult::Parent { child } => child,
        ForkResult::Child => exit((command.failed)(&become_command(command, first, signals)).into()),
    };
    if let Some(ended) = pass_signals(child, outside, &signals.watch()?)? {
        // Nobody outside, nobody to tell.
        let _ = outside.write(&ended.to_bytes());
    }
    Ok(())
}

/// Becomes the command; returns only why it could not.
fn become_command(command: &IsolatedCommand, first: Pid, signals: &BlockedSignals) -> Error {
    let Some((program, arguments)) = command.words.split_first() else {
        return Error::new("execve", "", Errno::ENOENT);
    };
    // Inside another's namespaces the end of the process above does not end this one, so bind it too.
    if let Err(error) = parent::die_with_parent().and_then(|()| signals.release()) {
        return error;
    }
    if getppid() != first {
        return Error::new("getppid", "", Errno::ESRCH);
    }
    let error = process::Command::new(program).args(arguments).exec();
    Error::new("execve", Escaped(program.as_encoded_bytes()), error)
}

/// Passes on what comes from outside and reaps what is orphaned here, until the command ends or nobody is outside.
fn pass_signals(child: Pid, mut outside: &UnixStream, watch: &SignalReader) -> Result<Option<CommandEnd>> {
    let mut witnessed = SigSet::empty();
    loop {
        watch.wait(outside.as_fd())?;
        let mut byte = [0];
        let read = outside.read(&mut byte);
        // What was sent to the process group came here too, and before it reached the process outside: the kernel
        // signals the youngest member first. So whoever has read its byte finds the signal among the arrivals.
        witnessed
            .extend(watch.arrivals().filter(|arrival| arrival.from_outside).map(|arrival| arrival.signal));
        if let Some(ended) = reap(child)? {
            return Ok(Some(ended));
        }
        match read {
            Ok(0) => return Ok(None),
            Ok(_) => from_byte(byte[0]).into_iter().for_each(|signal| pass(signal, child, &mut witnessed)),
            Err(error) if is_transient(&error) => {}
            Err(error) => return Err(Error::new("recv", "the process outside", error)),
        }
    }
}

/// Sends `signal` to the command, unless the command got it when this process did.
fn pass(signal: Signal, child: Pid, witnessed: &mut SigSet) {
    let same_group = getpgid(Some(child)) == getpgid(None);
    if !(witnessed.contains(signal) && same_group) {
        // Not reaped yet, so the pid is still its own.
        let _ = kill(child, signal);
    }
    witnessed.remove(signal);
}

/// Reaps all that has ended; the command's end is what it returns.
fn reap(command: Pid) -> Result<Option<CommandEnd>> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(status) if status.pid() == Some(command) => return Ok(CommandEnd::from_status(status)),
            Ok(status) if status.pid().is_some() => {}
            Ok(_) => return Ok(None),
            Err(Errno::EINTR) => {}
            // Some process was ended by a real-time signal, for which nix has no name.
            Err(Errno::EINVAL) if kill(command, None).is_ok() => {}
            Err(errno @ Errno::EINVAL) => {
                return Err(
                    Error::new("waitpid", command, errno).note("a real-time signal ended the command")
                );
            }
            Err(errno) => return Err(Error::new("waitpid", command, errno)),
        }
    }
}
