//! The IPv6 addresses of this network's interfaces, and where IPv6 is switched off.

use std::fs;
use std::net::Ipv6Addr;

use super::sysctl::setting;
use crate::net::{Device, DeviceName};

/// An address of an interface, as /proc/net/if_inet6 has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InterfaceAddress {
    pub(crate) ip: Ipv6Addr,
    /// The number of the interface.
    pub(crate) index: u32,
    /// Its name.
    pub(crate) device: DeviceName,
    /// How many bits of the address its network has.
    pub(crate) prefix: u8,
    /// What it still lacks.
    pub(crate) state: AddressState,
}

/// Whether an address may be used: RFC 4862 §5.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddressState {
    /// It may.
    Ready,
    /// Duplicate address detection is still to end.
    Tentative,
    /// It has found that another host has the address; the kernel never tries again by itself.
    Duplicate,
}

/// All of them, in the order of the interfaces; none where this kernel has no IPv6.
pub(crate) fn interface_addresses() -> Vec<InterfaceAddress> {
    let table = fs::read("/proc/net/if_inet6").unwrap_or_default();
    let mut found: Vec<InterfaceAddress> = table.split(|&byte| byte == b'\n').filter_map(parse).collect();
    found.sort_by_key(|address| address.index);
    found
}

/// Reads a line: address, number of the interface, bits of the network, scope, flags, name.
fn parse(line: &[u8]) -> Option<InterfaceAddress> {
    const TENTATIVE: u8 = 0x40;
    const FAILED: u8 = 0x08;
    let mut columns = line.split(u8::is_ascii_whitespace).filter(|column| !column.is_empty());
    let mut hexadecimal = || u128::from_str_radix(str::from_utf8(columns.next()?).ok()?, 16).ok();
    let (ip, index, prefix, _scope, flags) =
        (hexadecimal()?, hexadecimal()?, hexadecimal()?, hexadecimal()?, hexadecimal()? as u8);
    let state = match flags {
        flags if flags & FAILED != 0 => AddressState::Duplicate,
        flags if flags & TENTATIVE != 0 => AddressState::Tentative,
        _ => AddressState::Ready,
    };
    Some(InterfaceAddress {
        ip: Ipv6Addr::from(ip),
        index: index.try_into().ok()?,
        device: DeviceName::new(columns.next()?)?,
        prefix: prefix.try_into().ok()?,
        state,
    })
}

/// The setting that switches IPv6 off where `ip` could be an address, if one does.
///
/// For loopback that is lo, for an address with a zone its interface, and for any other all interfaces that there are.
/// `net.ipv6.conf.all.disable_ipv6` is written to all of them when it is set, and each may be set again.
pub(crate) fn switched_off(ip: Ipv6Addr, zone: Option<Device>) -> Option<String> {
    // sysctl(8) writes a dot within a name as a slash.
    let key = |interface: &str| format!("net.ipv6.conf.{}.disable_ipv6", interface.replace('.', "/"));
    let is_off = |interface: &str| setting(&key(interface)).is_some_and(|value| value != "0");
    let name = zone.map(|zone| zone.to_string()).or(ip.is_loopback().then(|| "lo".to_owned()));
    let off = match &name {
        Some(name) => is_off(name),
        None => interfaces().is_some_and(|all| all.iter().all(|interface| is_off(interface))),
    };
    let named = name.filter(|_| !is_off("all")).unwrap_or_else(|| "all".to_owned());
    off.then(|| key(&named))
}

/// The interfaces that have settings of IPv6.
fn interfaces() -> Option<Vec<String>> {
    let entries = fs::read_dir("/proc/sys/net/ipv6/conf").ok()?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Some(names.filter(|name| !["all", "default"].contains(&name.as_str())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_address_lacks_is_read_from_its_flags() {
        for (flags, state) in
            [("80", AddressState::Ready), ("40", AddressState::Tentative), ("c8", AddressState::Duplicate)]
        {
            let line = format!("fd000000000000000000000000000001 02 40 00 {flags}       v0");
            let found = parse(line.as_bytes()).unwrap();
            assert_eq!((found.ip, found.index), ("fd00::1".parse().unwrap(), 2));
            assert_eq!((found.device.to_string().as_str(), found.prefix), ("v0", 64));
            assert_eq!(found.state, state);
        }
    }

    #[test]
    fn a_line_cut_anywhere_is_no_address() {
        let whole = b"fd000000000000000000000000000001 02 40 00 80 v0";
        for length in 0..whole.len() - 2 {
            assert_eq!(parse(&whole[..length]), None, "{length}");
        }
    }
}
