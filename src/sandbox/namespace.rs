//! A command in network and PID namespaces of its own, or in those of a process that runs.
//!
//! Three processes take part. The one that calls stays outside and passes signals and the exit status. Its child is
//! the first process (pid 1) of the new PID namespace, and dies with it: the kernel then ends every other process
//! inside, and with the last of them the network is gone. The child of that one becomes the command.

mod command;
mod enter;
mod fork;
mod furnish;
mod inside;
mod interfaces;
mod outside;
mod refusal;
mod signals;
mod sysctl;

use std::os::unix::net::UnixStream;
use std::process::exit;

use nix::unistd::ForkResult;

use crate::error::{Error, Result};
use crate::sandbox::parent::die_with_parent;

pub(crate) use command::{CommandEnd, IsolatedCommand, Namespaces};
pub(crate) use enter::{enter_user_namespace, identity};
pub(crate) use interfaces::{add_address, add_device};
pub(crate) use sysctl::{PINNED, Sysctl};

/// Moves this process, which has one thread, into a network of its own: lo up, the pinned sysctls, then these written.
///
/// The kernel ends it with its parent. Its pids and its files stay those of the caller.
///
/// # Errors
///
/// As [`run`], for a place of its own.
pub(crate) fn enter_network(sysctls: &[Sysctl]) -> Result<()> {
    die_with_parent()?;
    enter::enter_network()?;
    furnish::furnish_network(sysctls)
}

/// Runs `command` in `place` and waits for its end; the calling process stays in that network.
///
/// SIGHUP, SIGINT, SIGQUIT, SIGALRM, SIGTERM, SIGUSR1, SIGUSR2 and SIGWINCH that arrive meanwhile are passed on to the
/// command, unless it has them already as a member of the same process group. When the calling process ends, by
/// SIGKILL too, the kernel ends everything in a place of its own; in another's, the command.
///
/// Where the caller may not administer the network, root of a user namespace of its own is mapped to it.
///
/// # Errors
///
/// `EINVAL` from `unshare` where another thread runs. `EPERM`, `EACCES` and `ENOSPC` where the system refuses
/// namespaces; the error then says what stands in the way and which command allows it (namespaces(7)).
pub(crate) fn run(place: &Namespaces, command: &IsolatedCommand) -> Result<CommandEnd> {
    let ground = enter::enter(place)?;
    let signals = signals::BlockedSignals::block()?;
    let (outside, inside) = UnixStream::pair().map_err(|error| Error::new("socketpair", "AF_UNIX", error))?;
    match fork::fork()? {
        ForkResult::Parent { child } => {
            drop(inside);
            outside::attend(child, &outside, &signals)
        }
        ForkResult::Child => {
            drop(outside);
            let outcome = inside::attend(ground, command, &inside, &signals);
            exit(outcome.map_or_else(|error| (command.failed)(&error).into(), |()| 0))
        }
    }
}
