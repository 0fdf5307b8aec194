//! The options of sockets that may not be asked, or that no process has any more: what bind(2) says of them.
//!
//! The options that the old sockets must have, for bind(2) to have answered a newcomer beside them so, are theirs.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::claim::stage;
use super::memory::{BindReply, Place, replies};
use crate::kernel::holders::{Holder, Source};
use crate::kernel::settings::Settings;
use crate::net::sharing_rule::{Claim, Newcomer, Sharing, Stage, conflict};
use crate::net::{Device, TcpState};

/// How many different kinds of unknown sockets are told apart; each takes four times the work of the one before.
const MOST: usize = 4;
/// What sockets have in common that are taken for one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct SocketClass {
    ip: IpAddr,
    device: Option<Device>,
    v6_only: Option<bool>,
    uid: u32,
    stage: Stage,
}

/// Fills in what can be concluded of the options that are not known.
pub(super) fn infer(holders: &mut [Holder], settings: &Settings) {
    inherit(holders);
    let kinds: BTreeSet<SocketClass> = holders.iter().filter(|holder| is_unknown(holder)).map(kind).collect();
    // What a process has may be let in beside it by what the kernel remembers of that process's calls.
    if kinds.is_empty() || kinds.len() > MOST || !holders.iter().all(is_unknown) {
        return;
    }
    let kinds: Vec<SocketClass> = kinds.into_iter().collect();
    // An IPv6 connection without IPV6_V6ONLY is in the way of the IPv4 wildcard address.
    let wildcard = |kind: &SocketClass| {
        kind.has_unknown_family().then_some(Place { ip: Ipv4Addr::UNSPECIFIED.into(), device: kind.device })
    };
    let own = |kind: &SocketClass| Place { ip: kind.ip.to_canonical(), device: kind.device };
    let places: BTreeSet<Place> = kinds.iter().map(own).chain(kinds.iter().filter_map(wildcard)).collect();
    let places: Vec<Place> = places.into_iter().collect();
    let newcomer = |reply: &BindReply| {
        let new = settings.newcomer(SocketAddr::new(reply.ip, 0), &reply.options);
        (Newcomer { uid: reply.uid, ..new }, reply.succeeds)
    };
    let replies: Vec<(Newcomer, bool)> = replies(&places, holders, settings).iter().map(newcomer).collect();
    let explanations: Vec<Vec<Sharing>> =
        assignments(&kinds).into_iter().filter(|sharing| explains(sharing, &kinds, &replies)).collect();
    for holder in holders.iter_mut().filter(|holder| is_unknown(holder)) {
        let Some(index) = kinds.iter().position(|found| *found == kind(holder)) else { continue };
        let possible: Vec<Sharing> = explanations.iter().filter_map(|all| all.get(index)).copied().collect();
        holder.sharing.reuse_address = common(&possible, |sharing| sharing.reuse_address);
        holder.sharing.reuse_port = common(&possible, |sharing| sharing.reuse_port);
        holder.sharing.v6_only = common(&possible, |sharing| sharing.v6_only);
        if holder.sharing.reuse_address.or(holder.sharing.reuse_port).is_some() {
            holder.source = Source::Inferred;
        }
    }
}

/// A connection that waits to be accepted has the options of its listener, accept(2).
fn inherit(holders: &mut [Holder]) {
    let listeners: Vec<Holder> =
        holders.iter().filter(|holder| holder.row.state == TcpState::Listen).cloned().collect();
    for holder in holders.iter_mut().filter(|holder| is_unknown(holder) && waits_to_be_accepted(holder)) {
        let mut around = listeners.iter().filter(|listener| listener.may_have_accepted(holder));
        if let (Some(listener), None) = (around.next(), around.next()) {
            holder.sharing = listener.sharing;
            holder.source = if is_unknown(listener) { Source::Unknown } else { Source::Inferred };
        }
    }
}

/// No process has it, and it has not been closed: then it would be on its way to its end.
fn waits_to_be_accepted(holder: &Holder) -> bool {
    holder.row.inode == 0
        && matches!(holder.row.state, TcpState::SynReceived | TcpState::Established | TcpState::CloseWait)
}

fn is_unknown(holder: &Holder) -> bool {
    holder.source == Source::Unknown
}

fn kind(holder: &Holder) -> SocketClass {
    SocketClass {
        ip: holder.row.local.ip(),
        device: holder.row.device,
        v6_only: holder.row.v6_only,
        uid: holder.row.uid,
        stage: stage(&holder.row),
    }
}

impl SocketClass {
    /// Whether it is not known that it keeps to IPv6.
    fn has_unknown_family(&self) -> bool {
        self.v6_only.is_none() && self.ip.to_canonical().is_ipv6()
    }

    /// Every way in which such a socket can have the options.
    fn possible(&self) -> Vec<Sharing> {
        let families: &[Option<bool>] =
            if self.has_unknown_family() { &[Some(false), Some(true)] } else { &[self.v6_only] };
        let mut all = Vec::new();
        for &v6_only in families {
            for (address, port) in [(false, false), (true, false), (false, true), (true, true)] {
                all.push(Sharing { reuse_address: Some(address), reuse_port: Some(port), v6_only });
            }
        }
        all
    }
}

/// Every way in which all of these sockets can have them.
fn assignments(kinds: &[SocketClass]) -> Vec<Vec<Sharing>> {
    kinds.iter().fold(vec![Vec::new()], |all, kind| {
        let with = |before: &Vec<Sharing>, sharing| before.iter().copied().chain([sharing]).collect();
        let possible = kind.possible();
        all.iter().flat_map(|before| possible.iter().map(move |&sharing| with(before, sharing))).collect()
    })
}

/// Whether bind(2) would have answered as it did if the sockets had these options.
fn explains(sharing: &[Sharing], kinds: &[SocketClass], replies: &[(Newcomer, bool)]) -> bool {
    let supposed = kinds.iter().zip(sharing).map(|(kind, &sharing)| Claim {
        ip: kind.ip,
        device: kind.device,
        sharing,
        uid: kind.uid,
        stage: kind.stage,
    });
    let claims: Vec<Claim> = supposed.collect();
    replies
        .iter()
        .all(|(new, succeeds)| *succeeds == claims.iter().all(|claim| conflict(new, claim).is_none()))
}

/// The value that all agree on.
fn common(all: &[Sharing], option: impl Fn(&Sharing) -> Option<bool>) -> Option<bool> {
    let first = option(all.first()?)?;
    all.iter().all(|sharing| option(sharing) == Some(first)).then_some(first)
}
