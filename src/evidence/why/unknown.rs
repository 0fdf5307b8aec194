//! The options of sockets that may not be asked, or that no process has any more: what bind(2) says of them.
//!
//! A socket is bound beside them once per option set and closed at once. It never listens, so those who have the
//! address do not notice. The options that the old sockets must have, for bind(2) to have answered so, are theirs.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use nix::errno::Errno;

use super::holding::{claim, stage};
use super::rules::{Claim, Newcomer, Stage, conflict};
use super::{Settings, newcomer, try_bind};
use crate::evidence::holders::{Holder, Source};
use crate::evidence::sharing::Sharing;
use crate::net::SocketOptions;

/// How many different kinds of unknown sockets are told apart; each takes four times the work of the one before.
const MOST: usize = 4;
/// The options that the old sockets are asked with; both together would leave a trace ([`try_bind`]).
const ASKED: [(bool, bool); 2] = [(true, false), (false, true)];
/// The options that a socket can have.
const POSSIBLE: [(bool, bool); 4] = [(false, false), (true, false), (false, true), (true, true)];

/// What sockets have in common that are taken for one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    ip: IpAddr,
    v6_only: Option<bool>,
    uid: u32,
    stage: Stage,
}

/// What bind(2) said to one option set at one address.
struct Reply {
    new: Newcomer,
    refused: bool,
}

/// Fills in what can be concluded of the options that are not known.
pub(super) fn infer(holders: &mut [Holder], settings: &Settings) {
    let kinds: BTreeSet<Kind> = holders.iter().filter(|holder| is_unknown(holder)).map(kind).collect();
    if kinds.is_empty() || kinds.len() > MOST {
        return;
    }
    let kinds: Vec<Kind> = kinds.into_iter().collect();
    let Some(port) = holders.first().map(|holder| holder.row.local.port()) else { return };
    let replies: Vec<Reply> = kinds.iter().flat_map(|kind| replies(kind, port, settings)).collect();
    let known: BTreeSet<Claim> = holders.iter().filter(|holder| !is_unknown(holder)).map(claim).collect();
    let explanations: Vec<Vec<Sharing>> =
        assignments(&kinds).filter(|sharing| explains(sharing, &kinds, &known, &replies)).collect();
    for holder in holders.iter_mut().filter(|holder| is_unknown(holder)) {
        let Some(index) = kinds.iter().position(|found| *found == kind(holder)) else { continue };
        let possible: Vec<Sharing> = explanations.iter().filter_map(|all| all.get(index)).copied().collect();
        holder.sharing.reuse_address = common(&possible, |sharing| sharing.reuse_address);
        holder.sharing.reuse_port = common(&possible, |sharing| sharing.reuse_port);
        if holder.sharing.reuse_address.or(holder.sharing.reuse_port).is_some() {
            holder.source = Source::Inferred;
        }
    }
}

fn is_unknown(holder: &Holder) -> bool {
    holder.source == Source::Unknown
}

fn kind(holder: &Holder) -> Kind {
    Kind {
        ip: holder.row.local.ip(),
        v6_only: holder.row.v6_only,
        uid: holder.row.uid,
        stage: stage(&holder.row),
    }
}

/// What bind(2) answers at the address of these sockets; nothing where it may not be tried.
fn replies(kind: &Kind, port: u16, settings: &Settings) -> Vec<Reply> {
    let local = SocketAddr::new(kind.ip.to_canonical(), port);
    let reply = |&(reuse_address, reuse_port): &(bool, bool)| {
        let options = SocketOptions {
            reuse_address,
            reuse_port,
            v6_only: Some(kind.v6_only.unwrap_or(true)),
            ..SocketOptions::default()
        };
        let refused = match try_bind(local, &options).ok()? {
            Ok(_) => false,
            Err(Errno::EADDRINUSE) => true,
            Err(_) => return None,
        };
        Some(Reply { new: newcomer(local.ip(), &options, settings), refused })
    };
    ASKED.iter().filter_map(reply).collect()
}

/// Every way in which these sockets can have the options.
fn assignments(kinds: &[Kind]) -> impl Iterator<Item = Vec<Sharing>> {
    let count = POSSIBLE.len().pow(kinds.len() as u32);
    (0..count).map(|number| {
        let mut rest = number;
        kinds
            .iter()
            .map(|kind| {
                let (address, port) = POSSIBLE.get(rest % POSSIBLE.len()).copied().unwrap_or_default();
                rest /= POSSIBLE.len();
                Sharing { reuse_address: Some(address), reuse_port: Some(port), v6_only: kind.v6_only }
            })
            .collect()
    })
}

/// Whether bind(2) would have answered as it did if the sockets had these options.
fn explains(sharing: &[Sharing], kinds: &[Kind], known: &BTreeSet<Claim>, replies: &[Reply]) -> bool {
    let supposed = kinds.iter().zip(sharing).map(|(kind, &sharing)| Claim {
        ip: kind.ip,
        sharing,
        uid: kind.uid,
        stage: kind.stage,
    });
    let claims: Vec<Claim> = supposed.chain(known.iter().copied()).collect();
    replies
        .iter()
        .all(|reply| reply.refused == claims.iter().any(|claim| conflict(&reply.new, claim).is_some()))
}

/// The value that all agree on.
fn common(all: &[Sharing], option: impl Fn(&Sharing) -> Option<bool>) -> Option<bool> {
    let first = option(all.first()?)?;
    all.iter().all(|sharing| option(sharing) == Some(first)).then_some(first)
}
