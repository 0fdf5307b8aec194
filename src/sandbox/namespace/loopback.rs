//! Brings lo up, which a new network namespace has down so that connect(2) gives ENETUNREACH, and gives it addresses.

use std::net::IpAddr;

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::libc::{
    AF_INET, AF_INET6, AF_UNSPEC, IFA_ADDRESS, IFA_F_NODAD, IFA_LOCAL, IFF_UP, NLM_F_ACK, NLM_F_CREATE,
    NLM_F_REPLACE, NLM_F_REQUEST, NLMSG_ERROR, RTM_NEWADDR, RTM_NEWLINK,
};

use super::refusal;
use crate::error::{Error, Result};

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
pub fn add_address(ip: IpAddr) -> Result<()> {
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
    let socket = Socket::new(NETLINK_ROUTE).map_err(failed)?;
    socket.send_to(&message(kind, flags, payload), &SocketAddr::new(0, 0), 0).map_err(failed)?;
    let (reply, _) = socket.recv_from_full().map_err(failed)?;
    match acknowledged(&reply) {
        Some(0) => Ok(()),
        Some(negative) => Err(failed(Errno::from_raw(-negative).into())),
        None => Err(failed(std::io::Error::other("the reply is no acknowledgement"))),
    }
}

/// `struct nlmsghdr`, in the byte order of the machine, and what follows it.
fn message(kind: u16, flags: i32, payload: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    message.extend((16 + payload.len() as u32).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(((NLM_F_REQUEST | NLM_F_ACK | flags) as u16).to_ne_bytes());
    message.extend([0; 8]); // sequence number, port
    message.extend(payload);
    message
}

/// The `error` of a `struct nlmsgerr`: 0, or an errno negated.
fn acknowledged(reply: &[u8]) -> Option<i32> {
    let kind = u16::from_ne_bytes(reply.get(4..6)?.try_into().ok()?);
    let error = i32::from_ne_bytes(reply.get(16..20)?.try_into().ok()?);
    (i32::from(kind) == NLMSG_ERROR).then_some(error)
}
