//! Why an address cannot be used on this host: what its interfaces and its routing table say.

use std::net::{IpAddr, SocketAddr};

use nix::errno::Errno;
use nix::ifaddrs::{self, getifaddrs};

use super::Reason;
use crate::kernel::device;
use crate::kernel::ipv6::{AddressState, InterfaceAddress, interface_addresses, switched_off};
use crate::kernel::route::route;
use crate::net::{Device, DeviceName};

/// What `EADDRNOTAVAIL` from bind(2) means of `local` for a socket that is bound to `on`, or to no interface.
pub(super) fn not_bound(local: SocketAddr, on: Option<Device>) -> Reason {
    let IpAddr::V6(ip) = local.ip() else { return Reason::NotLocal };
    if ip.to_ipv4_mapped().is_some() {
        return Reason::NotLocal;
    }
    // A link-local address and ::1 are those of one interface; any other is the host's (`ipv6_chk_addr`).
    let wanted = on.filter(|_| ip.is_unicast_link_local() || ip.is_loopback());
    let is_wanted = |found: &InterfaceAddress| wanted.is_none_or(|wanted| wanted.index == found.index);
    let (here, others): (Vec<InterfaceAddress>, Vec<InterfaceAddress>) =
        interface_addresses().into_iter().filter(|found| found.ip == ip).partition(is_wanted);
    if let Some(reason) = here.iter().find_map(not_ready) {
        return reason;
    }
    match (wanted, others.first()) {
        (Some(wanted), Some(other)) => Reason::OtherDevice { asked: wanted.name, has: other.device },
        _ => switched_off(ip, wanted).map_or(Reason::NotLocal, Reason::Ipv6Off),
    }
}

fn not_ready(address: &InterfaceAddress) -> Option<Reason> {
    match address.state {
        AddressState::Ready => None,
        AddressState::Duplicate => Some(Reason::Duplicate(address.device)),
        AddressState::Tentative => match device::numbered(address.index) {
            // That it is switched off is remarked.
            Some(link) if !link.is_up => None,
            Some(link) if !link.has_carrier => Some(Reason::NoCarrier(address.device)),
            _ => Some(Reason::Tentative),
        },
    }
}

/// What the errno means that the routing table answers for a connection from `bound`, or from any address, to `target`.
pub(super) fn not_routed(
    errno: Errno,
    target: SocketAddr,
    bound: Option<IpAddr>,
    via: Option<Device>,
) -> Reason {
    let is_loopback = |ip: IpAddr| ip.is_loopback();
    if bound.is_some_and(is_loopback) && (errno == Errno::EINVAL || !target.ip().is_loopback()) {
        return Reason::FromLoopback;
    }
    match errno {
        Errno::EINVAL if bound.is_some() && route(target, None, via).is_ok() => Reason::ForeignSource,
        Errno::EINVAL => Reason::Blackhole,
        Errno::EACCES => Reason::Prohibited,
        Errno::EHOSTUNREACH => Reason::Unreachable,
        Errno::ENODEV => Reason::NoDevice,
        _ => Reason::NoRoute,
    }
}

/// The interface that is switched off though `ip` takes it: the one to be used, the one that has the address, or lo, by
/// which all of this host's addresses are reached.
pub(super) fn down(ip: IpAddr, on: Option<Device>) -> Option<DeviceName> {
    let owner = getifaddrs().into_iter().flatten().find(|found| has(found, ip));
    let is_own = ip.to_canonical().is_loopback() || owner.is_some();
    let lo = is_own.then(|| device::named("lo")).flatten();
    let owner = owner.and_then(|owner| device::named(&owner.interface_name));
    let asked = on.and_then(|on| device::numbered(on.index));
    let down = [asked, owner, lo].into_iter().flatten().find(|link| !link.is_up)?;
    Some(down.device.name)
}

fn has(interface: &ifaddrs::InterfaceAddress, ip: IpAddr) -> bool {
    let Some(address) = interface.address else { return false };
    match ip.to_canonical() {
        IpAddr::V4(ip) => address.as_sockaddr_in().is_some_and(|found| found.ip() == ip),
        IpAddr::V6(ip) => address.as_sockaddr_in6().is_some_and(|found| found.ip() == ip),
    }
}
