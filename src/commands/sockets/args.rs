//! Which sockets are asked for, and how they are shown.

use crate::cli::{self, FormatArgs};
use crate::kernel::inet_diag::SocketRow;
use crate::kernel::watch::Transition;
use crate::net::TcpState;
use clap::Args;

use super::filter::{AddressFilter, parse_address, parse_state};

const AFTER_HELP: &str = "\
Examples:
  fourtuple sockets --state listen       who listens
  fourtuple sockets --port 3001          every socket with 3001 at either end
  fourtuple sockets --local 127.0.0.1:3001 --remote 127.0.0.1:3000 --no-header
  fourtuple sockets --watch --port 3000  every change of state, as it happens";

const AFTER_LONG_HELP: &str = "\
Columns:
  STATE      as RFC 9293 names it; BOUND is a socket that is bound and neither
             listens nor is connected: listed by Linux 6.8 and newer, before that
             found by the processes that may be looked into
  LOCAL      its own address; an IPv4 connection of an IPv6 socket shows as
             [::ffff:127.0.0.1]:3000, a socket bound to an interface as
             0.0.0.0%eth0:3000 (SO_BINDTODEVICE)
  REMOTE     the other end's address
  RECV-Q     bytes received and not read; of LISTEN, connections not accepted
             yet
  SEND-Q     bytes not acknowledged yet; of LISTEN, the backlog
  TIMER      what runs / time left / how often it expired unanswered:
             retransmit, keepalive, probe, time-wait (no count), or -
  UID        its owner; 0 for TIME-WAIT
  INODE      its number in /proc/PID/fd; 0 where no process has it: not accepted
             yet, or closed
  REUSE      which of SO_REUSEADDR and SO_REUSEPORT are set: address, port,
             address+port or none; - where its process may not be read, or there
             is none
  PROCESSES  the processes that have it open, as NAME(PID), those visible to
             this user; or -

Filters of different kinds must all match; several values of one kind are
alternatives. An IPv4 address matches the IPv6 address that it is mapped to.

A terminal gets a table that fits its width, anything else plain columns
separated by blanks, where no field is empty or contains a blank. No match is
not a failure.

Exit status: 0 done, 1 the kernel does not list its sockets or the output cannot
be written, 2 wrong usage.

Examples:
  fourtuple sockets --state listen       who listens
  fourtuple sockets --port 3001          every socket with 3001 at either end
  fourtuple sockets --local 127.0.0.1:3001 --remote 127.0.0.1:3000 --no-header
  fourtuple sockets --watch --port 3000  every change of state, as it happens";

/// List the kernel's TCP sockets: state, four-tuple, queues, timer, owner
#[derive(Args)]
#[command(after_help = AFTER_HELP, after_long_help = AFTER_LONG_HELP)]
#[command(mut_arg("format", cli::how("sockets are")))]
pub(crate) struct SocketsArgs {
    /// Only sockets in these states: names of RFC 9293 in either case, or `bound`
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = parse_state)]
    pub state: Vec<TcpState>,
    /// Only sockets with this local address, port, or both: 127.0.0.1:3001, ::1, :3001, [::1]:3001; with an interface too:
    /// 0.0.0.0%eth0:3001
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = parse_address)]
    local: Option<AddressFilter>,
    /// Only sockets with this remote address, port, or both
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = parse_address)]
    remote: Option<AddressFilter>,
    /// Only sockets with one of these ports at either end
    #[arg(long, value_name = "PORT", value_delimiter = ',', value_parser = cli::one_of_ports)]
    port: Vec<u16>,
    /// Print a line for every change of a socket's state, until SIGINT or SIGTERM
    ///
    /// Samples the table every 5 ms: from=- is the first sample with a socket, to=gone the first
    /// without it, and a state shorter than 5 ms may be missed. The inode is the last one known. A
    /// socket whose addresses match at first is watched to its end, even one in BOUND whose address
    /// changes; --state selects the changes from or to a state.
    #[arg(long, conflicts_with = "no_header")]
    pub watch: bool,
    /// Leave out the line of column names
    #[arg(long)]
    pub no_header: bool,
    #[command(flatten)]
    pub output: FormatArgs,
}

impl SocketsArgs {
    pub(crate) fn matches(&self, row: &SocketRow) -> bool {
        self.matches_state(Some(row.state)) && self.matches_address(row)
    }

    pub(crate) fn matches_change(&self, change: &Transition) -> bool {
        self.matches_state(change.from) || self.matches_state(change.to)
    }

    fn matches_state(&self, state: Option<TcpState>) -> bool {
        self.state.is_empty() || state.is_some_and(|state| self.state.contains(&state))
    }

    pub(crate) fn matches_address(&self, row: &SocketRow) -> bool {
        let (local, remote) = (row.local.port(), row.remote.port());
        self.local.is_none_or(|filter| filter.matches(row.local, row.device))
            && self.remote.is_none_or(|filter| filter.matches(row.remote, row.device))
            && (self.port.is_empty() || self.port.iter().any(|port| [local, remote].contains(port)))
    }
}
