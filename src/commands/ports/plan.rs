//! `fourtuple ports plan`: what each method reaches, computed.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::time::Duration;

use crate::cli::{self, FormatArgs, Remote};
use crate::error::{Error, Result};
use crate::lab::explain::explain;
use crate::lab::ports::{Asked, Destination, Forecast, Situation, plan};
use crate::net::SocketOptions;
use crate::text::{Format, Line, Short};
use clap::Args;
use nix::sys::resource::{Resource, getrlimit};

use super::layout::{blocks, range_line, table};
use super::now::states;

const AFTER_LONG_HELP: &str = "\
Columns:
  DESTINATION  a remote address; then the connections to it that have a port of
               the range, by state
  FREE         how many more connections to it connect(2) finds a port for
  METHOD       how the client gets its source port: fourtuple ports --help
  OPEN         how many more connections can be open at once, to all
               destinations together
  CALL, ERRNO  what fails then
  HELD         how long a connection that we close first keeps its port: all of
               TIME-WAIT; with TCP timestamps 1s where net.ipv4.tcp_tw_reuse
               allows it, and 0s with SO_REUSEADDR or SO_REUSEPORT
  RATE         the highest sustainable rate: new connections a second to each
               destination
  NEEDS        with --rate: how many ports are held at every moment
  LASTS        with --rate: `yes`, or when the first connection fails

Nothing leaves this host. Other sockets are accounted for: listening and bound
sockets, connections to the same destination, TIME-WAIT with its remaining time,
reserved ports. With SO_REUSEADDR and SO_REUSEPORT only unused ports count; a
program may use others, and other ranges, too.

Two numbers, such as 27-28, are the minimum and the maximum. The kernel's search
may overlook a port of an odd range; the socket table does not show whether an
IPv6 connection has a port of IPv4 too; before Linux 6.3 nothing shows whether
the port of a connection was bound first; and before Linux 6.8 not all sockets
that are only bound can be seen by everybody (`incomplete`).

Exit status: 0 done, 1 the kernel or the network said no, 2 wrong usage.";

/// Compute how many connections each method reaches from here, and what fails first
#[derive(Args)]
#[command(after_long_help = AFTER_LONG_HELP)]
pub(super) struct PlanArgs {
    /// The local address of the connections
    #[arg(long, value_name = "IP", value_parser = cli::source_ip)]
    from: IpAddr,
    /// Where they go: 192.0.2.80:443, [2001:db8::80]:443, localhost:3000-3003; several with commas
    #[arg(long, value_name = "HOST:PORT[,…]", required = true, value_delimiter = ',', value_parser = cli::remotes)]
    to: Vec<Remote>,
    /// New connections a second to each destination, such as 500/s, each closed at once and by us
    #[arg(long, value_name = "N/s", value_parser = cli::rate)]
    rate: Option<usize>,
    /// How long TIME-WAIT lasts; 0s where the other side closes first
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = cli::duration)]
    time_wait: Duration,
    #[command(flatten)]
    output: FormatArgs,
}

/// Prints the range, a row for each destination, a row for each method.
pub(super) fn run(args: &PlanArgs) -> Result<ExitCode> {
    let asked = Asked {
        from: args.from,
        destinations: destinations(args)?,
        rate: args.rate,
        time_wait: args.time_wait,
    };
    let situation = Situation::now(args.from).map_err(|error| explained(error, args.from, None))?;
    let forecasts = plan(&situation, &asked);
    let towards = towards(&situation, &asked);
    let mut line = range_line(args.output.format, &situation.range);
    line.number("descriptors", descriptors()).mark("incomplete", situation.gap.is_some());
    let line = line.finish() + "\n";
    let text = match args.output.format {
        Format::Json => {
            let destinations = towards.iter().map(|towards| destination_json(towards) + "\n");
            let methods = forecasts.iter().map(|forecast| forecast_json(forecast) + "\n");
            line + &destinations.chain(methods).collect::<String>()
        }
        Format::Text => {
            let destinations = destination_table(&towards);
            blocks(&[line, destinations, forecast_table(&forecasts), remarks(&situation, &asked, &forecasts)])
        }
    };
    cli::print(&text)
}

/// The first address of each host, none twice.
fn destinations(args: &PlanArgs) -> Result<Vec<Destination>> {
    let mut destinations = Vec::new();
    for host in &args.to {
        for remote in host.all_from(args.from)? {
            let destination = Destination::of(remote, args.from)
                .map_err(|error| explained(error, args.from, Some(remote)))?;
            if !destinations.contains(&destination) {
                destinations.push(destination);
            }
        }
    }
    Ok(destinations)
}

/// The failure of a socket that was to be bound to `from` and no port.
fn explained(error: Error, from: IpAddr, remote: Option<SocketAddr>) -> Error {
    let options = SocketOptions { bind_address_no_port: true, ..SocketOptions::default() };
    explain(error, SocketAddr::new(from, 0), remote, &options)
}

/// How many descriptors this process may have open, once it has raised its limit.
fn descriptors() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(_, hard)| hard)
}

/// A destination, and what is used and free towards it.
struct Towards {
    remote: SocketAddr,
    source: IpAddr,
    unbound_source: IpAddr,
    states: [u64; 3],
    free: RangeInclusive<usize>,
}

fn towards(situation: &Situation, asked: &Asked) -> Vec<Towards> {
    let used = situation.usage();
    let towards = |destination: &Destination| {
        let ends = (destination.source, destination.remote);
        let used = used.iter().find(|usage| (usage.source, usage.remote) == ends);
        Towards {
            remote: destination.remote,
            source: destination.source,
            unbound_source: destination.unbound_source,
            states: used.map_or([0; 3], states),
            free: destination.free(situation),
        }
    };
    asked.destinations.iter().map(towards).collect()
}

fn destination_table(towards: &[Towards]) -> String {
    let row = |towards: &Towards| {
        let [established, time_wait, others] = towards.states.map(|count| count.to_string());
        [towards.remote.to_string(), established, time_wait, others, between(&towards.free)]
    };
    let header = ["DESTINATION", "ESTABLISHED", "TIME-WAIT", "OTHERS", "FREE"];
    table(header, towards.iter().map(row).collect())
}

fn destination_json(towards: &Towards) -> String {
    let [established, time_wait, others] = towards.states;
    let mut line = Line::new(Format::Json, "destination");
    line.field("local", towards.source)
        .field("unbound-local", towards.unbound_source)
        .field("remote", towards.remote)
        .number("established", established)
        .number("time-wait", time_wait)
        .number("others", others)
        .number("free-least", *towards.free.start() as u64)
        .number("free-most", *towards.free.end() as u64);
    line.finish()
}

fn forecast_table(forecasts: &[Forecast]) -> String {
    let row = |forecast: &Forecast| {
        let (call, errno) = (forecast.ends.call.clone(), forecast.ends.errno.clone());
        let held = if forecast.hold.is_zero() { "0s".to_owned() } else { Short(forecast.hold).to_string() };
        let rate = forecast.rate.map_or("any".to_owned(), per_second);
        [forecast.method.name().to_owned(), between(&forecast.open), call, errno, held, rate]
    };
    let at_rate = |forecast: &Forecast| {
        let at_rate = forecast.at_rate?;
        let lasts = at_rate.exhausted_after.map_or("yes".to_owned(), |after| Short(after).to_string());
        Some([at_rate.ports.to_string(), lasts])
    };
    let header = ["METHOD", "OPEN", "CALL", "ERRNO", "HELD", "RATE"];
    match forecasts.iter().map(at_rate).collect::<Option<Vec<_>>>() {
        None => table(header, forecasts.iter().map(row).collect()),
        Some(more) => {
            let rows = forecasts.iter().map(row).zip(more).map(|(row, more)| joined(row, more));
            table(joined(header, ["NEEDS", "LASTS"]), rows.collect())
        }
    }
}

fn joined<T>([a, b, c, d, e, f]: [T; 6], [g, h]: [T; 2]) -> [T; 8] {
    [a, b, c, d, e, f, g, h]
}

fn forecast_json(forecast: &Forecast) -> String {
    let mut line = Line::new(Format::Json, "method");
    line.field("method", forecast.method.name())
        .number("open-least", *forecast.open.start() as u64)
        .number("open-most", *forecast.open.end() as u64)
        .field("call", &forecast.ends.call)
        .field("errno", &forecast.ends.errno)
        .duration("held", forecast.hold)
        .optional("rate-per-second", forecast.rate);
    if let Some(at_rate) = forecast.at_rate {
        line.number("needs", at_rate.ports).mark("lasts", at_rate.exhausted_after.is_none());
        if let Some(after) = at_rate.exhausted_after {
            line.duration("exhausted-after", after);
        }
    }
    line.finish()
}

/// What the tables leave to be said, a line each.
fn remarks(situation: &Situation, asked: &Asked, forecasts: &[Forecast]) -> String {
    let lasting: Vec<&str> = forecasts
        .iter()
        .filter(|forecast| forecast.at_rate.is_some_and(|at_rate| at_rate.exhausted_after.is_none()))
        .map(|forecast| forecast.method.name())
        .collect();
    let at_rate = asked.rate.map(|rate| match &lasting[..] {
        [] => format!("{rate}/s each: no method sustains it\n"),
        lasting => format!("{rate}/s each is sustainable with {}\n", lasting.join(", ")),
    });
    let elsewhere =
        asked.destinations.iter().find(|destination| destination.unbound_source != destination.source);
    let elsewhere = elsewhere.map(|Destination { remote, source, unbound_source }| {
        format!("a socket that is not bound reaches {remote} from {unbound_source}, not from {source}\n")
    });
    let most = forecasts.iter().map(|forecast| *forecast.open.end() as u64).max();
    let few = most.is_some_and(|most| most > descriptors()).then(|| {
        let limit = descriptors();
        format!("the limit of {limit} descriptors comes first: socket fails with EMFILE\n")
    });
    let gap = situation.gap.as_ref().map(|gap| format!("{gap}\n"));
    [at_rate, elsewhere, few, gap].into_iter().flatten().collect()
}

/// A number, or the two that it lies between.
pub(super) fn between(count: &RangeInclusive<usize>) -> String {
    match (count.start(), count.end()) {
        (least, most) if least == most => least.to_string(),
        (least, most) => format!("{least}-{most}"),
    }
}

/// A rate, rounded down.
fn per_second(rate: f64) -> String {
    if rate < 10.0 {
        format!("{:.2}/s", (rate * 100.0).floor() / 100.0)
    } else {
        format!("{}/s", rate.floor())
    }
}

#[cfg(test)]
mod tests {
    use crate::kernel::time_wait::TIME_WAIT;
    use clap::FromArgMatches;

    use super::*;

    #[test]
    fn time_wait_lasts_as_long_as_the_kernel_has_it_unless_it_is_said() {
        let command = PlanArgs::augment_args(clap::Command::new("plan"));
        let matches = command.get_matches_from(["plan", "--from", "127.0.0.1", "--to", "127.0.0.1:9"]);
        assert_eq!(PlanArgs::from_arg_matches(&matches).unwrap().time_wait, TIME_WAIT);
    }
}
