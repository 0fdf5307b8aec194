//! What `fourtuple why` takes for an address and an interface.

use std::net::{Ipv4Addr, SocketAddr};

use crate::kernel::device;
use crate::net::spelling::{Form, Grammar, Spelled, Zones};
use crate::net::{Device, OnDevice, is_link_local};

const LOCAL: Grammar =
    Grammar { forms: &[Form::AddressPort, Form::Port], names: false, zones: Zones::All, lowest_port: 0 };
const REMOTE: Grammar = Grammar { forms: &[Form::AddressPort], lowest_port: 1, ..LOCAL };

/// Reads an address with a port, a port alone is one of the wildcard address 0.0.0.0; and the interface that stands with
/// it, unless that is the zone of a link-local address.
pub(super) fn parse_local(text: &str) -> Result<OnDevice, String> {
    let spelled = LOCAL.read(text)?;
    let address = address(&spelled);
    let device = Some(spelled.scope).filter(|&index| index != 0 && !is_link_local(address));
    Ok(OnDevice(address, device.map(device::device)))
}

/// Reads an address with a port. The kernel looks at the zone of a link-local one alone.
pub(super) fn parse_remote(text: &str) -> Result<SocketAddr, String> {
    REMOTE.read(text).map(|spelled| address(&spelled))
}

/// Reads the name of an interface.
pub(super) fn parse_device(text: &str) -> Result<Device, String> {
    device::named(text)
        .map(|link| link.device)
        .ok_or_else(|| format!("this network has no interface {text}: `ip -br link` shows those there are"))
}

fn address(spelled: &Spelled) -> SocketAddr {
    let address = spelled.socket_address(Ipv4Addr::UNSPECIFIED.into());
    if is_link_local(address) { address } else { SocketAddr::new(address.ip(), address.port()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(text: &str) -> Option<SocketAddr> {
        parse_local(text).ok().map(|OnDevice(address, _)| address)
    }

    #[test]
    fn a_port_alone_is_one_of_every_ipv4_address() {
        for text in ["3000", ":3000", "*:3000", "0.0.0.0:3000"] {
            assert_eq!(local(text), Some("0.0.0.0:3000".parse().unwrap()), "{text}");
        }
        assert_eq!(local("[::1]:3000"), Some("[::1]:3000".parse().unwrap()));
        assert_eq!(local("[fe80::1%1]:0"), Some("[fe80::1%1]:0".parse().unwrap()));
    }

    #[test]
    fn an_address_is_taken_as_other_programs_print_it() {
        for (text, address, device) in [
            (":::3111", "[::]:3111", None),
            ("::1:3111", "[::1]:3111", None),
            ("127.0.0.1%lo:3111", "127.0.0.1:3111", Some("lo")),
            ("*%lo:3111", "0.0.0.0:3111", Some("lo")),
            ("[::]%lo:3111", "[::]:3111", Some("lo")),
        ] {
            let OnDevice(found, on) = parse_local(text).unwrap();
            assert_eq!(found, address.parse().unwrap(), "{text}");
            assert_eq!(on.map(|device| device.to_string()).as_deref(), device, "{text}");
        }
        assert_eq!(parse_remote("127.0.0.53%lo:53"), Ok("127.0.0.53:53".parse().unwrap()));
    }

    #[test]
    fn what_is_no_address_is_told_what_it_lacks() {
        assert_eq!(parse_local("127.0.0.1").unwrap_err(), "it lacks the port, as in 127.0.0.1:3000");
        assert_eq!(parse_remote("::1").unwrap_err(), "it lacks the port, as in [::1]:3000");
        for text in ["", "70000", "-1", "localhost:3000", "[::1]", "1.2.3:4", "*"] {
            assert!(parse_local(text).is_err(), "{text}");
        }
        assert!(parse_remote("127.0.0.1:0").is_err());
        assert!(parse_remote("3000").is_err());
        assert!(parse_device("no-such").unwrap_err().starts_with("this network has no interface no-such"));
    }
}
