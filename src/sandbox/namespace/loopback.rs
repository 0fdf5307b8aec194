//! Brings lo up, which a new network namespace has down so that connect(2) gives ENETUNREACH, and gives it addresses.

use std::net::IpAddr;

use netlink_sys::protocols::NETLINK_ROUTE;
use nix::libc::{
    AF_INET, AF_INET6, AF_UNSPEC, IFA_ADDRESS, IFA_F_NODAD, IFA_LOCAL, IFF_UP, NLM_F_ACK, NLM_F_CREATE,
    NLM_F_REPLACE, RTM_NEWADDR, RTM_NEWLINK,
};

use super::refusal;
use crate::error::{Error, Result};
use crate::kernel::netlink;

/// The first interface of every network namespace.
const LO: i32 = 1;

/// Sets IFF_UP on lo, through rtnetlink(7).
///
/// # Errors
///
/// `EPERM` where the namespace's CAP_NET_ADMIN is withheld.
pub(super) fn bring_up() -> Result<()> {
    let up = IFF_UP as u32;
    // `struct ifinfomsg`: family, padding, type; index; flags, and which of them to change.
    let link = [&[AF_UNSPEC as u8, 0, 0, 0][..], &LO.to_ne_bytes(), &up.to_ne_bytes(), &up.to_ne_bytes()];
    request(RTM_NEWLINK, 0, &link.concat(), "lo up")
}

/// Gives lo an address, which all of this network can use then, through rtnetlink(7).
///
/// # Errors
///
/// `EPERM` without CAP_NET_ADMIN; `EADDRNOTAVAIL` or `EINVAL` for what no interface can have.
pub(crate) fn add_address(ip: IpAddr) -> Result<()> {
    let (family, octets) = match ip {
        IpAddr::V4(ip) => (AF_INET, ip.octets().to_vec()),
        IpAddr::V6(ip) => (AF_INET6, ip.octets().to_vec()),
    };
    // `struct ifaddrmsg`: family, prefix length, flags, scope; index. Nobody on lo has a duplicate.
    let mut message = vec![family as u8, (octets.len() * 8) as u8, IFA_F_NODAD as u8, 0];
    message.extend(LO.to_ne_bytes());
    for attribute in [IFA_LOCAL, IFA_ADDRESS] {
        message.extend((4 + octets.len() as u16).to_ne_bytes());
        message.extend(attribute.to_ne_bytes());
        message.extend(&octets);
    }
    request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &message, &format!("{ip} on lo"))
}

/// Makes a request of rtnetlink(7) and waits for its acknowledgement.
fn request(kind: u16, flags: i32, payload: &[u8], what: &str) -> Result<()> {
    let failed = |source: std::io::Error| refusal::explained(Error::new("netlink", what, source));
    netlink::ask(NETLINK_ROUTE, kind, (NLM_F_ACK | flags) as u16, payload).map(drop).map_err(failed)
}
