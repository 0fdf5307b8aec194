//! What `fourtuple load hold` is told.

use std::net::IpAddr;
use std::time::Duration;

use crate::cli::{self, FormatArgs, Remote};
use clap::{Args, ValueEnum};

use crate::commands::load::outcome::STATUS;

const EXAMPLES: &str = "\
Examples:
  fourtuple load hold --count 20k --remote 127.0.0.1:3000-3001 --verify
  fourtuple load hold --count 9 --remote 127.0.0.1:3000 --source-ports 4000-4008
  fourtuple load hold --count 9 --remote [::1]:3000 --duration 1s --close fin";

const LINES: &str = "\
The servers keep idle connections: `listener 3000 --receive-timeout none`.

Lines:
  spread    connections, source ports, destinations, owners of a port, processes
  held      established connections, those verified, and how long that took
  memory    bytes that they added, in all and for each: of=kernel, its
            objects (Slab), and of=kernel-buffers, TCP's buffers, of the whole
            system; of=listeners and of=holders, the memory of these processes
  failures  failed connections, and those lost while they were held";

/// Open a very large number of connections, and hold them
///
/// Each is a four-tuple of its own: one source address, the source ports and the destinations in turn, so that every
/// port has as many owners as the next, 100 at most. They are held by as many processes as RLIMIT_NOFILE requires, which
/// end with this one. First it computes whether descriptors, ports and memory suffice; then it reports how fast the
/// connections were opened, and what memory they cost the kernel and the listeners. They end when DURATION is over, or
/// at SIGINT or SIGTERM.
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{LINES}\n\n{STATUS}"))]
#[command(mut_arg("format", cli::how("events are")))]
pub(crate) struct HoldArgs {
    /// How many, such as 500, 100k or 1M
    #[arg(long, value_parser = cli::count, value_name = "N")]
    pub count: usize,
    /// A server, or several on a range of ports, such as 127.0.0.1:3000-3050; may be repeated
    #[arg(long, required = true, value_parser = cli::remotes, value_name = "HOST:PORT[-HIGH]")]
    pub remote: Vec<Remote>,
    /// Source address [default: the loopback address for servers there, else the route's]
    #[arg(long, value_parser = cli::source_ip, value_name = "IP")]
    pub source: Option<IpAddr>,
    /// Source ports; ports in use are left out
    #[arg(long, default_value = "20000-59999", value_parser = cli::port_range, value_name = "LOW-HIGH")]
    pub source_ports: (u16, u16),
    /// Send a request over each connection, and compare its answer
    #[arg(long)]
    pub verify: bool,
    /// How long to hold them [default: until SIGINT or SIGTERM]
    #[arg(long, value_parser = cli::duration, value_name = "DURATION")]
    pub duration: Option<Duration>,
    /// How to end them: by RST, which leaves nothing, or by FIN, which leaves TIME-WAIT
    #[arg(long, value_enum, default_value = "rst", value_name = "rst|fin", hide_possible_values = true)]
    pub close: Close,
    /// How long a handshake may take
    #[arg(long, hide_short_help = true, default_value = "30s", value_parser = cli::positive_duration, value_name = "DURATION")]
    pub connect_timeout: Duration,
    /// How long an answer may take
    #[arg(long, hide_short_help = true, default_value = "30s", value_parser = cli::positive_duration, value_name = "DURATION")]
    pub reply_timeout: Duration,
    #[command(flatten)]
    pub output: FormatArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Close {
    Rst,
    Fin,
}
