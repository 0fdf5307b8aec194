//! The rules by which Linux lets two TCP sockets have one address, `inet_csk_bind_conflict` in the kernel's words.
//!
//! bind(2) checks them against every socket of the port, listen(2) once more.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Serialize};
use socket2::Socket;

use super::Device;

/// The options that decide whether an address is shared; `None` where it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sharing {
    /// SO_REUSEADDR.
    pub reuse_address: Option<bool>,
    /// SO_REUSEPORT.
    pub reuse_port: Option<bool>,
    /// IPV6_V6ONLY, of an IPv6 socket.
    pub v6_only: Option<bool>,
}

impl Sharing {
    /// What getsockopt(2) says of `socket`.
    pub fn of(socket: &Socket) -> Self {
        Self {
            reuse_address: socket.reuse_address().ok(),
            reuse_port: socket.reuse_port().ok(),
            v6_only: socket.only_v6().ok(),
        }
    }
}

/// What the socket asks for whose call is in question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Newcomer {
    /// The address it binds.
    pub ip: IpAddr,
    /// The interface that it is bound to, if it is to one.
    pub device: Option<Device>,
    /// SO_REUSEADDR.
    pub reuse_address: bool,
    /// SO_REUSEPORT.
    pub reuse_port: bool,
    /// IPV6_V6ONLY; of an IPv4 socket it says nothing.
    pub v6_only: bool,
    /// The effective user.
    pub uid: u32,
}

/// What a socket holds that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// Its own address.
    pub ip: IpAddr,
    /// The interface that it is bound to, if it is to one.
    pub device: Option<Device>,
    /// Its options, as far as they are known.
    pub sharing: Sharing,
    /// The user who made it.
    pub uid: u32,
    /// What counts of its state.
    pub stage: Stage,
}

/// What the rules know of a socket's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stage {
    /// LISTEN.
    Listening,
    /// TIME-WAIT, or FIN-WAIT-2 that no process has: the kernel keeps the least of it.
    Waiting,
    /// Any other.
    Open,
}

/// That two sockets cannot both have the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Why their addresses are one.
    pub overlap: Overlap,
    /// Why they do not share it.
    pub refusal: Refusal,
    /// Whether it takes IPV6_V6ONLY to be off on the old socket, of which it is not known.
    pub is_by_guess: bool,
}

impl Conflict {
    /// Whether all is known that it takes to say so.
    pub fn is_certain(&self) -> bool {
        !self.is_by_guess && self.refusal != Refusal::Unknown
    }
}

/// Why two addresses with one port are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// They are the same.
    Same,
    /// The old socket has the wildcard address.
    OldIsWildcard,
    /// The new one asks for it.
    NewIsWildcard,
    /// The old socket is on `::` without IPV6_V6ONLY and so has all IPv4 addresses.
    OldIsDualStack,
    /// The new one asks for that.
    NewIsDualStack,
    /// An IPv6 connection without IPV6_V6ONLY, and the IPv4 wildcard.
    ///
    /// The kernel gives such a socket an IPv4 address that stands for none (`LOOPBACK4_IPV6`), and the wildcard has
    /// that too.
    Connection,
}

/// Why an address is not shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The new socket has neither option.
    NewHasNeither,
    /// The new one has SO_REUSEADDR alone, the old one listens.
    Listens,
    /// The new one has SO_REUSEADDR alone, the old one not.
    OldLacksReuseAddress,
    /// The new one has SO_REUSEPORT, the old one not.
    OldLacksReusePort,
    /// The new one has both, the old one neither.
    OldLacksBoth,
    /// Both have SO_REUSEPORT, and this other user has the old one.
    OtherUser(u32),
    /// It is not known what the old socket has: it may be shared.
    Unknown,
}

/// Whether `old` keeps `new` from binding, or from listening where it is bound already, and by which rule.
///
/// The ports are the same.
pub fn conflict(new: &Newcomer, old: &Claim) -> Option<Conflict> {
    if !meet(new.device, old.device) {
        return None;
    }
    let overlap = overlap(new.ip, new.v6_only, old.ip, old.sharing.v6_only)?;
    let refusal = refusal(new, old)?;
    let is_by_guess = overlap == Overlap::Connection && old.sharing.v6_only.is_none();
    Some(Conflict { overlap, refusal, is_by_guess })
}

/// Whether two sockets on these interfaces may be in each other's way: unless they are bound to different ones, or have
/// the ports of different VRFs (`inet_bind_conflict`, `inet_bind_bucket_match`).
pub(crate) fn meet(one: Option<Device>, other: Option<Device>) -> bool {
    let differ = matches!((one, other), (Some(one), Some(other)) if one.index != other.index);
    in_one_domain(one, other) && !differ
}

/// Whether the ports of these interfaces are the same ports: those of a VRF are its own.
pub(crate) fn in_one_domain(one: Option<Device>, other: Option<Device>) -> bool {
    let domain = |device: Option<Device>| device.map_or(0, |device| device.domain);
    domain(one) == domain(other)
}

/// Why the addresses of the two are one, if they are; IPV6_V6ONLY counts of an IPv6 socket alone.
pub(crate) fn overlap(
    new: IpAddr,
    new_v6_only: bool,
    old: IpAddr,
    old_v6_only: Option<bool>,
) -> Option<Overlap> {
    let (asked, held) = (new.to_canonical(), old.to_canonical());
    match (asked, held) {
        (asked, held) if asked == held => Some(Overlap::Same),
        (IpAddr::V4(_), IpAddr::V4(held)) if held.is_unspecified() => Some(Overlap::OldIsWildcard),
        (IpAddr::V6(_), IpAddr::V6(held)) if held.is_unspecified() => Some(Overlap::OldIsWildcard),
        (IpAddr::V4(asked), IpAddr::V4(_)) if asked.is_unspecified() => Some(Overlap::NewIsWildcard),
        (IpAddr::V6(asked), IpAddr::V6(_)) if asked.is_unspecified() => Some(Overlap::NewIsWildcard),
        (IpAddr::V4(_), IpAddr::V6(held)) if held.is_unspecified() && old_v6_only != Some(true) => {
            Some(Overlap::OldIsDualStack)
        }
        (IpAddr::V6(asked), IpAddr::V4(_)) if asked.is_unspecified() && !new_v6_only => {
            Some(Overlap::NewIsDualStack)
        }
        // bind(2) sets IPV6_V6ONLY with an address of IPv6 alone: this one has its address from connect(2) or accept(2).
        (IpAddr::V4(asked), IpAddr::V6(_))
            if new.is_ipv4() && asked.is_unspecified() && old_v6_only != Some(true) =>
        {
            Some(Overlap::Connection)
        }
        _ => None,
    }
}

fn refusal(new: &Newcomer, old: &Claim) -> Option<Refusal> {
    let Sharing { reuse_address, reuse_port, .. } = old.sharing;
    let listens = old.stage == Stage::Listening;
    let same_user = old.stage == Stage::Waiting || new.uid == old.uid;
    let by_address = if new.reuse_address && !listens { reuse_address } else { Some(false) };
    let by_port = if new.reuse_port && same_user { reuse_port } else { Some(false) };
    match (by_address, by_port) {
        (Some(true), _) | (_, Some(true)) => return None,
        (None, _) | (_, None) => return Some(Refusal::Unknown),
        (Some(false), Some(false)) => {}
    }
    Some(match (new.reuse_address, new.reuse_port) {
        (false, false) => Refusal::NewHasNeither,
        (_, true) if reuse_port != Some(false) => Refusal::OtherUser(old.uid),
        (true, true) if !listens => Refusal::OldLacksBoth,
        (_, true) => Refusal::OldLacksReusePort,
        (true, false) if listens => Refusal::Listens,
        (true, false) => Refusal::OldLacksReuseAddress,
    })
}

/// Whether a socket bound to `bound`, an IPv4 or an IPv6 address, is reached at `ip`.
pub fn reaches(ip: IpAddr, bound: IpAddr, v6_only: Option<bool>) -> bool {
    match (ip.to_canonical(), bound.to_canonical()) {
        (ip, bound) if ip == bound => true,
        (IpAddr::V4(_), IpAddr::V4(bound)) => bound.is_unspecified(),
        (IpAddr::V4(_), IpAddr::V6(bound)) => bound == Ipv6Addr::UNSPECIFIED && v6_only != Some(true),
        (IpAddr::V6(_), IpAddr::V6(bound)) => bound.is_unspecified(),
        (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Same => "the same address",
            Self::OldIsWildcard | Self::NewIsWildcard => {
                "the wildcard address covers every address of this host"
            }
            Self::OldIsDualStack | Self::NewIsDualStack => "[::] without IPV6_V6ONLY also covers IPv4",
            Self::Connection => "an IPv6 connection without IPV6_V6ONLY counts as IPv4 against 0.0.0.0",
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NewHasNeither => "shared only where both sockets ask for it, and the new one does not",
            Self::Listens => {
                "SO_REUSEADDR does not share with a socket that listens; SO_REUSEPORT on both does"
            }
            Self::OldLacksReuseAddress => "the old socket lacks SO_REUSEADDR: both need it",
            Self::OldLacksReusePort => "the old socket lacks SO_REUSEPORT: both need it",
            Self::OldLacksBoth => {
                "the old socket has neither SO_REUSEADDR nor SO_REUSEPORT: both need one of them"
            }
            Self::OtherUser(uid) => {
                return write!(
                    f,
                    "SO_REUSEPORT shares among sockets of one user, and uid {uid} has this one"
                );
            }
            Self::Unknown => "its options are not known, so it may be in the way",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTENING: Stage = Stage::Listening;
    const OPEN: Stage = Stage::Open;
    const WAITING: Stage = Stage::Waiting;

    /// A socket of uid 1000 without any option.
    fn newcomer(ip: IpAddr, device: Option<Device>) -> Newcomer {
        Newcomer { ip, device, reuse_address: false, reuse_port: false, v6_only: false, uid: 1000 }
    }

    /// What the rules say of two sockets with SO_REUSEADDR and SO_REUSEPORT as given, both on one address.
    fn refusal(new: (bool, bool), old: (bool, bool), stage: Stage, uid: u32) -> Option<Refusal> {
        let ip = [127, 0, 0, 1].into();
        let new = Newcomer { reuse_address: new.0, reuse_port: new.1, ..newcomer(ip, None) };
        let sharing = Sharing { reuse_address: Some(old.0), reuse_port: Some(old.1), v6_only: None };
        conflict(&new, &Claim { ip, device: None, sharing, uid, stage }).map(|conflict| conflict.refusal)
    }

    #[test]
    fn each_refusal_is_told_by_what_is_lacking() {
        let (neither, address, port, both) = ((false, false), (true, false), (false, true), (true, true));
        for (new, old, stage, uid, expected) in [
            (neither, both, OPEN, 1000, Some(Refusal::NewHasNeither)),
            (address, address, OPEN, 0, None),
            (address, both, LISTENING, 1000, Some(Refusal::Listens)),
            (address, port, OPEN, 1000, Some(Refusal::OldLacksReuseAddress)),
            (port, address, OPEN, 1000, Some(Refusal::OldLacksReusePort)),
            (port, port, LISTENING, 1000, None),
            (port, port, LISTENING, 0, Some(Refusal::OtherUser(0))),
            (port, port, WAITING, 0, None),
            (both, neither, OPEN, 1000, Some(Refusal::OldLacksBoth)),
            (both, address, LISTENING, 1000, Some(Refusal::OldLacksReusePort)),
        ] {
            assert_eq!(refusal(new, old, stage, uid), expected, "{new:?} {old:?} {stage:?} {uid}");
        }
    }

    #[test]
    fn an_option_that_is_not_known_leaves_it_open() {
        let ip = [127, 0, 0, 1].into();
        let new = Newcomer { reuse_address: true, ..newcomer(ip, None) };
        let claim = |stage| Claim { ip, device: None, sharing: Sharing::default(), uid: 0, stage };
        let found = conflict(&new, &claim(OPEN)).unwrap();
        assert_eq!((found.refusal, found.is_certain()), (Refusal::Unknown, false));
        // Whatever it has, SO_REUSEADDR does not share with a listener.
        assert!(conflict(&new, &claim(LISTENING)).unwrap().is_certain());
    }

    #[test]
    fn sockets_on_different_interfaces_and_in_different_vrfs_never_meet() {
        let on = |index, domain| Some(Device { vrf: domain, domain, ..Device::nameless(index) });
        for (new, old, meets) in [
            (None, None, true),
            (on(2, 0), None, true),
            (None, on(2, 0), true),
            (on(2, 0), on(2, 0), true),
            (on(2, 0), on(3, 0), false),
            (on(2, 9), None, false),
            (None, on(9, 9), false),
            (on(2, 9), on(9, 9), false),
            (on(9, 9), on(9, 9), true),
        ] {
            let ip = [127, 0, 0, 1].into();
            let claim =
                Claim { ip, device: old, sharing: Sharing::default(), uid: 1000, stage: Stage::Listening };
            assert_eq!(conflict(&newcomer(ip, new), &claim).is_some(), meets, "{new:?} {old:?}");
        }
    }

    #[test]
    fn a_connection_reaches_the_address_and_its_wildcards() {
        for (ip, bound, v6_only, expected) in [
            ("127.0.0.1", "127.0.0.1", None, true),
            ("127.0.0.1", "0.0.0.0", None, true),
            ("127.0.0.1", "127.0.0.2", None, false),
            ("127.0.0.1", "::", Some(false), true),
            ("127.0.0.1", "::", Some(true), false),
            ("127.0.0.1", "::ffff:127.0.0.1", None, true),
            ("::1", "::", Some(true), true),
            ("::1", "0.0.0.0", None, false),
        ] {
            let reached = reaches(ip.parse().unwrap(), bound.parse().unwrap(), v6_only);
            assert_eq!(reached, expected, "{ip} {bound} {v6_only:?}");
        }
    }

    fn overlapping(new: &str, old: &str, old_v6_only: Option<bool>) -> Option<Overlap> {
        overlap(new.parse().unwrap(), false, old.parse().unwrap(), old_v6_only)
    }

    #[test]
    fn a_socket_on_the_ipv6_wildcard_has_ipv4_too_unless_it_is_known_not_to() {
        for (v6_only, expected) in [
            (None, Some(Overlap::OldIsDualStack)),
            (Some(false), Some(Overlap::OldIsDualStack)),
            (Some(true), None),
        ] {
            assert_eq!(overlapping("127.0.0.1", "::", v6_only), expected, "{v6_only:?}");
        }
    }

    #[test]
    fn an_ipv6_connection_is_in_the_way_of_the_ipv4_wildcard_of_an_ipv4_socket_alone() {
        for (new, v6_only, expected) in [
            ("0.0.0.0", None, Some(Overlap::Connection)),
            ("0.0.0.0", Some(true), None),
            ("::ffff:0.0.0.0", None, None),
        ] {
            assert_eq!(overlapping(new, "::1", v6_only), expected, "{new} {v6_only:?}");
        }
    }
}
