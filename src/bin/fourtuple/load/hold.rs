//! `fourtuple load hold`: very many connections from few source ports, opened and kept.

mod account;
mod crew;
mod preflight;
mod share;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use fourtuple::cli::{self, Remote, Stop};
use fourtuple::error::Result;
use fourtuple::net::wildcard;
use fourtuple::report::{Event, Load, Reporter};
use fourtuple::service::load::Spread;
use fourtuple::text::Format;

use super::STATUS;
use super::progress::Progress;
use account::Account;
use crew::Crew;
pub use share::{ShareArgs, run as share};

const EXAMPLES: &str = "\
Examples:
  fourtuple load hold --count 20k --remote 127.0.0.1:3000-3001 --verify
  fourtuple load hold --count 9 --remote 127.0.0.1:3000 --source-ports 4000-4008
  fourtuple load hold --count 9 --remote [::1]:3000 --duration 1s --close fin";

const LINES: &str = "\
The servers keep idle connections: `listener 3000 --receive-timeout none`.

Lines:
  spread    connections, source ports, destinations, owners of a port, processes
  held      connections that stand, those verified, and how long that took
  memory    bytes that they have added, in all and for each: of=kernel, its
            objects (Slab), and of=kernel-buffers, TCP's buffers, of the whole
            system; of=listeners and of=holders, what these have for themselves
  failures  connections that came to nothing, or were lost while they were held";

/// How long to wait for a signal before looking at the holders again.
const LOOK: Duration = Duration::from_millis(20);

/// Open very many connections, and keep them
///
/// Each is a four-tuple of its own: one source address, the source ports and the destinations in turn, so that every
/// port has as many owners as the next, 100 at most. They are held by as many processes as the limit on descriptors
/// demands; these end with this one. Before it begins it computes whether descriptors, ports and memory suffice. Then
/// it tells how fast they were opened, and what they cost the kernel and the listeners in memory. It ends them when
/// DURATION is over, or at SIGINT or SIGTERM.
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{LINES}\n\n{STATUS}"))]
pub struct HoldArgs {
    /// How many, such as 500, 100k or 1M
    #[arg(long, value_parser = cli::count, value_name = "N")]
    count: usize,
    /// A server, or several on a range of ports, such as 127.0.0.1:3000-3050; may be repeated
    #[arg(long, required = true, value_parser = cli::remotes, value_name = "HOST:PORT[-HIGH]")]
    remote: Vec<Remote>,
    /// Source address [default: the loopback address for servers there, else the route's]
    #[arg(long, value_parser = cli::local_ip, value_name = "IP")]
    source: Option<IpAddr>,
    /// Source ports; those that a socket has already are left out
    #[arg(long, default_value = "20000-59999", value_parser = cli::port_range, value_name = "LOW-HIGH")]
    source_ports: (u16, u16),
    /// Send a request over each connection, and compare its answer
    #[arg(long)]
    verify: bool,
    /// How long to hold them [default: until SIGINT or SIGTERM]
    #[arg(long, value_parser = cli::duration, value_name = "DURATION")]
    duration: Option<Duration>,
    /// How to end them: by RST, which leaves nothing, or by FIN, which leaves TIME-WAIT
    #[arg(long, value_enum, default_value = "rst", value_name = "rst|fin", hide_possible_values = true)]
    close: Close,
    /// How long a handshake may take
    #[arg(long, hide_short_help = true, default_value = "30s", value_parser = cli::positive_duration, value_name = "DURATION")]
    connect_timeout: Duration,
    /// How long an answer may take
    #[arg(long, hide_short_help = true, default_value = "30s", value_parser = cli::positive_duration, value_name = "DURATION")]
    reply_timeout: Duration,
    /// How events are written: text, or one JSON object a line
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Close {
    Rst,
    Fin,
}

/// Runs it.
pub fn run(args: &HoldArgs, reporter: &Reporter) -> Result<ExitCode> {
    let stop = Stop::on_signal()?;
    let spread = spread(args)?;
    let preflight = preflight::check(args.count, &spread, args.source_ports)?;
    reporter.report(&Event::Load(Load::Spread {
        connections: args.count,
        source: spread.source,
        ports: spread.ports.len().min(args.count),
        destinations: spread.remotes.len(),
        owners: spread.owners(args.count),
        processes: preflight.processes,
    }));
    let account = Account::open(preflight.listeners)?;
    let begin = Instant::now();
    let mut crew = Crew::start(args, &spread, preflight.processes)?;
    await_outcomes(args.count, &stop, &mut crew)?;
    reporter.report(&Event::Load(Load::Held {
        connections: crew.open(),
        verified: args.verify.then(|| crew.verified()),
        elapsed: begin.elapsed(),
    }));
    account.tell(reporter, &crew.pids(), crew.open())?;
    hold(args.duration, &stop, &mut crew)?;
    crew.end(reporter)
}

fn spread(args: &HoldArgs) -> Result<Spread> {
    let mut remotes = BTreeSet::new();
    for remote in &args.remote {
        remotes.extend(remote.all()?);
    }
    let remotes = Vec::from_iter(remotes);
    let source = args.source.unwrap_or_else(|| source_for(&remotes));
    Ok(Spread { source, ports: preflight::free_ports(source, args.source_ports), remotes })
}

/// Waits until every connection has had its outcome, or a signal comes.
fn await_outcomes(count: usize, stop: &Stop, crew: &mut Crew) -> Result<()> {
    let progress = Progress::of(count as u64);
    while !crew.is_settled() && !stop.wait(LOOK)? {
        crew.listen();
        progress.open(crew.open());
    }
    Ok(())
}

/// Waits until the time is over, a signal comes, or no holder is left.
fn hold(duration: Option<Duration>, stop: &Stop, crew: &mut Crew) -> Result<()> {
    let begin = Instant::now();
    while duration.is_none_or(|duration| begin.elapsed() < duration) && !crew.is_gone() {
        let left = duration.map_or(LOOK, |duration| duration.saturating_sub(begin.elapsed()));
        if stop.wait(left.min(LOOK))? {
            break;
        }
        crew.listen();
    }
    Ok(())
}

/// The address from which all of them are reached, where that is certain.
fn source_for(remotes: &[SocketAddr]) -> IpAddr {
    let loopback = remotes.iter().all(|remote| remote.ip().is_loopback());
    match remotes.first().map(SocketAddr::ip) {
        Some(ip) if !loopback => wildcard(ip),
        Some(IpAddr::V6(_)) => Ipv6Addr::LOCALHOST.into(),
        _ => Ipv4Addr::LOCALHOST.into(),
    }
}
