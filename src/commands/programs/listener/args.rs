//! What `listener` is told.

use std::time::Duration;

use crate::cli::{self, Limit, LocalIp, OutputArgs, SocketArgs};
use clap::{Parser, ValueEnum};

/// TCP echo server that opens its socket exactly as told
///
/// Sends back every byte it receives (RFC 862) or answers in another way (--reply), serves any number of
/// connections on one event loop or in another way (--model), and prints a line for each that opens or ends.
#[derive(Parser)]
#[command(name = "listener", version, after_help = EXAMPLES, after_long_help = LONG_EXAMPLES)]
pub(super) struct ListenerArgs {
    /// Port to listen on; 0 lets the kernel pick
    #[arg(default_value = "3000", value_parser = cli::port)]
    pub port: u16,
    /// Address to bind; 0.0.0.0 and :: are wildcards
    #[arg(default_value = "0.0.0.0", value_parser = cli::local_ip)]
    pub ip: LocalIp,
    /// Length of the accept queue, listen(2)
    #[arg(
        long,
        hide_short_help = true,
        default_value_t = 4096,
        value_parser = clap::value_parser!(i32).range(0..),
        value_name = "N"
    )]
    pub backlog: i32,
    /// Maximum concurrent connections; others are closed [default: no limit]
    #[arg(long, value_parser = cli::positive, value_name = "N")]
    pub max_connections: Option<usize>,
    /// Serve by event-loop, sequential, thread or fork
    ///
    /// event-loop: one loop for all; sequential: one client at a time, the next waits in the accept queue; thread: a
    /// thread for each; fork: a process for each
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "MODEL")]
    pub model: ConcurrencyModel,
    /// Threads, each with its own loop and listening socket
    #[arg(long, hide_short_help = true, default_value_t = 1, value_parser = cli::positive, value_name = "N")]
    pub workers: usize,
    /// The same bytes, or `Ack!` for each line
    #[arg(long, value_enum, default_value_t, value_name = "echo|ack", hide_possible_values = true)]
    pub reply: ReplyMode,
    /// Echo, with TEXT in front of each line
    #[arg(long, value_parser = prefix, value_name = "TEXT")]
    pub reply_prefix: Option<String>,
    /// Close when idle this long, or none; sets SO_RCVTIMEO
    #[arg(long, default_value = "5m", value_parser = cli::limit, value_name = "DURATION")]
    pub receive_timeout: Limit,
    /// Busy-poll this long after each event
    ///
    /// Saves a client the time to wake this program, most of a round trip on an idle machine; costs each worker a whole
    /// processor while clients are that busy. Only sensible with a processor to spare.
    #[arg(long, hide_short_help = true, default_value = "0s", value_parser = cli::duration, value_name = "DURATION")]
    pub spin: Duration,
    /// Time for connections to end after SIGINT or SIGTERM
    #[arg(long, default_value = "5s", value_parser = cli::duration, value_name = "DURATION")]
    pub drain: Duration,
    #[command(flatten)]
    pub socket: SocketArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// How to wait for many clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum ConcurrencyModel {
    /// One loop for all of them
    #[default]
    EventLoop,
    /// One at a time; the next waits in the accept queue
    Sequential,
    /// A thread for each
    Thread,
    /// A process for each
    Fork,
}

impl ConcurrencyModel {
    /// Its name on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::EventLoop => "event-loop",
            Self::Sequential => "sequential",
            Self::Thread => "thread",
            Self::Fork => "fork",
        }
    }
}

/// What a client is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum ReplyMode {
    /// The same bytes.
    #[default]
    Echo,
    /// For each line, `Ack!` and a newline.
    Ack,
}

/// The longest text before a line, in bytes: a read is shorter by so much, lest its answer be too long to keep.
const LONGEST_PREFIX: usize = 1024;

fn prefix(text: &str) -> cli::Parsed<String> {
    match text.len() {
        0..=LONGEST_PREFIX => Ok(text.to_owned()),
        length => Err(format!("{length} bytes, and {LONGEST_PREFIX} is the most")),
    }
}

const EXAMPLES: &str = "\
All options, signals and exit status: listener --help

Examples:
  listener                     echo on 0.0.0.0:3000
  listener 4545 127.0.0.1      on one address
  listener 4545 ::1            on IPv6
  listener 3737 --model fork   a process for each client";

const LONG_EXAMPLES: &str = "\
Examples:
  listener                     echo on 0.0.0.0:3000
  listener 4545 127.0.0.1      on one address
  listener 4545 ::1            on IPv6
  listener 0 --reuse-port off  on any free port, not shared
  listener 3737 --model fork --reply ack --max-connections 3
                               a process for each client, three at most; each answers line by line

Signals:
  SIGINT, SIGTERM  stop accepting, echo what was read, send FIN, end within --drain; again: end at once
  SIGUSR2          print the number of open connections

Exit status: 0 done, 1 the kernel said no, 2 wrong usage; 130 or 143 after a second SIGINT or SIGTERM.
There is no authentication and no encryption: on 0.0.0.0 every host that can reach this one is served.";

impl ListenerArgs {
    /// What does not go together.
    pub(super) fn conflict(&self) -> Option<&'static str> {
        if self.model == ConcurrencyModel::EventLoop && self.workers > 1 && !self.socket.reuse_port.is_on() {
            return Some(
                "--workers beyond 1 needs --reuse-port on: each worker has a listening socket of its own",
            );
        }
        if self.workers > 1 && self.model != ConcurrencyModel::EventLoop {
            return Some("--workers goes with --model event-loop: the others accept in one place");
        }
        if !self.spin.is_zero() && self.model != ConcurrencyModel::EventLoop {
            return Some("--spin goes with --model event-loop: the others wait in blocking calls");
        }
        if self.max_connections.is_some() && self.model == ConcurrencyModel::Sequential {
            return Some("--max-connections does not go with --model sequential, which serves one at a time");
        }
        if self.reply == ReplyMode::Ack && self.reply_prefix.is_some() {
            return Some("--reply-prefix goes with --reply echo: ack answers each line with `Ack!` alone");
        }
        None
    }
}
