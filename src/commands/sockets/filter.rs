//! What `--state`, `--local` and `--remote` take.

use std::net::{IpAddr, SocketAddr};

use crate::net::spelling::{Form, Grammar, Spelled, Zones};
use crate::net::{Device, TcpState};

/// An address, a port, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AddressFilter {
    ip: Option<IpAddr>,
    /// The interface that a zone named, or 0.
    scope: u32,
    port: Option<u16>,
}

impl AddressFilter {
    /// Whether `address`, of a socket that is bound to `device`, has this address, this interface and this port, where
    /// they are given.
    pub(super) fn matches(&self, address: SocketAddr, device: Option<Device>) -> bool {
        self.ip.is_none_or(|ip| ip.to_canonical() == address.ip().to_canonical())
            && (self.scope == 0 || device.is_some_and(|device| device.index == self.scope))
            && self.port.is_none_or(|port| port == address.port())
    }
}

const SPELLING: Grammar = Grammar {
    forms: &[Form::AddressPort, Form::Address, Form::Port],
    names: false,
    zones: Zones::All,
    lowest_port: 0,
};

/// Reads an address, a port, or both.
pub(super) fn parse_address(text: &str) -> Result<AddressFilter, String> {
    let Spelled { ip, scope, port, .. } = SPELLING.read(text)?;
    Ok(AddressFilter { ip, scope, port })
}

/// Reads the name of a state that a row of the table can have.
pub(super) fn parse_state(text: &str) -> Result<TcpState, String> {
    let seen = |state: &TcpState| !matches!(state, TcpState::Closed | TcpState::NewSynReceived);
    text.parse().ok().filter(seen).ok_or_else(|| {
        let names: Vec<&str> =
            TcpState::ALL.iter().filter(|state| seen(state)).map(|state| state.name()).collect();
        format!("not a state of the socket table; one of {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(filter: &str, address: &str) -> bool {
        parse_address(filter).unwrap().matches(address.parse().unwrap(), None)
    }

    #[test]
    fn an_address_a_port_or_both_are_compared() {
        assert!(matches("127.0.0.1:3001", "127.0.0.1:3001"));
        assert!(!matches("127.0.0.1:3001", "127.0.0.1:3000"));
        assert!(!matches("127.0.0.1:3001", "127.0.0.2:3001"));
        assert!(matches("127.0.0.1", "127.0.0.1:1"));
        assert!(matches(":3001", "[::1]:3001"));
        assert!(!matches(":3001", "[::1]:3000"));
        assert!(matches("3001", "[::1]:3001") && matches("*:3001", "127.0.0.1:3001"));
        assert!(matches("[::1]:3000", "[::1]:3000"));
        assert!(!matches("[::1]:3000", "127.0.0.1:3000"));
        assert!(matches("::1", "[::1]:9"));
        assert!(matches("[::1]", "[::1]:9"));
        assert!(!matches("0.0.0.0:3000", "127.0.0.1:3000"));
        assert!(matches("fe80::1", "[fe80::1%2]:9"));
    }

    #[test]
    fn a_zone_is_the_interface_that_the_socket_is_bound_to() {
        let matches = |filter: &str, address: &str, device: Option<u32>| {
            parse_address(filter).unwrap().matches(address.parse().unwrap(), device.map(Device::nameless))
        };
        assert!(
            matches("fe80::1%2", "[fe80::1%2]:9", Some(2)) && !matches("fe80::1%2", "[fe80::1%3]:9", Some(3))
        );
        assert!(matches("*%2:9", "0.0.0.0:9", Some(2)) && !matches("*%2:9", "0.0.0.0:9", None));
    }

    #[test]
    fn an_ipv4_address_and_the_ipv6_one_it_is_mapped_to_are_one() {
        assert!(matches("127.0.0.1:3000", "[::ffff:127.0.0.1]:3000"));
        assert!(matches("[::ffff:127.0.0.1]:3000", "127.0.0.1:3000"));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", ":", ":70000", "1.2.3", "localhost:1", "[127.0.0.1]", "[::1]:", "::1]:1", "1.2.3.4:"]
        {
            assert!(parse_address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_state_that_no_row_can_have_is_refused_with_those_that_can() {
        assert_eq!(parse_state("time-wait"), Ok(TcpState::TimeWait));
        assert_eq!(parse_state("BOUND"), Ok(TcpState::BoundInactive));
        for text in ["closed", "connected", ""] {
            let error = parse_state(text).unwrap_err();
            assert!(error.ends_with("LAST-ACK, LISTEN, CLOSING, BOUND"), "{error}");
        }
    }
}
