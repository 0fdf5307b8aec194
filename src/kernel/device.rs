//! The network interfaces: by name and by number, rtnetlink(7).

use std::net::SocketAddr;

use netlink_sys::protocols::NETLINK_ROUTE;
use nix::libc::{
    AF_UNSPEC, IFF_LOWER_UP, IFF_UP, IFLA_IFNAME, IFLA_INFO_KIND, IFLA_INFO_SLAVE_KIND, IFLA_LINKINFO,
    IFLA_MASTER, RTM_GETLINK, RTM_NEWLINK,
};

use super::netlink::{self, NetlinkReply};
use super::sysctl::setting;
use crate::net::{self, Device, DeviceName};

/// `struct ifinfomsg`.
const LINK: usize = 16;
/// Where `ifi_index` and `ifi_flags` stand in it.
const INDEX: usize = 4;
const FLAGS: usize = 8;

/// An interface and what it is like now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkState {
    pub(crate) device: Device,
    /// Whether it is switched on: IFF_UP.
    pub(crate) is_up: bool,
    /// Whether there is a signal, or somebody at the other end: IFF_LOWER_UP.
    pub(crate) has_carrier: bool,
}

/// The interface of this name in this network.
pub(crate) fn named(name: &str) -> Option<LinkState> {
    let name = DeviceName::new(name.as_bytes()).filter(|name| !name.as_bytes().is_empty())?;
    let mut request = request(0);
    netlink::attribute(&mut request, IFLA_IFNAME, &[name.as_bytes(), &[0]].concat());
    ask(&request)
}

/// The interface of this number in this network.
pub(crate) fn numbered(index: u32) -> Option<LinkState> {
    ask(&request(index))
}

/// The interface of this number; of one that is no more, the number alone.
pub(crate) fn device(index: u32) -> Device {
    numbered(index).map_or_else(|| Device::nameless(index), |link| link.device)
}

/// The interface that the zone of a link-local address names.
pub(crate) fn of_zone(address: SocketAddr) -> Option<Device> {
    net::zone(address).map(device)
}

fn ask(request: &[u8]) -> Option<LinkState> {
    let link = read(&netlink::ask(NETLINK_ROUTE, RTM_GETLINK, 0, request).ok()?)?;
    let joined = || !["", "0"].contains(&setting("net.ipv4.tcp_l3mdev_accept").unwrap_or_default().as_str());
    let vrf = link.device.vrf;
    let domain = if vrf == 0 || joined() { 0 } else { vrf };
    Some(LinkState { device: Device { domain, ..link.device }, ..link })
}

/// `struct ifinfomsg`, about this number or about none.
fn request(index: u32) -> Vec<u8> {
    let mut message = vec![AF_UNSPEC as u8, 0, 0, 0];
    message.extend(index.to_ne_bytes());
    message.resize(LINK, 0);
    message
}

/// Reads an interface, whose ports are taken for those of all.
fn read(NetlinkReply { kind, payload }: &NetlinkReply) -> Option<LinkState> {
    if *kind != RTM_NEWLINK {
        return None;
    }
    let number = |at: usize| payload.get(at..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes));
    let (index, flags) = (number(INDEX)?, number(FLAGS)?);
    let attribute = |wanted: u16| find(payload.get(LINK..).unwrap_or_default(), wanted);
    let name = DeviceName::new(text(attribute(IFLA_IFNAME)?))?;
    let details = attribute(IFLA_LINKINFO).unwrap_or_default();
    let is_vrf = |kind| find(details, kind).is_some_and(|kind| text(kind) == b"vrf");
    let master = attribute(IFLA_MASTER).and_then(|value| value.first_chunk()).map(|m| u32::from_ne_bytes(*m));
    let vrf = match master {
        _ if is_vrf(IFLA_INFO_KIND) => index,
        Some(master) if is_vrf(IFLA_INFO_SLAVE_KIND) => master,
        _ => 0,
    };
    let is = |flag: i32| flags & flag as u32 != 0;
    let device = Device { index, vrf, domain: 0, name };
    Some(LinkState { device, is_up: is(IFF_UP), has_carrier: is(IFF_LOWER_UP) })
}

fn find(attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    netlink::attributes(attributes).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

/// Up to the NUL that ends it.
fn text(value: &[u8]) -> &[u8] {
    value.split(|&byte| byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel says of `v0`, number 2: of this kind, and a part of interface 9 of that kind.
    fn reply(kind: &[u8], part_of: &[u8]) -> NetlinkReply {
        let mut payload = request(2);
        payload[FLAGS..FLAGS + 4].copy_from_slice(&(IFF_UP as u32).to_ne_bytes());
        netlink::attribute(&mut payload, IFLA_IFNAME, b"v0\0");
        netlink::attribute(&mut payload, IFLA_MASTER, &9_u32.to_ne_bytes());
        let mut details = Vec::new();
        netlink::attribute(&mut details, IFLA_INFO_KIND, kind);
        netlink::attribute(&mut details, IFLA_INFO_SLAVE_KIND, part_of);
        netlink::attribute(&mut payload, IFLA_LINKINFO, &details);
        NetlinkReply { kind: RTM_NEWLINK, payload }
    }

    #[test]
    fn an_interface_is_found_by_its_name_and_its_number() {
        let lo = named("lo").unwrap();
        assert_eq!(numbered(lo.device.index), Some(lo));
        assert_eq!((lo.device.to_string().as_str(), lo.device.vrf), ("lo", 0));
        assert_eq!(named("no-such"), None);
        assert_eq!(named(""), None);
        assert_eq!(device(u32::MAX / 2).to_string(), "2147483647");
    }

    #[test]
    fn the_vrf_of_an_interface_is_read_and_a_bridge_is_none() {
        for (kind, part_of, vrf) in
            [(&b"veth\0"[..], &b"bridge\0"[..], 0), (b"veth\0", b"vrf\0", 9), (b"vrf\0", b"", 2)]
        {
            let link = read(&reply(kind, part_of)).unwrap();
            assert_eq!((link.device.index, link.device.vrf), (2, vrf));
            assert!(link.is_up && !link.has_carrier);
        }
    }

    #[test]
    fn a_reply_cut_anywhere_is_no_panic() {
        let NetlinkReply { kind, payload } = reply(b"vrf\0", b"vrf\0");
        for length in 0..payload.len() {
            let _ = read(&NetlinkReply { kind, payload: payload[..length].to_vec() });
        }
    }
}
