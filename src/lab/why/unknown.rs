//! The options of sockets that may not be asked, or that no process has any more: what bind(2) says of them.
//!
//! The options that the old sockets must have, for bind(2) to have answered a newcomer beside them so, are theirs.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::claim::{claim, stage, waits_to_be_accepted};
use super::memory::{BindReply, Place, replies};
use crate::kernel::holders::{Holder, Source};
use crate::kernel::settings::Settings;
use crate::net::sharing_rule::{Claim, Newcomer, Sharing, Stage, conflict};
use crate::net::{Device, TcpState};

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
    share(holders);
    let known: Vec<Claim> = holders.iter().filter(|holder| !is_unknown(holder)).map(claim).collect();
    // Beside one with SO_REUSEPORT another may be let in by the rules or by what the kernel remembers: that is not told apart.
    if known.len() == holders.len() || known.iter().any(|known| known.sharing.reuse_port != Some(false)) {
        return;
    }
    let kinds: BTreeSet<SocketClass> = holders.iter().filter(|holder| is_unknown(holder)).map(kind).collect();
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
    let mut replies: Vec<(Newcomer, bool)> =
        replies(&places, holders, settings).iter().map(newcomer).collect();
    // Where a known one refuses, the reply tells nothing about the others.
    replies.retain(|(new, _)| known.iter().all(|known| conflict(new, known).is_none()));
    let explanations = explanations(&kinds, &replies);
    for holder in holders.iter_mut().filter(|holder| is_unknown(holder)) {
        let Ok(index) = kinds.binary_search(&kind(holder)) else { continue };
        let Some(possible) = explanations.get(index) else { continue };
        holder.sharing.reuse_address = common(possible, |sharing| sharing.reuse_address);
        holder.sharing.reuse_port = common(possible, |sharing| sharing.reuse_port);
        holder.sharing.v6_only = common(possible, |sharing| sharing.v6_only);
        if holder.sharing.reuse_address.or(holder.sharing.reuse_port).is_some() {
            holder.source = Source::Inferred;
        }
    }
}

/// What closed on a listener's port shares it as the listener does: bound before it, beside it, or accepted by it.
///
/// A listener with SO_REUSEPORT tells nothing: the kernel may have let it in unchecked (`memory`).
fn share(holders: &mut [Holder]) {
    let listeners: Vec<Holder> =
        holders.iter().filter(|holder| holder.row.state == TcpState::Listen).cloned().collect();
    for holder in holders.iter_mut().filter(|holder| is_unknown(holder) && holder.row.inode == 0) {
        let around = listeners.iter().filter(|listener| listener.may_have_accepted(holder));
        let by_address = around.filter_map(|listener| match listener.sharing {
            Sharing { reuse_port: Some(false), reuse_address, .. } => reuse_address,
            _ => None,
        });
        let Some(reuse_address) = by_address.min() else { continue };
        holder.sharing.reuse_address = Some(reuse_address);
        holder.sharing.reuse_port = holder.sharing.reuse_port.or((!reuse_address).then_some(false));
        holder.source = Source::Inferred;
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

/// What each of these kinds may have, for bind(2) to have answered so; none where nothing explains it.
///
/// It may be more than what all of them may have at once, and is never less.
fn explanations(kinds: &[SocketClass], replies: &[(Newcomer, bool)]) -> Vec<Vec<Sharing>> {
    let refuses = |kind: &SocketClass, sharing: &Sharing, new: &Newcomer| {
        let claim =
            Claim { ip: kind.ip, device: kind.device, sharing: *sharing, uid: kind.uid, stage: kind.stage };
        conflict(new, &claim).is_some()
    };
    let (let_in, refused): (Vec<_>, Vec<_>) = replies.iter().partition(|(_, succeeds)| *succeeds);
    let mut possible: Vec<Vec<Sharing>> = kinds.iter().map(SocketClass::possible).collect();
    for (kind, all) in kinds.iter().zip(&mut possible) {
        all.retain(|sharing| let_in.iter().all(|(new, _)| !refuses(kind, sharing, new)));
    }
    loop {
        let before: usize = possible.iter().map(Vec::len).sum();
        for (new, _) in &refused {
            let able = |(kind, all): &(&SocketClass, &mut Vec<Sharing>)| {
                all.iter().any(|sharing| refuses(kind, sharing, new))
            };
            let mut able = kinds.iter().zip(&mut possible).filter(able);
            match (able.next(), able.next()) {
                (None, _) => return Vec::new(),
                // It alone can have refused, and so it did.
                (Some((kind, all)), None) => all.retain(|sharing| refuses(kind, sharing, new)),
                _ => {}
            }
        }
        let left: usize = possible.iter().map(Vec::len).sum();
        if left == before {
            return if possible.iter().any(Vec::is_empty) { Vec::new() } else { possible };
        }
    }
}

/// The value that all agree on.
fn common(all: &[Sharing], option: impl Fn(&Sharing) -> Option<bool>) -> Option<bool> {
    let first = option(all.first()?)?;
    all.iter().all(|sharing| option(sharing) == Some(first)).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RA: (bool, bool) = (true, false);

    fn waiting(ip: &str) -> SocketClass {
        SocketClass { ip: ip.parse().unwrap(), device: None, v6_only: None, uid: 0, stage: Stage::Waiting }
    }

    fn reply(ip: &str, (reuse_address, reuse_port): (bool, bool), succeeds: bool) -> (Newcomer, bool) {
        let ip = ip.parse().unwrap();
        (Newcomer { ip, device: None, reuse_address, reuse_port, v6_only: false, uid: 0 }, succeeds)
    }

    /// SO_REUSEADDR of each kind, as far as it is known.
    fn reuse_address(kinds: &[SocketClass], replies: &[(Newcomer, bool)]) -> Vec<Option<bool>> {
        let explanations = explanations(kinds, replies);
        explanations.iter().map(|all| common(all, |sharing| sharing.reuse_address)).collect()
    }

    #[test]
    fn one_success_everywhere_tells_of_any_number_of_addresses() {
        let kinds: Vec<SocketClass> = (1..=200).map(|last| waiting(&format!("127.0.0.{last}"))).collect();
        assert_eq!(reuse_address(&kinds, &[reply("::", RA, true)]), [Some(true); 200]);
    }

    #[test]
    fn a_refusal_is_that_of_the_only_one_who_can_have_refused() {
        let kinds = [waiting("127.0.0.1"), waiting("127.0.0.2")];
        let refused = reply("0.0.0.0", RA, false);
        assert_eq!(reuse_address(&kinds, &[refused]), [None, None]);
        let let_in = reply("127.0.0.1", RA, true);
        assert_eq!(reuse_address(&kinds, &[refused, let_in]), [Some(true), Some(false)]);
    }

    #[test]
    fn replies_that_nothing_explains_tell_nothing() {
        let kinds = [waiting("127.0.0.1")];
        let both = [reply("127.0.0.1", RA, true), reply("0.0.0.0", RA, false)];
        assert!(explanations(&kinds, &both).is_empty());
    }
}
