//! `fourtuple sockets`: the kernel's TCP table.

mod args;
mod filter;
mod table;
mod watch;

use std::process::ExitCode;

use crate::cli::{self, say_owner, say_sharing, say_timer, socket_line};
use crate::error::{Error, Result};
use crate::kernel::holders::Holder;
use crate::kernel::inet_diag::shows_bound;
use crate::kernel::table::{Gap, Table, table as sockets};
use crate::net::TcpState;
use crate::report::say;
use crate::text::{Format, Line};
use nix::errno::Errno;

pub(super) use args::SocketsArgs;

/// Prints the sockets that were asked for.
pub(super) fn run(args: &SocketsArgs) -> Result<ExitCode> {
    if args.watch {
        if args.state.contains(&TcpState::BoundInactive) && !shows_bound() {
            let error = Error::new("sock_diag", "sockets in BOUND", Errno::EOPNOTSUPP);
            return Err(error
                .note("the kernel shows them from Linux 6.8 on")
                .hint("leave `bound` out of --state; without --watch they are found by their processes"));
        }
        return watch::run(args);
    }
    let Table { mut rows, gap } = sockets()?;
    rows.retain(|row| args.matches(row));
    let entries = Holder::of(rows);
    let gap = gap.filter(|_| args.state.is_empty() || args.state.contains(&TcpState::BoundInactive));
    let text = match args.output.format {
        Format::Json => {
            entries.iter().map(json).chain(gap.iter().map(incomplete)).map(|line| line + "\n").collect()
        }
        Format::Text => table::shown(&entries, !args.no_header),
    };
    if let (Format::Text, Some(gap)) = (args.output.format, &gap) {
        say(&format!("fourtuple: {gap}"));
    }
    cli::print(&text)
}

/// That sockets may be missing, and why.
fn incomplete(gap: &Gap) -> String {
    let mut line = Line::new(Format::Json, "incomplete");
    line.field("words", gap);
    line.finish()
}

fn json(Holder { row, processes, sharing, .. }: &Holder) -> String {
    let mut line = socket_line("socket", row);
    line.number("receive-queue", row.receive_queue.into()).number("send-queue", row.send_queue.into());
    if let Some(timer) = &row.timer {
        say_timer(&mut line, timer);
        line.number("retransmissions", timer.retransmissions.into());
    }
    say_owner(&mut line, row);
    say_sharing(&mut line, sharing);
    line.list("processes", processes);
    line.finish()
}
