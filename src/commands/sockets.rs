//! `fourtuple sockets`: the kernel's TCP table.

mod args;
mod filter;
mod table;
mod watch;

use std::process::ExitCode;

use crate::cli;
use crate::error::{Error, Result};
use crate::kernel::holders::Holder;
use crate::kernel::inet_diag::{SocketRow, shows_bound, sockets};
use crate::net::TcpState;
use crate::text::{Format, Line};
use nix::errno::Errno;

pub(super) use args::SocketsArgs;

/// Prints the sockets that were asked for.
pub(super) fn run(args: &SocketsArgs) -> Result<ExitCode> {
    if args.state.contains(&TcpState::BoundInactive) && !shows_bound() {
        let error = Error::new("sock_diag", "sockets in BOUND", Errno::EOPNOTSUPP);
        return Err(error
            .note("the kernel shows them from Linux 6.8 on")
            .hint("leave `bound` out of --state"));
    }
    if args.watch {
        return watch::run(args);
    }
    let rows: Vec<SocketRow> = sockets()?.into_iter().filter(|row| args.matches(row)).collect();
    let entries = Holder::of(rows);
    let text = match args.output.format {
        Format::Json => entries.iter().map(|entry| json(entry) + "\n").collect(),
        Format::Text => table::shown(&entries, !args.no_header),
    };
    cli::print(&text)
}

fn json(Holder { row, processes, sharing, .. }: &Holder) -> String {
    let mut line = Line::new(Format::Json, "socket");
    line.field("state", row.state)
        .field("local", row.local)
        .field("remote", row.remote)
        .number("receive-queue", row.receive_queue.into())
        .number("send-queue", row.send_queue.into());
    if let Some(timer) = row.timer {
        line.field("timer", timer.kind.name())
            .duration("timer-remaining", timer.remaining)
            .number("retransmissions", timer.retransmissions.into());
    }
    line.number("uid", row.uid.into())
        .number("inode", row.inode.into())
        .optional("reuse-address", sharing.reuse_address)
        .optional("reuse-port", sharing.reuse_port)
        .list("processes", processes);
    line.finish()
}
