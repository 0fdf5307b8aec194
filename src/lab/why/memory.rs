//! What the kernel remembers of a port, and how bind(2) is asked without changing it.
//!
//! A port's bind bucket keeps whether all who bound it had SO_REUSEADDR (`fastreuse`), and for which user and address
//! SO_REUSEPORT was let in (`fastreuseport`). Such a newcomer is then let in unchecked, for as long as anybody has the port.
//! A bind(2) that fails changes neither; one that succeeds (`inet_csk_update_fastreuse` in
//! net/ipv4/inet_connection_sock.c):
//!
//! - with neither option clears both;
//! - with SO_REUSEADDR alone clears `fastreuseport`;
//! - with SO_REUSEPORT leaves `fastreuseport` as it is where it was let in by that, else puts itself there; with
//!   SO_REUSEPORT alone it clears `fastreuse` too. Nobody misses that: it is set only where every socket of the port has
//!   SO_REUSEADDR and none listens, and then the rules let the same newcomers in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::errno::Errno;
use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};

use super::claim::is_bound;
use crate::error::Result;
use crate::kernel::holders::Holder;
use crate::kernel::inet_diag::SocketRow;
use crate::kernel::settings::Settings;
use crate::kernel::users::{self, users};
use crate::net::{Device, SocketOptions, bind, may_be_picked};
use crate::sandbox::as_user::as_user;

/// Whether the kernel lets a socket with SO_REUSEPORT in though the rules refuse it.
///
/// To be asked where the rules refuse it: it is let in by memory alone then, and that leaves no trace.
///
/// # Errors
///
/// As [`succeeds`].
pub(super) fn lets_in(local: SocketAddr, options: &SocketOptions) -> Result<bool> {
    succeeds(local, &SocketOptions { reuse_address: false, ..options.clone() })
}

/// Makes the call bind(2) and closes the socket; whether anything but another socket's address was said against it.
///
/// # Errors
///
/// What the calls before it answer: `EMFILE` and `ENFILE` from `socket`, `EINVAL` from `setsockopt`.
pub(super) fn succeeds(local: SocketAddr, options: &SocketOptions) -> Result<bool> {
    match bind(local, options) {
        Ok(_) => Ok(true),
        Err(error) if (error.call(), error.errno()) == ("bind", Some(Errno::EADDRINUSE)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What bind(2) answered a socket with one of the two options.
pub(super) struct BindReply {
    pub(super) ip: IpAddr,
    pub(super) options: SocketOptions,
    pub(super) uid: u32,
    pub(super) succeeds: bool,
}

/// At how many addresses of a port bind(2) is asked at most, for every user of the system.
const MOST: usize = 32;

/// An address and an interface: of a socket the one that it is bound to, of an address the one that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) ip: IpAddr,
    pub(super) device: Option<Device>,
}

/// What bind(2) answers on a port where the options of some sockets are not known, and the others lack SO_REUSEPORT.
///
/// SO_REUSEADDR is asked for at `places` where its success wipes out nothing: nobody is remembered for a SO_REUSEPORT
/// that the rules would refuse. For whom that cannot be excluded nothing is asked.
pub(super) fn replies(places: &[Place], holders: &[Holder], settings: &Settings) -> Vec<BindReply> {
    let Some(port) = holders.first().map(|holder| holder.row.local.port()) else { return Vec::new() };
    // The ports of a VRF have memories of their own.
    let is_in_vrf = |holder: &Holder| holder.row.device.is_some_and(|device| device.domain != 0);
    if is_left_to_connect(holders, settings) || holders.iter().any(is_in_vrf) {
        return Vec::new();
    }
    let port = Port { number: port, reached: overlapping(holders) };
    if port.reached.len() > MOST {
        return Vec::new();
    }
    let mut replies = Vec::new();
    let is_remembered = match users::are_one() {
        true => port.lets_in(geteuid().as_raw(), &mut replies),
        false => port.lets_others_in(holders, &mut replies),
    };
    if !is_remembered {
        // Let in everywhere it is refused by nobody, and need not be asked for at each address.
        match port.reply(EVERYWHERE, true, None).filter(|reply| reply.succeeds) {
            Some(reply) => replies.push(reply),
            None => replies.extend(places.iter().filter_map(|&place| port.reply(place, true, None))),
        }
    }
    replies
}

/// Where a socket without IPV6_V6ONLY meets every other one of its port.
const EVERYWHERE: Place = Place { ip: IpAddr::V6(Ipv6Addr::UNSPECIFIED), device: None };

/// A port, and the addresses that its sockets may be in the way of, the wildcard ones first.
struct Port {
    number: u16,
    reached: Vec<Place>,
}

impl Port {
    /// Asks for SO_REUSEADDR alone or for SO_REUSEPORT alone, as this user or another.
    fn reply(&self, place: Place, reuse_address: bool, user: Option<u32>) -> Option<BindReply> {
        // On `::` every socket of the port is asked about.
        let v6_only = Some(false);
        let Place { ip, device } = place;
        let reuse_port = !reuse_address;
        let options =
            SocketOptions { reuse_address, reuse_port, v6_only, device, ..SocketOptions::default() };
        let succeeds = as_user(user, || succeeds(SocketAddr::new(ip, self.number), &options)).ok()?.ok()?;
        Some(BindReply { ip, options, uid: user.unwrap_or(geteuid().as_raw()), succeeds })
    }

    /// Whether this user's SO_REUSEPORT is let in somewhere: by memory, or because all that is left there has it.
    ///
    /// The first success is the last question; another one would wipe out what let the first one in.
    fn lets_in(&self, user: u32, replies: &mut Vec<BindReply>) -> bool {
        let other = (user != geteuid().as_raw()).then_some(user);
        self.reached.iter().any(|&place| {
            let reply = self.reply(place, false, other);
            let is_let_in = reply.as_ref().is_none_or(|reply| reply.succeeds);
            replies.extend(reply);
            is_let_in
        })
    }

    /// The same of every user. A user that nobody is cannot be remembered: let in, it shows that the rules refuse nobody.
    fn lets_others_in(&self, holders: &[Holder], replies: &mut Vec<BindReply>) -> bool {
        let rows: Vec<SocketRow> = holders.iter().map(|holder| holder.row.clone()).collect();
        let users = users(&rows);
        let nobody = (NOBODYS..u32::MAX).find(|uid| !users.contains(uid));
        match self.reply(EVERYWHERE, false, nobody) {
            None => true,
            Some(reply) if reply.succeeds => {
                replies.push(reply);
                false
            }
            Some(_) => users.into_iter().chain([geteuid().as_raw()]).any(|user| self.lets_in(user, replies)),
        }
    }
}

/// Where the users begin that no system gives a name to.
const NOBODYS: u32 = 3_000_000_000;

/// The addresses that a socket of these may be in the way of, the wildcard ones first.
fn overlapping(holders: &[Holder]) -> Vec<Place> {
    let place =
        |holder: &Holder| Place { ip: holder.row.local.ip().to_canonical(), device: holder.row.device };
    let held = || holders.iter().map(place);
    let wildcards = [IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::UNSPECIFIED)];
    let reached = wildcards.into_iter().filter(|ip| ip.is_ipv6() || held().any(|held| held.ip.is_ipv4()));
    let mut all = Vec::new();
    for place in reached.map(|ip| Place { ip, device: None }).chain(held()) {
        if !all.contains(&place) {
            all.push(place);
        }
    }
    all
}

/// Whether connect(2) alone has given out the port, or may have: any bind(2) that succeeds would keep it from others.
fn is_left_to_connect(holders: &[Holder], settings: &Settings) -> bool {
    let Some(holder) = holders.first() else { return false };
    if holders.iter().any(|holder| is_bound(&holder.row))
        || !settings.ephemeral.spans(holder.row.local.port())
    {
        return false;
    }
    may_be_picked(holder.row.local).unwrap_or(true)
}
