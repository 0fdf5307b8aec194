//! The process that stays outside: it passes signals in and the exit status out.

use std::io::{self, ErrorKind, IsTerminal, Read, Write, stdin};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, killpg};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp};

use super::command::CommandEnd;
use super::signals::{BlockedSignals, SignalReader, to_byte};
use crate::error::{Error, Result};

/// Waits for the end of `child` and so, where it is the first of its PID namespace, of all that lives there.
pub(super) fn attend(child: Pid, inside: &UnixStream, signals: &BlockedSignals) -> Result<CommandEnd> {
    let foreground = has_terminal();
    let told = pass_signals(inside, &signals.watch()?)?;
    let status = wait(child)?;
    if foreground {
        take_terminal_back();
    }
    signals.release()?;
    // Nothing told: the child failed before it had a command, said why, and its own status counts.
    Ok(told.unwrap_or(status))
}

/// Sends every signal that comes to the process inside, until that tells how the command ended or ends itself.
fn pass_signals(mut inside: &UnixStream, watch: &SignalReader) -> Result<Option<CommandEnd>> {
    inside.set_nonblocking(true).map_err(|error| Error::new("fcntl", "O_NONBLOCK", error))?;
    loop {
        watch.wait(inside.as_fd())?;
        for arrival in watch.arrivals().filter(|arrival| arrival.signal != Signal::SIGCHLD) {
            // A process inside that has gone needs no signal, and its end is read below.
            let _ = inside.write(&[to_byte(arrival.signal)]);
        }
        let mut told = [0; 2];
        match inside.read(&mut told) {
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(CommandEnd::from_bytes(told)),
            Err(error) if is_transient(&error) => {}
            // Its end closed with signals still unread.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
            Err(error) => return Err(Error::new("recv", "the process inside", error)),
        }
    }
}

pub(super) fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

fn wait(child: Pid) -> Result<CommandEnd> {
    loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(Error::new("waitpid", child, errno)),
            Ok(status) => {
                if let Some(ended) = CommandEnd::from_status(status) {
                    return Ok(ended);
                }
            }
        }
    }
}

fn has_terminal() -> bool {
    stdin().is_terminal() && tcgetpgrp(stdin()).is_ok_and(|group| group == getpgrp())
}

/// Makes this process group the foreground one again where a shell inside left the terminal to a group that is gone.
///
/// Such a shell cannot do it: the group it found there has no number in its PID namespace.
fn take_terminal_back() {
    let gone = tcgetpgrp(stdin()).is_ok_and(|group| killpg(group, None) == Err(Errno::ESRCH));
    let mut stop = SigSet::empty();
    stop.add(Signal::SIGTTOU);
    // From the background it would stop this process, unless SIGTTOU is blocked (tcsetpgrp(3)).
    if gone && stop.thread_block().is_ok() {
        let _ = tcsetpgrp(stdin(), getpgrp());
        let _ = stop.thread_unblock();
    }
}

impl CommandEnd {
    pub(super) fn from_status(status: WaitStatus) -> Option<Self> {
        match status {
            // wait(2) hands on the low eight bits.
            WaitStatus::Exited(_, code) => Some(Self::Exited(code as u8)),
            WaitStatus::Signaled(_, signal, _) => Some(Self::Signaled(signal)),
            _ => None,
        }
    }

    pub(super) fn to_bytes(self) -> [u8; 2] {
        match self {
            Self::Exited(code) => [0, code],
            Self::Signaled(signal) => [1, to_byte(signal)],
        }
    }

    fn from_bytes(bytes: [u8; 2]) -> Option<Self> {
        match bytes {
            [0, code] => Some(Self::Exited(code)),
            [_, signal] => super::signals::from_byte(signal).map(Self::Signaled),
        }
    }
}
