//! `fourtuple hide`: what the experiments call to make a program deaf.

use std::process::ExitCode;

use crate::error::{Error, Result};
use crate::kernel::borrow::tcp_sockets;
use crate::net::hide_segments;
use clap::Args;
use nix::errno::Errno;

/// Drop all incoming segments of a process's TCP sockets
#[derive(Args)]
pub(super) struct HideArgs {
    /// The process
    pid: i32,
}

/// Attaches the filter to each of them.
pub(super) fn run(args: &HideArgs) -> Result<ExitCode> {
    let sockets = tcp_sockets(args.pid)?;
    let subject = format!("SO_ATTACH_FILTER of process {}", args.pid);
    if sockets.is_empty() {
        return Err(Error::new("setsockopt", subject, Errno::ENOTSOCK).note("it has no TCP socket open"));
    }
    for socket in &sockets {
        hide_segments(socket, None).map_err(|error| Error::new("setsockopt", &subject, error))?;
    }
    Ok(ExitCode::SUCCESS)
}
