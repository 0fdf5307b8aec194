//! The interfaces of a new network namespace: lo, which it has down so that connect(2) gives ENETUNREACH, and others.

use std::io;
use std::net::IpAddr;

use netlink_sys::protocols::NETLINK_ROUTE;
use nix::errno::Errno;
use nix::libc::{
    AF_INET, AF_INET6, AF_UNSPEC, IFA_ADDRESS, IFA_F_NODAD, IFA_LOCAL, IFF_UP, IFLA_IFNAME, IFLA_INFO_KIND,
    IFLA_LINKINFO, NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, RTM_NEWADDR, RTM_NEWLINK,
};

use super::refusal;
use crate::error::{Error, Result};
use crate::kernel::netlink::{self, attribute};
use crate::net::Device;

/// The first interface of every network namespace.
const LO: u32 = 1;
/// What an interface can be that nobody is at the other end of; a kernel may lack one or the other.
const KINDS: [&str; 3] = ["dummy", "ifb", "bridge"];

/// Sets IFF_UP on lo, through rtnetlink(7).
///
/// # Errors
///
/// `EPERM` where the namespace's CAP_NET_ADMIN is withheld.
pub(super) fn bring_up() -> Result<()> {
    request(RTM_NEWLINK, 0, &up(LO)).map_err(|error| failed("lo up", error))
}

/// Makes an interface of this number and this name, which is up and leads nowhere, through rtnetlink(7).
///
/// # Errors
///
/// `EPERM` without CAP_NET_ADMIN; `EEXIST` and `EBUSY` where there is one with this name or number; `EOPNOTSUPP` where
/// this kernel has none that leads nowhere.
pub(crate) fn add_device(device: &Device) -> Result<()> {
    let made = |kind: &str| {
        let mut message = up(device.index);
        attribute(&mut message, IFLA_IFNAME, &[device.name.as_bytes(), &[0]].concat());
        let mut details = Vec::new();
        attribute(&mut details, IFLA_INFO_KIND, kind.as_bytes());
        attribute(&mut message, IFLA_LINKINFO, &details);
        request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &message)
    };
    let is_unknown = |error: &io::Error| error.raw_os_error() == Some(Errno::EOPNOTSUPP as i32);
    let mut outcome = Err(Errno::EOPNOTSUPP.into());
    for kind in KINDS {
        if outcome.as_ref().is_err_and(is_unknown) {
            outcome = made(kind);
        }
    }
    outcome.map_err(|error| failed(&format!("interface {device}"), error))
}

/// `struct ifinfomsg`: family, padding, type; index; flags, and which of them to change.
fn up(index: u32) -> Vec<u8> {
    let up = (IFF_UP as u32).to_ne_bytes();
    [&[AF_UNSPEC as u8, 0, 0, 0][..], &index.to_ne_bytes(), &up, &up].concat()
}

/// Gives an interface, lo unless one is named, an address, which all of this network can use then, through rtnetlink(7).
///
/// # Errors
///
/// `EPERM` without CAP_NET_ADMIN; `EADDRNOTAVAIL` or `EINVAL` for what no interface can have.
pub(crate) fn add_address(ip: IpAddr, device: Option<&Device>) -> Result<()> {
    let (family, octets) = match ip {
        IpAddr::V4(ip) => (AF_INET, ip.octets().to_vec()),
        IpAddr::V6(ip) => (AF_INET6, ip.octets().to_vec()),
    };
    // `struct ifaddrmsg`: family, prefix length, flags, scope; index. Nobody here has a duplicate.
    let mut message = vec![family as u8, (octets.len() * 8) as u8, IFA_F_NODAD as u8, 0];
    message.extend(device.map_or(LO, |device| device.index).to_ne_bytes());
    attribute(&mut message, IFA_LOCAL, &octets);
    attribute(&mut message, IFA_ADDRESS, &octets);
    request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &message)
        .map_err(|error| failed(&format!("address {ip}"), error))
}

/// Makes a request of rtnetlink(7) and waits for its acknowledgement.
fn request(kind: u16, flags: i32, payload: &[u8]) -> io::Result<()> {
    netlink::ask(NETLINK_ROUTE, kind, (NLM_F_ACK | flags) as u16, payload).map(drop)
}

fn failed(what: &str, source: io::Error) -> Error {
    refusal::explained(Error::new("netlink", what, source))
}
