//! `fourtuple ports now`: what is used.

use std::process::ExitCode;

use crate::cli::{self, FormatArgs};
use crate::error::Result;
use crate::kernel::inet_diag::SocketRow;
use crate::kernel::port_range::PortRange;
use crate::kernel::table::{Table, table};
use crate::lab::ports::{Usage, usage};
use crate::net::TcpState;
use crate::text::{Format, Line};
use clap::Args;

use super::layout::{self, blocks, range_line};

const AFTER_LONG_HELP: &str = "\
Columns:
  SOURCE       the local address
  DESTINATION  the remote address
  PORTS        how many ports of the range the connections between them have
  SHARE        that part of the range
  ESTABLISHED, TIME-WAIT, OTHERS
               how many of the connections are in these states

The socket table does not show which side opened a connection. A connection on
the port of a listening socket of this host was accepted by it, and is left out.
`incomplete`: sockets that are only bound may be missing, and the last line says
why.

Exit status: 0 done, 1 the kernel does not list its sockets or the output cannot
be written, 2 wrong usage.";

/// List the ephemeral ports in use, by destination
#[derive(Args)]
#[command(after_long_help = AFTER_LONG_HELP)]
pub(super) struct NowArgs {
    #[command(flatten)]
    output: FormatArgs,
}

/// Prints the range, then a row for each destination.
pub(super) fn run(args: &NowArgs) -> Result<ExitCode> {
    let (range, Table { rows, gap }) = (PortRange::now(), table()?);
    let in_state = |state| {
        let there = |row: &&SocketRow| row.state == state && range.contains(row.local.port());
        rows.iter().filter(there).count() as u64
    };
    let mut line = range_line(args.output.format, &range);
    line.number("listening", in_state(TcpState::Listen)).number("bound", in_state(TcpState::BoundInactive));
    line.mark("incomplete", gap.is_some());
    let (line, ports) = (line.finish() + "\n", range.ports().count());
    let usage = usage(&range, &rows);
    let text = match args.output.format {
        Format::Json => {
            let rows = usage.iter().map(|usage| json(usage) + "\n");
            line + &rows.collect::<String>()
        }
        Format::Text => {
            let header = ["SOURCE", "DESTINATION", "PORTS", "SHARE", "ESTABLISHED", "TIME-WAIT", "OTHERS"];
            let rows = usage.iter().map(|usage| {
                let [established, time_wait, others] = states(usage).map(|count| count.to_string());
                let share = format!("{:.1}%", 100.0 * usage.ports.len() as f64 / ports as f64);
                let (source, remote) = (usage.source.to_string(), usage.remote.to_string());
                [source, remote, usage.ports.len().to_string(), share, established, time_wait, others]
            });
            let gap = gap.map_or_else(String::new, |gap| format!("{gap}\n"));
            blocks(&[line, layout::table(header, rows.collect()), gap])
        }
    };
    cli::print(&text)
}

/// How many are ESTABLISHED, in TIME-WAIT, and in other states.
pub(super) fn states(usage: &Usage) -> [u64; 3] {
    let [established, time_wait] =
        [TcpState::Established, TcpState::TimeWait].map(|state| usage.count(state) as u64);
    let all = usage.states.values().sum::<usize>() as u64;
    [established, time_wait, all - established - time_wait]
}

fn json(usage: &Usage) -> String {
    let [established, time_wait, others] = states(usage);
    let mut line = Line::new(Format::Json, "destination");
    line.field("local", usage.source)
        .field("remote", usage.remote)
        .number("ports", usage.ports.len() as u64)
        .number("established", established)
        .number("time-wait", time_wait)
        .number("others", others);
    line.finish()
}
