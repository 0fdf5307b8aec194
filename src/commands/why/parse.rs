//! What `fourtuple why` takes for an address.

use std::net::{Ipv4Addr, SocketAddr};

use crate::net::spelling::{Form, Grammar, Zones};

const LOCAL: Grammar =
    Grammar { forms: &[Form::AddressPort, Form::Port], names: false, zones: Zones::Ipv6, lowest_port: 0 };
const REMOTE: Grammar = Grammar { forms: &[Form::AddressPort], lowest_port: 1, ..LOCAL };

/// Reads an address with a port; a port alone is one of the wildcard address 0.0.0.0.
pub(super) fn parse_local(text: &str) -> Result<SocketAddr, String> {
    LOCAL.read(text).map(|spelled| spelled.socket_address(Ipv4Addr::UNSPECIFIED.into()))
}

/// Reads an address with a port.
pub(super) fn parse_remote(text: &str) -> Result<SocketAddr, String> {
    REMOTE.read(text).map(|spelled| spelled.socket_address(Ipv4Addr::UNSPECIFIED.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_one_of_every_ipv4_address() {
        for text in ["3000", ":3000", "*:3000", "0.0.0.0:3000"] {
            assert_eq!(parse_local(text), Ok("0.0.0.0:3000".parse().unwrap()), "{text}");
        }
        assert_eq!(parse_local("[::1]:3000"), Ok("[::1]:3000".parse().unwrap()));
        assert_eq!(parse_local("[fe80::1%1]:0"), Ok("[fe80::1%1]:0".parse().unwrap()));
    }

    #[test]
    fn what_is_no_address_is_told_what_it_lacks() {
        assert_eq!(parse_local("127.0.0.1").unwrap_err(), "it lacks the port, as in 127.0.0.1:3000");
        assert_eq!(parse_remote("::1:3111"), Ok("[::1]:3111".parse().unwrap()));
        assert_eq!(parse_remote("::1").unwrap_err(), "it lacks the port, as in [::1]:3000");
        for text in ["", "70000", "-1", "localhost:3000", "[::1]", "1.2.3:4", "*"] {
            assert!(parse_local(text).is_err(), "{text}");
        }
        assert!(parse_remote("127.0.0.1:0").is_err());
        assert!(parse_remote("3000").is_err());
    }
}
