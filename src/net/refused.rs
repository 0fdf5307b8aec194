//! What bind(2) refuses whoever has the port.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::errno::Errno;

use super::SocketOptions;
use super::open::{BoundSocket, bind};
use crate::error::Result;

/// The errno that bind(2) answers for `local` if no other socket is there, or none: the first of [`refusals`].
///
/// # Errors
///
/// As [`refusals`].
pub(crate) fn refused(local: SocketAddr, options: &SocketOptions, privileged: u16) -> Result<Option<Errno>> {
    Ok(refusals(local, options, privileged)?.first().copied())
}

/// All that bind(2) has against `local` if no other socket is there, in its order; IPV6_V6ONLY and SO_BINDTODEVICE are those
/// of `options`.
///
/// No port is taken, so this changes no later answer. The address is bound without a port (IP_BIND_ADDRESS_NO_PORT). The
/// right to a port below `privileged` is asked with a socket that has one already: the kernel checks rights before it
/// says `EINVAL` to a second bind(2).
///
/// # Errors
///
/// What the calls before bind(2) answer: `EMFILE` and `ENFILE` from `socket`, `EINVAL` from `setsockopt`.
pub(crate) fn refusals(local: SocketAddr, options: &SocketOptions, privileged: u16) -> Result<Vec<Errno>> {
    let SocketOptions { v6_only, device, .. } = *options;
    let address = SocketOptions { v6_only, device, bind_address_no_port: true, ..SocketOptions::default() };
    let mut any_port = local;
    any_port.set_port(0);
    let address = errno_of(bind(any_port, &address))?;
    if local.port() == 0 || local.port() >= privileged {
        return Ok(address.into_iter().collect());
    }
    let right = refused_right(local)?.filter(|errno| address != Some(*errno));
    // `__inet_bind` looks at the address first, `__inet6_bind` at the right.
    let in_order = if local.is_ipv4() { [address, right] } else { [right, address] };
    Ok(in_order.into_iter().flatten().collect())
}

/// `EACCES`, or what a security policy answers, to bind(2) of this port.
fn refused_right(local: SocketAddr) -> Result<Option<Errno>> {
    let Ok(bound) = bind_alone() else { return Ok(None) };
    let again = match bound.local() {
        SocketAddr::V6(_) => mapped(local),
        SocketAddr::V4(_) if local.is_ipv4() => local,
        SocketAddr::V4(_) => return Ok(None),
    };
    Ok(errno_of(bound.bind_again(again))?.filter(|&errno| errno != Errno::EINVAL))
}

/// A socket on a port that no other socket has, at whatever address.
///
/// That changes nothing of what the kernel remembers of a port for those who have it.
///
/// # Errors
///
/// `EADDRINUSE` where none was found; `EMFILE` and `ENFILE` from `socket`.
pub(crate) fn bind_alone() -> Result<BoundSocket> {
    /// A step between ports of which no system has each.
    const EVERY: usize = 4099;
    let picked = bind_everywhere(0);
    // The range that the kernel picks from may be exhausted.
    (1024..=u16::MAX).rev().step_by(EVERY).fold(picked, |found, port| match found {
        Err(error) if error.errno() == Some(Errno::EADDRINUSE) => bind_everywhere(port),
        found => found,
    })
}

/// Every socket of a port is in the way of this one, whatever its address and its family.
fn bind_everywhere(port: u16) -> Result<BoundSocket> {
    let dual_stack = SocketOptions { v6_only: Some(false), ..SocketOptions::default() };
    match bind((Ipv6Addr::UNSPECIFIED, port).into(), &dual_stack) {
        Err(error) if matches!(error.errno(), Some(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL)) => {
            bind((Ipv4Addr::UNSPECIFIED, port).into(), &SocketOptions::default())
        }
        outcome => outcome,
    }
}

fn mapped(local: SocketAddr) -> SocketAddr {
    match local {
        SocketAddr::V4(local) => (local.ip().to_ipv6_mapped(), local.port()).into(),
        SocketAddr::V6(_) => local,
    }
}

/// What bind(2) said; a failure of another call stays one.
fn errno_of(outcome: Result<BoundSocket>) -> Result<Option<Errno>> {
    match outcome {
        Ok(_) => Ok(None),
        Err(error) => match (error.call(), error.errno()) {
            ("bind", Some(errno)) => Ok(Some(errno)),
            _ => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_nobody_is_refused_and_a_port_that_is_taken_is_not() {
        let plain = SocketOptions::default();
        let holder = bind("127.0.0.1:0".parse().unwrap(), &plain).unwrap();
        assert_eq!(refused(holder.local(), &plain, 1024).unwrap(), None);
        let foreign = "192.0.2.1:3000".parse().unwrap();
        assert_eq!(refused(foreign, &plain, 1024).unwrap(), Some(Errno::EADDRNOTAVAIL));
        let v6_only = SocketOptions { v6_only: Some(true), ..plain };
        let mapped = "[::ffff:127.0.0.1]:3000".parse().unwrap();
        assert_eq!(refused(mapped, &v6_only, 1024).unwrap(), Some(Errno::EINVAL));
    }

    #[test]
    fn the_right_and_the_address_are_refused_each_for_itself() {
        let plain = SocketOptions::default();
        let of = |local: &str| refusals(local.parse().unwrap(), &plain, 1024).unwrap();
        let right = of("127.0.0.1:1");
        assert!(right.is_empty() || right == [Errno::EACCES], "{right:?}");
        let address = [Errno::EADDRNOTAVAIL];
        assert_eq!(of("192.0.2.1:1"), [&address[..], &right[..]].concat());
        assert_eq!(of("[2001:db8::1]:1"), [&right[..], &address[..]].concat());
    }

    #[test]
    fn a_port_of_nobody_is_refused_to_everybody() {
        let alone = bind_alone().unwrap();
        for ip in ["127.0.0.1", "0.0.0.0"] {
            let local = SocketAddr::new(ip.parse().unwrap(), alone.local().port());
            let refused = bind(local, &SocketOptions::default()).unwrap_err();
            assert_eq!(refused.errno(), Some(Errno::EADDRINUSE), "{local}");
        }
    }

    #[test]
    fn a_second_bind_asks_for_the_right_and_takes_nothing() {
        let plain = SocketOptions::default();
        for local in ["127.0.0.1:1", "[::1]:1"] {
            let local = local.parse().unwrap();
            let expected = match bind(local, &plain) {
                Err(error) if error.errno() == Some(Errno::EACCES) => Some(Errno::EACCES),
                _ => None,
            };
            assert_eq!(refused_right(local).unwrap(), expected, "{local}");
        }
    }
}
