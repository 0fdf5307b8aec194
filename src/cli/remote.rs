//! A server as it is named on a command line: `HOST:PORT`.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::resolve::{addresses_of, resolve, unresolved};
use super::values::{Parsed, port_range};
use crate::error::Result;
use crate::net::spelling::{Form, Grammar, Spelled, Zones};
use crate::net::{SocketOptions, any_local, bind, connected_within};

/// How long an address of several may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A host, by address or name, and ports of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    host: String,
    low: u16,
    high: u16,
}

const HOST_PORT: Grammar =
    Grammar { forms: &[Form::AddressPort], names: true, zones: Zones::Ipv6, lowest_port: 1 };

/// Reads `HOST:PORT`.
pub(crate) fn remote(text: &str) -> Parsed<Remote> {
    let Spelled { host, port, .. } = HOST_PORT.read(text)?;
    let (host, port) = (host.unwrap_or_default(), port.unwrap_or_default());
    Ok(Remote { host, low: port, high: port })
}

/// Reads `HOST:PORT`, or `HOST:LOW-HIGH` for every port from LOW to HIGH.
pub(crate) fn remotes(text: &str) -> Parsed<Remote> {
    match text.rsplit_once(':') {
        Some((host, ports)) if ports.contains('-') => {
            let (low, high) = port_range(ports)?;
            Ok(Remote { high, ..remote(&format!("{host}:{low}"))? })
        }
        _ => remote(text),
    }
}

impl Remote {
    /// The host's address with the first of the ports; of several addresses the first that a connect(2) reaches, and
    /// where none does, the first of all.
    ///
    /// # Errors
    ///
    /// What getaddrinfo(3) says.
    pub(crate) fn first(&self) -> Result<SocketAddr> {
        let found = addresses_of(&self.host, self.low)?;
        let reached = found.iter().find(|&&address| found.len() == 1 || is_reached(address));
        let nothing = || unresolved(&self.host, io::Error::other("the name has no address"));
        reached.or(found.first()).copied().ok_or_else(nothing)
    }

    /// The same address with each of the ports.
    ///
    /// # Errors
    ///
    /// What getaddrinfo(3) says.
    pub(crate) fn all(&self) -> Result<Vec<SocketAddr>> {
        Ok(self.ports_of(self.first()?))
    }

    /// The first address that a socket bound to `local` can connect to, with each of the ports.
    ///
    /// # Errors
    ///
    /// As [`resolve`].
    pub(crate) fn all_from(&self, local: IpAddr) -> Result<Vec<SocketAddr>> {
        let found = resolve(&self.host, self.low, SocketAddr::new(local, 0))?;
        Ok(found.first().map_or_else(Vec::new, |first| self.ports_of(*first)))
    }

    fn ports_of(&self, first: SocketAddr) -> Vec<SocketAddr> {
        let mut address = first;
        let at = |port| {
            address.set_port(port);
            address
        };
        (self.low..=self.high).map(at).collect()
    }
}

/// Whether a connection to `address` comes to be.
fn is_reached(address: SocketAddr) -> bool {
    let socket = bind(any_local(address), &SocketOptions::default()).and_then(|bound| bound.connect(address));
    let Ok(socket) = socket else { return false };
    connected_within(&socket, PATIENCE).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_where_nobody_listens_is_not_reached() {
        let bound = bind("127.0.0.1:0".parse().unwrap(), &SocketOptions::default()).unwrap();
        let address = bound.local();
        assert!(!is_reached(address));
        let _listening = bound.listen(1).unwrap();
        assert!(is_reached(address));
    }

    #[test]
    fn a_literal_and_its_ports_are_read() {
        for (text, addresses) in [
            ("127.0.0.1:3000", &["127.0.0.1:3000"][..]),
            ("[::1]:3000", &["[::1]:3000"]),
            ("[fe80::1%1]:3000", &["[fe80::1%1]:3000"]),
            ("127.0.0.1:3000-3002", &["127.0.0.1:3000", "127.0.0.1:3001", "127.0.0.1:3002"]),
        ] {
            let addresses: Vec<SocketAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
            assert_eq!(remotes(text).unwrap().all().unwrap(), addresses);
        }
    }

    #[test]
    fn what_has_no_port_or_no_host_is_no_server() {
        for wrong in ["127.0.0.1", ":3000", "[::1]", "[::1", "a:0", "a:70000", "a:", "[a]:1", "a:1-2"] {
            assert!(remote(wrong).is_err(), "{wrong}");
        }
        assert!(remotes("a:2-1").is_err());
    }
}
