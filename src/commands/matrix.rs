//! `fourtuple matrix`: which pairs of sockets may share a port on this kernel, measured now.

mod diff;
mod explain;
mod fold;
mod table;
mod wrap;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cli::{self, FormatArgs};
use crate::error::Result;
use crate::lab::matrix::{self, Cell, Matrix, Pair, State, User};
use crate::sandbox::namespace::Sysctl;
use crate::text::{Format, Line};
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  fourtuple matrix
  fourtuple matrix --explain TIME-WAIT,none,RA,same     why a restart fails
  fourtuple matrix --full --format json > here.jsonl
  fourtuple matrix --diff here.jsonl                    on another kernel";

const MORE: &str = "\
A cell is two sockets that want one port:
  STATE    what the first one is when the second one comes: BOUND, LISTEN,
           ESTABLISHED (connected from that port), ACCEPTED (by a listener that
           has closed since), FIN-WAIT-2, CLOSE-WAIT, TIME-WAIT
  OPTIONS  of the first one, then of the second: none, RA (SO_REUSEADDR),
           RP (SO_REUSEPORT), RA+RP
  PAIR     the address of the first one, then that of the second
             same               127.0.0.1, 127.0.0.1
             wildcards          0.0.0.0, 0.0.0.0
             specifics          127.0.0.1, 127.0.0.2
             wildcard-specific  0.0.0.0, 127.0.0.1; and specific-wildcard
             dual-wildcard      [::], 0.0.0.0; and wildcard-dual
             dual-specific      [::], 127.0.0.1; and specific-dual
             v6only-wildcard    [::] with IPV6_V6ONLY, 0.0.0.0; wildcard-v6only
             v6only-specific    the same, 127.0.0.1; and specific-v6only
             mapped-specific    [::ffff:127.0.0.1], 127.0.0.1; specific-mapped
  USER     same-user; or other-user: the second one is another user's, which
           needs root

The second socket binds and listens; a first one that was only bound then
listens too. Outcomes:
  ok             no call failed
  bind           the second one's bind failed
  listen         the second one's listen failed
  1st-listen     the first one's listen failed
  no-other-user  not measured: needs root; no-ipv6: needs IPv6

Each cell is made on a port of its own, in a network of its own, as `fourtuple
isolate` makes one. A state is waited for until the kernel's table has it.

No line of --format json has a time: equal outcomes are equal files.

Exit status: 0 done, and nothing differs; 1 cells differ, or the kernel said no;
2 wrong usage, or FILE is not a matrix.";

const KERNEL_FIRST: &str = "\
How it is written: text, or one JSON object a line, the first with kernel and sysctls";

/// Measure which pairs of TCP sockets may share a port on this kernel
///
/// By default: first sockets in BOUND, LISTEN, ESTABLISHED and TIME-WAIT, the same address or a wildcard, one user; as a
/// table that shows equal parts once.
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{MORE}\n\n{EXAMPLES}"))]
#[command(mut_arg("format", |format| format.help(KERNEL_FIRST)))]
pub(super) struct MatrixArgs {
    /// Every state, every pair of addresses, and both users
    #[arg(long)]
    full: bool,
    /// One line per cell instead of the table
    #[arg(long)]
    cells: bool,
    /// One cell: the rule in words, the calls made now, and what each returned
    #[arg(long, value_name = "STATE,OPTIONS,OPTIONS,PAIR[,USER]", conflicts_with_all = ["full", "cells", "diff"])]
    explain: Option<Cell>,
    /// Measure the cells of FILE again, and show which differ
    ///
    /// FILE is what --format json wrote, here or on another kernel. Cells that could not be measured on both sides
    /// are counted, but are not differences.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["full", "cells"])]
    diff: Option<PathBuf>,
    /// Set a sysctl of the network measured in; may be repeated
    #[arg(long, value_name = "KEY=VALUE", hide_short_help = true)]
    sysctl: Vec<Sysctl>,
    #[command(flatten)]
    output: FormatArgs,
}

/// What the table shows unless more is asked for.
const STATES: [State; 4] = [State::Bound, State::Listen, State::Established, State::TimeWait];
const PAIRS: [Pair; 4] = [Pair::Same, Pair::WildcardSpecific, Pair::SpecificWildcard, Pair::Wildcards];

/// Measures what was asked for, and prints it.
pub(super) fn run(args: &MatrixArgs) -> Result<ExitCode> {
    if let Some(cell) = args.explain {
        return explain::run(cell, &args.sysctl, args.output.format);
    }
    if let Some(file) = &args.diff {
        return diff::run(file, &args.sysctl, args.output.format);
    }
    let cells = match args.full {
        true => Cell::all(&State::ALL, &Pair::ALL, &User::ALL),
        false => Cell::all(&STATES, &PAIRS, &[User::Same]),
    };
    let matrix = matrix::measure(cells, &args.sysctl)?;
    cli::print(&match args.output.format {
        Format::Json => matrix.to_lines(),
        Format::Text if args.cells => plain(&matrix),
        Format::Text => table::table(&matrix),
    })
}

/// The same lines in text.
fn plain(matrix: &Matrix) -> String {
    let mut stamp = Line::new(Format::Text, "matrix");
    stamp.field("kernel", &matrix.kernel).number("cells", matrix.cells.len() as u64);
    for (key, value) in &matrix.sysctls {
        stamp.text(key, value.as_bytes());
    }
    let mut text = stamp.finish() + "\n";
    for (cell, outcome) in &matrix.cells {
        let mut line = Line::new(Format::Text, "cell");
        line.field("state", cell.state)
            .field("first", cell.first)
            .field("second", cell.second)
            .field("pair", cell.pair)
            .field("user", cell.user)
            .field("outcome", outcome.name())
            .optional("errno", outcome.errno().map(crate::error::errno_name));
        text += &(line.finish() + "\n");
    }
    text
}
