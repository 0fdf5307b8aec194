//! Brings lo up: a new network namespace has it down, and connect(2) then gives ENETUNREACH.

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::libc::{AF_UNSPEC, IFF_UP, NLM_F_ACK, NLM_F_REQUEST, NLMSG_ERROR, RTM_NEWLINK};

use super::refusal;
use crate::error::{Error, Result};

/// Sets IFF_UP on lo, through rtnetlink(7).
///
/// # Errors
///
/// `EPERM` where the namespace's CAP_NET_ADMIN is withheld.
pub(super) fn bring_up() -> Result<()> {
    let failed = |source: std::io::Error| refusal::explained(Error::new("netlink", "lo up", source));
    let socket = Socket::new(NETLINK_ROUTE).map_err(failed)?;
    socket.send_to(&request(), &SocketAddr::new(0, 0), 0).map_err(failed)?;
    let (reply, _) = socket.recv_from_full().map_err(failed)?;
    match acknowledged(&reply) {
        Some(0) => Ok(()),
        Some(negative) => Err(failed(Errno::from_raw(-negative).into())),
        None => Err(failed(std::io::Error::other("the reply is no acknowledgement"))),
    }
}

/// `struct nlmsghdr`, then `struct ifinfomsg`; both are in the byte order of the machine.
fn request() -> Vec<u8> {
    // The first interface of every network namespace.
    const LO: i32 = 1;
    const LENGTH: u32 = 32;
    let up = IFF_UP as u32;
    let mut message = Vec::new();
    message.extend(LENGTH.to_ne_bytes());
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend(((NLM_F_REQUEST | NLM_F_ACK) as u16).to_ne_bytes());
    message.extend([0; 8]); // sequence number, port
    message.extend([AF_UNSPEC as u8, 0, 0, 0]); // family, padding, type
    message.extend(LO.to_ne_bytes());
    message.extend(up.to_ne_bytes()); // flags
    message.extend(up.to_ne_bytes()); // which of them to change
    message
}

/// The `error` of a `struct nlmsgerr`: 0, or an errno negated.
fn acknowledged(reply: &[u8]) -> Option<i32> {
    let kind = u16::from_ne_bytes(reply.get(4..6)?.try_into().ok()?);
    let error = i32::from_ne_bytes(reply.get(16..20)?.try_into().ok()?);
    (i32::from(kind) == NLMSG_ERROR).then_some(error)
}
