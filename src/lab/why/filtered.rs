//! What packet filters make of a connection: stopped on its way, sent elsewhere, or its reply stopped.

use std::net::SocketAddr;
use std::num::NonZeroU16;

use nix::errno::Errno;
use nix::unistd::geteuid;

use super::answer::{Clients, MetRule};
use super::{Answer, Doubt, Reason, Verdict, ports};
use crate::error::{Result, errno_name, errno_of};
use crate::kernel::inet_diag::listening_on;
use crate::kernel::packet_filter::{FilteredWay, PacketFilters, Passage, Ruling, UnreadRules};
use crate::kernel::settings::Settings;
use crate::net::sharing_rule::reaches;
use crate::net::{FourTuple, SocketOptions, wildcard};

/// Whether a connection comes through, and what comes of it then: `arrive` says so for where it ends.
///
/// # Errors
///
/// Those of `arrive`.
pub(super) fn connect(
    answer: Answer,
    tuple: FourTuple,
    is_local: bool,
    options: &SocketOptions,
    settings: &Settings,
    arrive: impl FnOnce(Answer, FourTuple, bool) -> Result<Answer>,
) -> Result<Answer> {
    let filters = match PacketFilters::read(tuple.remote.is_ipv6(), ephemeral(options, settings)) {
        Ok(filters) => filters,
        Err(unread) => return Ok(arrive(answer, tuple, is_local)?.remark(unread_words(&unread))),
    };
    let way = filters.outgoing(tuple, is_local);
    let passage = way.passage();
    let sent_to = passage.sent.as_ref().and_then(|ruling| ruling.effect.address());
    let mut answer = match (&passage.stopped, &passage.sent, sent_to) {
        (Some(_), ..) => answer,
        // Nobody knows where it goes.
        (None, Some(_), None) => Answer { verdict: may_be_filtered(), ..answer },
        (None, None, _) => arrive(answer, tuple, is_local)?,
        (None, Some(_), Some(remote)) => {
            let is_local = way.is_local() == Some(true);
            let answer = arrive(answer, FourTuple { remote, ..tuple }, is_local)?;
            sent_to_nobody(answer, remote)
        }
    };
    let is_end_known = passage.sent.is_none() || sent_to.is_some();
    let is_answered = is_end_known && answers(&answer.verdict);
    judge(&mut answer, passage);
    if is_answered && passage.stopped.is_none() {
        judge(&mut answer, &way.reply(listener_user(sent_to.unwrap_or(tuple.remote))));
    }
    Ok(answer)
}

/// Where nobody listens at the address that a rule has put in the place of another.
fn sent_to_nobody(mut answer: Answer, remote: SocketAddr) -> Answer {
    if let Verdict::Fails { reason: reason @ Reason::NobodyListens, .. } = &mut answer.verdict {
        *reason = Reason::SentToNobody(remote);
        answer.beside.clear();
    }
    answer
}

/// Most rules that stop a connection say nothing of it.
fn may_be_filtered() -> Verdict {
    Verdict::may_fail("connect", Errno::ETIMEDOUT, Doubt::Filtered)
}

/// Whether somebody answers a SYN, with SYN or with RST.
fn answers(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Works => true,
        Verdict::Fails { errno, .. } => *errno == Errno::ECONNREFUSED,
        Verdict::MayFail { .. } => false,
    }
}

/// Has the answer say what rules make of a packet.
fn judge(answer: &mut Answer, passage: &Passage) {
    let Passage { sent, stopped, doubts } = passage;
    if let Some(errno) = stopped.as_ref().and_then(Ruling::errno) {
        answer.verdict = Verdict::fails("connect", errno, Reason::Filtered);
        answer.is_half = false;
    }
    let is_the_same = |doubt: &Ruling| match &answer.verdict {
        Verdict::Fails { errno, .. } => doubt.errno() == Some(*errno),
        _ => false,
    };
    if !doubts.iter().all(is_the_same) {
        answer.verdict = may_be_filtered();
        answer.is_half = false;
    }
    let met = stopped.iter().chain(sent).chain(doubts);
    answer.rules.extend(met.map(|ruling| MetRule { ruling: ruling.clone(), clients: Clients::Own }));
    answer.rules.dedup();
}

/// Adds the rules that those meet who connect to a socket that listens at `local`.
pub(super) fn listen(answer: &mut Answer, local: SocketAddr, options: &SocketOptions, settings: &Settings) {
    if answer.verdict != Verdict::Works || local.port() == 0 {
        return;
    }
    let canonical = SocketAddr::new(local.ip().to_canonical(), local.port());
    let takes_ipv4 = canonical.is_ipv6()
        && canonical.ip().is_unspecified()
        && !options.v6_only.unwrap_or(settings.v6_only);
    let ipv4 = SocketAddr::from(([0; 4], local.port()));
    let mut all: Vec<MetRule> = Vec::new();
    for local in std::iter::once(canonical).chain(takes_ipv4.then_some(ipv4)) {
        let filters = match PacketFilters::read(local.is_ipv6(), ephemeral(options, settings)) {
            Ok(filters) => filters,
            Err(unread) => {
                answer.remarks.push(unread_words(&unread));
                return;
            }
        };
        let here = rulings(&filters.way_from_this_host(local));
        let there =
            if local.ip().is_loopback() { Vec::new() } else { rulings(&filters.way_from_elsewhere(local)) };
        let both: Vec<Ruling> = here.iter().filter(|ruling| there.contains(ruling)).cloned().collect();
        for (clients, found) in
            [(Clients::All, &both), (Clients::ThisHost, &here), (Clients::OtherHosts, &there)]
        {
            let is_new = |ruling: &&Ruling| clients == Clients::All || !both.contains(ruling);
            let new = found.iter().filter(is_new).map(|ruling| MetRule { ruling: ruling.clone(), clients });
            let new: Vec<MetRule> = new.filter(|rule| !all.contains(rule)).collect();
            all.extend(new);
        }
    }
    answer.rules = all;
}

/// All that rules make of a connection, and of the reply of a socket of ours.
fn rulings(way: &FilteredWay<'_>) -> Vec<Ruling> {
    let of = |passage: &Passage| -> Vec<Ruling> {
        passage.stopped.iter().chain(&passage.sent).chain(&passage.doubts).cloned().collect()
    };
    let mut all = of(way.passage());
    if way.passage().stopped.is_none() && way.passage().sent.is_none() {
        all.extend(of(&way.reply(Some(geteuid().as_raw()))));
    }
    all
}

/// The ports that the kernel may pick from, the lowest and the highest.
fn ephemeral(options: &SocketOptions, settings: &Settings) -> (u16, u16) {
    let range = ports::range(options, settings);
    (range.low(), range.high())
}

/// Whose socket listens at an address of this host, if one does.
fn listener_user(address: SocketAddr) -> Option<u32> {
    let rows = listening_on(NonZeroU16::new(address.port())?).ok()?;
    let reached = rows.iter().filter(|row| reaches(address.ip(), row.local.ip(), row.v6_only));
    // The kernel takes the one at the address itself before those at the wildcard address.
    let nearest = reached.min_by_key(|row| row.local.ip() == wildcard(row.local.ip()));
    nearest.map(|row| row.uid)
}

fn unread_words(unread: &UnreadRules) -> String {
    let names = unread.names.join(" and ");
    format!(
        "packet filters may stop it or send it elsewhere: this kernel has {names}, and their rules cannot be read here ({}); \
         `sudo nft list ruleset` and `sudo iptables-save` show them",
        errno_name(errno_of(&unread.error))
    )
}
