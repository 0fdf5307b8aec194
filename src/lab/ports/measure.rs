//! What each method reaches, measured in a scratch network, beside its plan.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};
use serde::{Deserialize, Serialize};
use socket2::Socket;

use super::method::{Failure, Method};
use super::plan::{Asked, Destination, Forecast, forecast};
use super::situation::Situation;
use crate::error::{Error, Result};
use crate::kernel::port_range::PortRange;
use crate::kernel::time_wait::TIME_WAIT;
use crate::net::{SocketOptions, bind, connect_unbound, connected_within};
use crate::sandbox::namespace::Sysctl;
use crate::sandbox::scratch::{Question, ask};
use crate::text::Setting;

/// How long a handshake over lo may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Listening sockets, netlink, standard input and output.
const OTHER_DESCRIPTORS: u64 = 300;
const FROM: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// How many connections every method reaches, from one address to several, with these ports.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Measure {
    /// The lowest ephemeral port, 1024 or higher.
    pub low: u16,
    pub high: u16,
    pub destinations: u8,
}

/// What a plan said and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Compared {
    pub method: Method,
    /// How many connections were to be open at once: at least and at most.
    pub planned: RangeInclusive<usize>,
    pub measured: usize,
    /// What was to fail then.
    pub planned_end: Failure,
    /// What failed; nothing where nothing did.
    pub measured_end: Option<Failure>,
}

impl Compared {
    /// Whether it came as planned.
    pub(crate) fn agrees(&self) -> bool {
        self.planned.contains(&self.measured) && self.measured_end.as_ref() == Some(&self.planned_end)
    }
}

impl Measure {
    /// Measures every method in a scratch network.
    ///
    /// # Errors
    ///
    /// As [`ask`]; `EMFILE` where this process may not open so many.
    pub(crate) fn run(&self) -> Result<Vec<Compared>> {
        self.check_descriptors()?;
        // The listeners never accept, so their queues hold every connection.
        let queue = u16::MAX;
        ask(
            self,
            &[
                Sysctl::new("net.ipv4.ip_local_port_range", format_args!("{} {}", self.low, self.high)),
                Sysctl::new("net.core.somaxconn", queue),
            ],
        )
    }

    fn check_descriptors(&self) -> Result<()> {
        let Self { low, high, destinations } = *self;
        let needed = (low..=high).count() as u64 * u64::from(destinations);
        match getrlimit(Resource::RLIMIT_NOFILE) {
            Ok((limit, _)) if limit < needed + OTHER_DESCRIPTORS => {
                let what = format!("{low}-{high} towards {destinations} destinations");
                Err(Error::new("socket", what, Errno::EMFILE)
                    .note(format_args!("it needs {needed} descriptors, and a process may open {limit}"))
                    .hint(format_args!(
                        "a narrower {}, or fewer {}",
                        Setting::PortRange,
                        Setting::Destinations
                    )))
            }
            _ => Ok(()),
        }
    }

    /// The destinations: one port, which no client can be given, at address after address.
    fn remotes(&self) -> impl Iterator<Item = SocketAddr> {
        let port = self.low.saturating_sub(1);
        let address = move |number| SocketAddr::from(([127, 0, 1, number], port));
        (1..=self.destinations).map(address)
    }

    fn compare(&self, method: Method) -> Result<Compared> {
        let listen = |remote| bind(remote, &SocketOptions::default())?.listen(i32::MAX);
        let listening = self.remotes().map(listen).collect::<Result<Vec<_>>>()?;
        let situation = Situation::now(FROM.into())?;
        let destinations =
            self.remotes().map(|remote| Destination::of(remote, FROM.into())).collect::<Result<_>>()?;
        let asked = Asked { from: FROM.into(), destinations, rate: None, time_wait: TIME_WAIT };
        let Forecast { open: planned, ends: planned_end, .. } = forecast(&situation, &asked, method);
        let mut clients = Vec::new();
        let mut measured_end = None;
        for remote in self.remotes() {
            let end = fill(method, &situation.range, remote, &mut clients)?;
            measured_end = measured_end.or(end);
        }
        let measured = clients.len();
        // In this order the kernel aborts the connections, and none stays in TIME-WAIT.
        drop(listening);
        drop(clients);
        Ok(Compared { method, planned, measured, planned_end, measured_end })
    }
}

impl Question for Measure {
    type Answer = Vec<Compared>;
    const NAME: &str = "ports";

    fn answer(self) -> Result<Self::Answer> {
        Method::ALL.into_iter().map(|method| self.compare(method)).collect()
    }
}

/// Opens connections to `remote` until a call fails or every port has had its turn.
fn fill(
    method: Method,
    range: &PortRange,
    remote: SocketAddr,
    clients: &mut Vec<Socket>,
) -> Result<Option<Failure>> {
    // One more than there are ports, so that something fails.
    for port in range.ports().chain([range.low()]) {
        match open(method, range, port, remote) {
            Ok(client) => clients.push(established(client, remote)?),
            Err(error) if error.call() == "socket" => return Err(error),
            Err(error) => return Ok(Some(Failure::from_error(&error))),
        }
    }
    Ok(None)
}

/// Begins to connect to `remote`; `port` is the next one where the program chooses.
fn open(method: Method, range: &PortRange, port: u16, remote: SocketAddr) -> Result<Socket> {
    let options = SocketOptions {
        bind_address_no_port: matches!(method, Method::BindAddressNoPort | Method::LocalPortRange),
        local_port_range: (method == Method::LocalPortRange).then(|| (range.low(), range.high())),
        reuse_address: method == Method::ReuseAddress,
        reuse_port: method == Method::ReusePort,
        ..SocketOptions::default()
    };
    match method {
        Method::Connect => connect_unbound(remote, &options),
        Method::ReuseAddress | Method::ReusePort => {
            bind(SocketAddr::from((FROM, port)), &options)?.connect(remote)
        }
        _ => bind(SocketAddr::from((FROM, 0)), &options)?.connect(remote),
    }
}

fn established(client: Socket, remote: SocketAddr) -> Result<Socket> {
    let connected = connected_within(&client, PATIENCE);
    connected.map(|()| client).map_err(|error| Error::new("connect", remote, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_holds_where_count_and_failure_are_as_planned() {
        let [planned_end, other] =
            [Errno::EADDRNOTAVAIL, Errno::EMFILE].map(|errno| Failure::new("connect", errno));
        let agrees = |measured, end: Option<&Failure>| {
            let (planned, planned_end, measured_end) = (7..=8, planned_end.clone(), end.cloned());
            Compared { method: Method::Connect, planned, measured, planned_end, measured_end }.agrees()
        };
        assert!(agrees(7, Some(&planned_end)) && agrees(8, Some(&planned_end)));
        assert!(!agrees(6, Some(&planned_end)) && !agrees(9, Some(&planned_end)));
        assert!(!agrees(8, Some(&other)) && !agrees(8, None));
    }
}
