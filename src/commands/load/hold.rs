//! `fourtuple load hold`: very many connections from few source ports, opened and kept.

mod account;
mod args;
mod crew;
mod preflight;
mod share;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::cli::Stop;
use crate::error::Result;
use crate::net::wildcard;
use crate::report::{Event, LoadEvent, Reporter};
use crate::service::load::Spread;

use super::progress::Progress;
use account::Account;
use crew::Crew;

pub(super) use args::HoldArgs;
pub(super) use share::{ShareArgs, run as share};

/// How long to wait for a signal before looking at the holders again.
const LOOK: Duration = Duration::from_millis(20);

/// Runs it.
pub(super) fn run(args: &HoldArgs, reporter: &Reporter) -> Result<ExitCode> {
    let stop = Stop::on_signal()?;
    let spread = spread(args)?;
    let preflight = preflight::check(args.count, &spread, args.source_ports)?;
    reporter.report(&Event::Load(LoadEvent::Spread {
        connections: args.count,
        source: spread.source,
        ports: spread.ports.len().min(args.count),
        destinations: spread.remotes.len(),
        owners: spread.owners(args.count),
        processes: preflight.processes,
    }));
    // The bar is drawn at once, and the line must stand above it.
    reporter.flush();
    let account = Account::open(preflight.listeners)?;
    let begin = Instant::now();
    let mut crew = Crew::start(args, &spread, preflight.processes)?;
    await_outcomes(args.count, &stop, &mut crew)?;
    reporter.report(&Event::Load(LoadEvent::Held {
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
