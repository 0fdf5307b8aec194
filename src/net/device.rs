//! The network interface that a socket is bound to: a part of its address.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// IFNAMSIZ: the bytes of a name and at least one NUL behind them (linux/if.h).
const SIZE: usize = 16;

/// A network interface that a socket is bound to: by SO_BINDTODEVICE, socket(7), or by the zone of a link-local address.
///
/// Displays as its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Device {
    /// Its number, which is the zone of an address on it.
    pub index: u32,
    /// The number of the VRF that it is or belongs to; 0 where there is none.
    pub vrf: u32,
    /// The VRF whose ports are apart from those of all other sockets; 0 for these, and for all where
    /// `net.ipv4.tcp_l3mdev_accept` is on (`inet_sk_bound_l3mdev`).
    pub domain: u32,
    /// Its name.
    pub name: DeviceName,
}

/// The name of an interface: bytes that the kernel takes for one, which may be any but blanks, `/` and `:`.
///
/// Displays as one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeviceName([u8; SIZE]);

impl DeviceName {
    /// The name of these bytes, where they are not too many; none of them is the name of no interface.
    pub fn new(name: &[u8]) -> Option<Self> {
        if name.len() >= SIZE || name.contains(&0) {
            return None;
        }
        let mut bytes = [0; SIZE];
        bytes.iter_mut().zip(name).for_each(|(place, &byte)| *place = byte);
        Some(Self(bytes))
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.split(|&byte| byte == 0).next().unwrap_or_default()
    }
}

impl Device {
    /// What is known of an interface of which the number is all that is: it has that in place of its name.
    pub(crate) fn nameless(index: u32) -> Self {
        let name = DeviceName::new(index.to_string().as_bytes()).unwrap_or(DeviceName([0; SIZE]));
        Self { index, vrf: 0, domain: 0, name }
    }
}

/// Whether a socket bound to `bound`, or to none, gets what comes by `via`: `inet_sk_bound_dev_eq`.
///
/// What comes by no interface in particular is meant for sockets that are bound to none.
pub(crate) fn hears(bound: Option<Device>, via: Option<Device>) -> bool {
    match (bound, via) {
        (None, via) => via.is_none_or(|via| via.domain == 0),
        (Some(bound), Some(via)) => [via.index, via.vrf].contains(&bound.index),
        (Some(_), None) => false,
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|&byte| match byte {
            byte if byte.is_ascii_graphic() => write!(f, "{}", char::from(byte)),
            byte => write!(f, "\\x{byte:02x}"),
        })
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

/// An address and the interface it is on, as ss(8) has it: `0.0.0.0%v0:3000`, `[fe80::5%v0]:3000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnDevice(pub SocketAddr, pub Option<Device>);

impl fmt::Display for OnDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self(address, None) => address.fmt(f),
            Self(SocketAddr::V4(address), Some(device)) => {
                write!(f, "{}%{device}:{}", address.ip(), address.port())
            }
            Self(SocketAddr::V6(address), Some(device)) => {
                write!(f, "[{}%{device}]:{}", address.ip(), address.port())
            }
        }
    }
}

/// Whether the address is one only together with an interface.
pub(crate) fn is_link_local(address: SocketAddr) -> bool {
    matches!(address, SocketAddr::V6(address) if address.ip().is_unicast_link_local())
}

/// The interface that the zone of a link-local address names, by its number.
pub(crate) fn zone(address: SocketAddr) -> Option<u32> {
    match address {
        SocketAddr::V6(address) if address.ip().is_unicast_link_local() => {
            Some(address.scope_id()).filter(|&index| index != 0)
        }
        _ => None,
    }
}

/// The same address with this zone, where it is a link-local one.
pub(crate) fn with_zone(mut address: SocketAddr, index: u32) -> SocketAddr {
    if let SocketAddr::V6(address) = &mut address
        && address.ip().is_unicast_link_local()
    {
        address.set_scope_id(index);
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(index: u32, vrf: u32, name: &str) -> Device {
        Device { index, vrf, domain: vrf, name: DeviceName::new(name.as_bytes()).unwrap() }
    }

    #[test]
    fn an_address_is_written_with_its_interface() {
        let v0 = device(2, 0, "v0");
        for (address, on, text) in [
            ("0.0.0.0:3000", Some(v0), "0.0.0.0%v0:3000"),
            ("[::]:3000", Some(v0), "[::%v0]:3000"),
            ("[fe80::5%2]:3000", Some(v0), "[fe80::5%v0]:3000"),
            ("[fe80::5%2]:3000", None, "[fe80::5%2]:3000"),
            ("127.0.0.1:3000", None, "127.0.0.1:3000"),
        ] {
            assert_eq!(OnDevice(address.parse().unwrap(), on).to_string(), text);
        }
    }

    #[test]
    fn a_name_of_any_bytes_is_one_word() {
        assert_eq!(DeviceName::new(b"v0\x1b[31m\xff\xe3").unwrap().to_string(), r"v0\x1b[31m\xff\xe3");
        assert_eq!(Device::nameless(u32::MAX).to_string(), "4294967295");
        for wrong in [&b"sixteen-bytes-at"[..], b"a\0b"] {
            assert_eq!(DeviceName::new(wrong), None);
        }
    }

    #[test]
    fn who_is_bound_to_an_interface_hears_that_one_alone() {
        let (v0, v1) = (device(2, 0, "v0"), device(3, 0, "v1"));
        for (bound, via, heard) in [
            (None, None, true),
            (None, Some(v0), true),
            (Some(v0), Some(v0), true),
            (Some(v0), Some(v1), false),
            (Some(v0), None, false),
        ] {
            assert_eq!(hears(bound, via), heard, "{bound:?} {via:?}");
        }
    }

    #[test]
    fn what_comes_by_a_vrf_is_heard_by_it_and_by_who_is_bound_to_its_part() {
        let (red, part) = (device(9, 9, "red"), device(2, 9, "v0"));
        assert!(hears(Some(red), Some(part)) && hears(Some(part), Some(part)));
        assert!(!hears(None, Some(part)) && !hears(Some(part), Some(red)));
        let joined = Device { domain: 0, ..part };
        assert!(hears(None, Some(joined)), "net.ipv4.tcp_l3mdev_accept");
    }
}
