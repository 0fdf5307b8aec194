//! The address a connection would come from.

use std::net::{IpAddr, SocketAddr};

use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use super::{Device, FourTuple};
use crate::error::{Error, Result};

/// The address that a connection from `local` to `remote` comes from, by `device` or by any interface; where `local` is
/// the wildcard address, the one that the route chooses.
///
/// Nothing is sent: connect(2) of a UDP socket looks up the route, and no more (udp(7)).
///
/// # Errors
///
/// `ENETUNREACH` without a route; `EINVAL` from loopback to elsewhere; `EADDRNOTAVAIL` from `bind` for an address that
/// is not this host's, and from `connect` where this host has none that could be it; `EMFILE` and `ENFILE` from `socket`.
pub(crate) fn source_address(local: IpAddr, remote: SocketAddr, device: Option<Device>) -> Result<IpAddr> {
    let local = SocketAddr::new(local, 0);
    let failed = |call| move |error| Error::new(call, FourTuple { local, remote }, error);
    let socket = Socket::new(Domain::for_address(remote), Type::DGRAM, Some(Protocol::UDP))
        .map_err(failed("socket"))?;
    if let Some(device) = device {
        socket.bind_device(Some(device.name.as_bytes())).map_err(failed("setsockopt"))?;
    }
    socket.bind(&local.into()).map_err(|error| Error::new("bind", local, error))?;
    socket.connect(&remote.into()).map_err(failed("connect"))?;
    let source = socket.local_addr().map_err(failed("getsockname"))?;
    source
        .as_socket()
        .map(|source| source.ip())
        .ok_or_else(|| failed("getsockname")(Errno::EAFNOSUPPORT.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_chooses_the_address_that_is_not_bound() {
        let remote = "127.0.0.9:9".parse().unwrap();
        for (local, source) in [([0, 0, 0, 0], [127, 0, 0, 1]), ([127, 0, 0, 5], [127, 0, 0, 5])] {
            assert_eq!(source_address(local.into(), remote, None).unwrap(), IpAddr::from(source));
        }
    }
}
