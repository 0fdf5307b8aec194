//! `relay`: pairs callers, and passes lines between the two of a pair.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use crate::cli::{self, Limit, LocalIp, OutputArgs, SocketArgs, Switch};
use crate::drive::{EventLoop, Limits, LoopSettings};
use crate::error::Result;
use crate::report::Reporter;
use crate::service::{Relay, RelayPlan, Signal};
use clap::Parser;

/// Pairs callers, and passes lines between the two of a pair
///
/// Callers are paired in order of arrival; an odd one waits for the next. The two of a pair take turns, a line each,
/// and a line sent out of turn waits for its turn. A line reaches the partner as `name: line`; the relay's own lines
/// begin with `* `. nc, socat and talk are clients: a first line `/name alice` names a client, `exit` ends its room.
#[derive(Parser)]
#[command(name = "relay", version, after_help = EXAMPLES, after_long_help = LONG_EXAMPLES)]
#[command(mut_arg("reuse_port", |arg| arg.default_value("off").help(REUSE_PORT)))]
#[command(mut_arg("keepalive", |arg| arg.default_value("60s").help(KEEPALIVE)))]
#[command(mut_arg("user_timeout", |arg| arg.default_value("30s").help(USER_TIMEOUT)))]
struct RelayArgs {
    /// Port to listen on; 0 lets the kernel pick
    #[arg(default_value = "33016", value_parser = cli::port)]
    port: u16,
    /// Address to bind; 0.0.0.0 and :: are wildcards
    #[arg(default_value = "127.0.0.1", value_parser = cli::local_ip)]
    ip: LocalIp,
    /// Whether the two of a pair take turns
    #[arg(long, value_enum, default_value = "on", hide_possible_values = true, value_name = "on|off")]
    turns: Switch,
    /// Longest line; a client that sends a longer one is notified and closed
    #[arg(long, default_value = "64KiB", value_parser = cli::positive_size, value_name = "SIZE")]
    max_line: usize,
    /// Length of the accept queue, listen(2)
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(i32).range(0..), value_name = "N")]
    backlog: i32,
    /// Maximum concurrent clients; others are closed [default: no limit]
    #[arg(long, value_parser = cli::positive, value_name = "N")]
    max_connections: Option<usize>,
    /// Time for clients to end, each when its room has, and all after a signal
    #[arg(long, default_value = "5s", value_parser = cli::duration, value_name = "DURATION")]
    drain: Duration,
    #[command(flatten)]
    socket: SocketArgs,
    #[command(flatten)]
    output: OutputArgs,
}

const REUSE_PORT: &str = "SO_REUSEPORT; two relays on one port would split the callers between them";
const KEEPALIVE: &str = "SO_KEEPALIVE: probe after this idle time, at the same interval";
const USER_TIMEOUT: &str = "TCP_USER_TIMEOUT: close a connection that acknowledges nothing for this long";

const EXAMPLES: &str = "\
Socket options, signals and exit status: relay --help

Examples:
  relay                     on 127.0.0.1:33016
  relay 33016 0.0.0.0       for every host that can reach this one
  relay 0 ::1 --turns off   both write at any time
  nc 127.0.0.1 33016        a client";

const LONG_EXAMPLES: &str = "\
Examples:
  relay                     on 127.0.0.1:33016
  relay 33016 0.0.0.0       for every host that can reach this one
  relay 0 ::1 --turns off   both write at any time
  nc 127.0.0.1 33016        a client; so is talk --name alice

What a client sends, and what it receives:
  /name alice  an optional first line: 1 to 32 letters, digits, '-', '_' or '.';
               a client silent for 100 ms is introduced as client
  exit         leave, as at the end of input
  * ...        the relay: welcome, waiting for a partner, status WRITE, ...
  alice: ...   the partner

  A line ends with \\n or \\r\\n. No escape sequence passes: a control character
  arrives as \\x1b, a byte that is not UTF-8 as \\xff.

Signals:
  SIGINT, SIGTERM, SIGUSR1  notify clients, pass on what was read, send FIN,
                            end within --drain; SIGINT, SIGTERM again: at once
  SIGUSR2                   print the number of clients, rooms and waiting
                            clients

Exit status: 0 done, 1 the kernel said no, 2 wrong usage; 130 or 143 after a
second SIGINT or SIGTERM.
There is no authentication and no encryption: the relay reads all that it
passes on.";

/// Runs it with this command line.
pub(super) fn main(arguments: &[OsString]) -> ExitCode {
    let args: RelayArgs = cli::parse(arguments);
    cli::run("relay", &args.output, |reporter| run(&args, reporter))
}

fn run(args: &RelayArgs, reporter: &Reporter) -> Result<ExitCode> {
    let options = args.socket.options(Limit(None));
    let settings = LoopSettings {
        limits: Limits { send: args.socket.send_timeout.0, ..Limits::default() },
        drain: args.drain,
        max_connections: args.max_connections,
        ..LoopSettings::default()
    };
    let mut event_loop =
        EventLoop::new(reporter.clone(), settings, &[Signal::Stop, Signal::Status, Signal::Goodbye])?;
    let local = args.ip.at(args.port);
    cli::accept_on(&mut event_loop, local, &options, args.backlog, reporter)?;
    let mut relay =
        Relay::new(RelayPlan { turns: args.turns.is_on(), max_line: args.max_line, patience: args.drain });
    let ended = event_loop.run(&mut relay)?;
    reporter.report(&relay.totals().event());
    Ok(cli::status(ended))
}
