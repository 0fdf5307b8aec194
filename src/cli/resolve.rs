//! Host names, and the addresses that they stand for.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use crate::error::{Error, Result};
use crate::text::Escaped;

/// All addresses of `host` that a socket bound to `local` can connect to, in the resolver's order.
///
/// # Errors
///
/// What getaddrinfo(3) says, or that `host` has no address of `local`'s family.
pub(crate) fn resolve(host: &str, port: u16, local: SocketAddr) -> Result<Vec<SocketAddr>> {
    let mut addresses = addresses_of(host, port)?;
    addresses.retain(|address| address.is_ipv4() == local.is_ipv4());
    if addresses.is_empty() {
        let family = if local.is_ipv4() { "IPv4" } else { "IPv6" };
        let error = io::Error::other(format!("no {family} address, but {} is {family}", local.ip()));
        return Err(unresolved(host, error).hint("both addresses of one family"));
    }
    Ok(addresses)
}

/// All addresses of `host`, in the resolver's order.
///
/// # Errors
///
/// What getaddrinfo(3) says.
pub(crate) fn addresses_of(host: &str, port: u16) -> Result<Vec<SocketAddr>> {
    let step = "an IPv4 or IPv6 address, or a name that `getent hosts` knows";
    let addresses = (host, port).to_socket_addrs().map_err(|error| unresolved(host, error).hint(step))?;
    let mut addresses: Vec<SocketAddr> = addresses.collect();
    addresses.dedup();
    Ok(addresses)
}

/// What getaddrinfo(3) says of `host`.
pub(super) fn unresolved(host: &str, error: io::Error) -> Error {
    Error::new("getaddrinfo", Escaped(host.as_bytes()), error)
}
