//! What a plan starts from: the settings and the sockets of this network.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use nix::errno::Errno;

use super::method::{Failure, Method};
use super::usage::{Usage, usage};
use crate::error::{Error, Result};
use crate::kernel::inet_diag::SocketRow;
use crate::kernel::port_range::PortRange;
use crate::kernel::settings::Settings;
use crate::kernel::table::{Table, table};
use crate::kernel::time_wait::Reuse;
use crate::lab::why::{is_bound, kept_from_connect};
use crate::net::{SocketOptions, bind};

/// The ports of this network and who has them, at one moment.
#[derive(Clone, Debug)]
pub struct Situation {
    /// The ports that the kernel may pick from.
    pub range: PortRange,
    /// The sockets that have one of them.
    pub(super) rows: Vec<SocketRow>,
    /// Whether IPV6_V6ONLY is set where nobody sets it.
    pub(super) v6_only: bool,
    /// Whether bind(2) keeps a port from connect(2); nothing where it is not known.
    pub(super) kept: BTreeMap<u16, Option<bool>>,
    pub(super) time_wait: Reuse,
    /// Why a method cannot be used at all.
    pub(super) lacking: Vec<(Method, Failure)>,
    /// What sockets may be missing, in a sentence; the ports that they may have are not counted on.
    pub gap: Option<String>,
}

impl Situation {
    /// That of this network, as a client sees it that is to connect from `from`.
    ///
    /// # Errors
    ///
    /// As [`sockets`](crate::sockets); `EADDRNOTAVAIL` from `bind` for an address that is not this host's.
    pub fn now(from: IpAddr) -> Result<Self> {
        let lacking = lacking(from)?;
        let Settings { ephemeral: range, v6_only, time_wait, .. } = Settings::read();
        let Table { mut rows, gap } = table()?;
        rows.retain(|row| range.contains(row.local.port()));
        let unseen = gap.iter().flat_map(|_| range.ports());
        let kept = kept(&rows, unseen, from);
        let gap = gap.map(|gap| gap.to_string());
        Ok(Self { kept, range, rows, v6_only, time_wait, lacking, gap })
    }

    /// The ports that a socket which is not seen has, or may have.
    pub(super) fn unseen(&self) -> impl Iterator<Item = u16> {
        let maybe = self.kept.iter().filter(|(_, kept)| self.gap.is_some() && **kept != Some(false));
        let bound: BTreeSet<u16> =
            self.rows.iter().filter(|row| is_bound(row)).map(|row| row.local.port()).collect();
        maybe.map(|(port, _)| *port).filter(move |port| !bound.contains(port))
    }

    /// What is used.
    pub fn usage(&self) -> Vec<Usage> {
        usage(&self.range, &self.rows)
    }

    /// What keeps `method` from being used at all.
    pub(super) fn lacks(&self, method: Method) -> Option<&Failure> {
        self.lacking.iter().find(|(lacking, _)| *lacking == method).map(|(_, failure)| failure)
    }
}

/// The methods that this kernel has not, learnt by binding each option's socket to `from` and no port.
fn lacking(from: IpAddr) -> Result<Vec<(Method, Failure)>> {
    let bound = |local_port_range| {
        let options =
            SocketOptions { bind_address_no_port: true, local_port_range, ..SocketOptions::default() };
        bind(SocketAddr::new(from, 0), &options)
    };
    bound(None)?;
    match bound(Some((0, 0))) {
        Err(error) if lacks_option(&error) => Ok(vec![(Method::LocalPortRange, Failure::from_error(&error))]),
        outcome => outcome.map(|_| Vec::new()),
    }
}

fn lacks_option(error: &Error) -> bool {
    error.call() == "setsockopt" && error.errno() == Some(Errno::ENOPROTOOPT)
}

/// Which ports bind(2) keeps from connect(2). What only connections have, or nobody as far as is seen, must be asked for one
/// by one.
fn kept(rows: &[SocketRow], unseen: impl Iterator<Item = u16>, from: IpAddr) -> BTreeMap<u16, Option<bool>> {
    let had = rows.iter().map(|row| (row.local.port(), is_bound(row)));
    let mut ports: BTreeMap<u16, bool> = unseen.map(|port| (port, false)).collect();
    for (port, is_bound) in had {
        *ports.entry(port).or_default() |= is_bound;
    }
    let ask = |(port, is_bound)| match is_bound {
        true => (port, Some(true)),
        false => (port, kept_from_connect(SocketAddr::new(from, port))),
    };
    ports.into_iter().map(ask).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Asked, Destination, plan};
    use super::*;
    use crate::kernel::inet_diag::pretend::{Lacking, without};

    fn asked(situation: &Situation, method: Method) -> (std::ops::RangeInclusive<usize>, String) {
        let destinations = vec![Destination::of("127.0.0.1:9".parse().unwrap(), FROM).unwrap()];
        let asked = Asked { from: FROM, destinations, rate: None, time_wait: Duration::ZERO };
        let forecast =
            plan(situation, &asked).into_iter().find(|forecast| forecast.method == method).unwrap();
        (forecast.open, forecast.ends.to_string())
    }

    const FROM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    /// A situation of eight ports, where a socket has one.
    fn situation() -> Situation {
        let now = Situation::now(FROM).unwrap();
        let range = PortRange::new(40_000, 40_007);
        Situation { range, rows: Vec::new(), kept: BTreeMap::new(), lacking: Vec::new(), gap: None, ..now }
    }

    #[test]
    fn a_port_of_which_nothing_is_known_counts_at_most() {
        let situation = Situation { kept: BTreeMap::from([(40_001, None)]), ..situation() };
        assert_eq!(asked(&situation, Method::Connect).0, 7..=8);
        assert_eq!(asked(&situation, Method::BindPortZero).0, 8..=8);
    }

    #[test]
    fn what_bind_picks_is_shared_by_all_destinations() {
        let to = |remote: &str| Destination::of(remote.parse().unwrap(), FROM).unwrap();
        let destinations = vec![to("127.0.0.1:9"), to("127.0.0.2:9")];
        let asked = Asked { from: FROM, destinations, rate: None, time_wait: Duration::from_secs(4) };
        let forecasts = plan(&situation(), &asked);
        let of = |method| forecasts.iter().find(|forecast| forecast.method == method).unwrap();
        assert_eq!(
            (of(Method::BindPortZero).open.clone(), of(Method::BindPortZero).rate),
            (8..=8, Some(1.0))
        );
        assert_eq!(of(Method::Connect).open, 16..=16);
    }

    #[test]
    fn a_rate_needs_ports_for_every_destination_and_lasts_as_long_as_at_the_worst() {
        let to = |remote: &str| Destination::of(remote.parse().unwrap(), FROM).unwrap();
        let destinations = vec![to("127.0.0.1:9"), to("127.0.0.2:9")];
        let asked = Asked { from: FROM, destinations, rate: Some(3), time_wait: Duration::from_secs(4) };
        let forecasts = plan(&situation(), &asked);
        let at_rate = |method| {
            let found = forecasts.iter().find(|forecast| forecast.method == method).unwrap().at_rate.unwrap();
            (found.ports, found.exhausted_after.map(|after| after.as_millis()))
        };
        // 3/s to each of two, for 4 s: 24 ports of one pool of 8, whose last is taken before the 9th comes.
        assert_eq!(at_rate(Method::BindPortZero), (24, Some(1333)));
    }

    #[test]
    fn a_method_that_the_kernel_lacks_reaches_nothing_and_fails_at_setsockopt() {
        let failure = Failure::new("setsockopt", Errno::ENOPROTOOPT);
        let situation = Situation { lacking: vec![(Method::LocalPortRange, failure)], ..situation() };
        assert_eq!(asked(&situation, Method::LocalPortRange), (0..=0, "setsockopt ENOPROTOOPT".to_owned()));
        assert_eq!(asked(&situation, Method::Connect).0, 8..=8);
    }

    #[test]
    fn a_plan_counts_on_no_port_of_a_socket_that_the_kernel_does_not_list() {
        // Many, so that what comes and goes meanwhile is few.
        let hold = |_| bind(SocketAddr::new(FROM, 0), &SocketOptions::default()).unwrap();
        let holders: Vec<_> = (0..500).map(hold).collect();
        let situation = without(Lacking::Bound, || Situation::now(FROM).unwrap());
        let most = situation.range.ports().count() - holders.len();
        for method in Method::ALL {
            let open = asked(&situation, method).0;
            assert!(*open.end() <= most, "{method:?}: {open:?} of {most}");
        }
    }
}
