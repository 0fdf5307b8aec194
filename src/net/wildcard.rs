//! The wildcard address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The wildcard address of the family of `ip`.
pub(crate) const fn wildcard(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

/// What a socket is bound to that may connect to `remote` from any address and any port.
pub(crate) const fn any_local(remote: SocketAddr) -> SocketAddr {
    SocketAddr::new(wildcard(remote.ip()), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_family_stays_and_nothing_else_does() {
        for (remote, any) in
            [("10.0.0.1:80", "0.0.0.0:0"), ("[fe80::1%2]:80", "[::]:0"), ("[::ffff:10.0.0.1]:80", "[::]:0")]
        {
            assert_eq!(any_local(remote.parse().unwrap()), any.parse().unwrap(), "{remote}");
        }
    }
}
