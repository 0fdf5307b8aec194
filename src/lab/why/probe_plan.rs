//! The sockets of a port as they are to be made again elsewhere, and what becomes of them by a step.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU16;

use nix::unistd::geteuid;

use super::claim::{on_port, stage};
use super::rehearsal::Act;
use super::scene::{Kind, Part};
use super::step::{Leftover, Set, Step};
use super::{Answer, Because, Goal, Question, Verdict};
use crate::kernel::holders::Holder;
use crate::kernel::route::route;
use crate::kernel::settings::Settings;
use crate::net::TcpState;
use crate::net::sharing_rule::{Sharing, Stage};

/// How many different sockets are made again at most.
const MOST: usize = 64;

/// What is to be made again.
pub(super) struct Situation<'a> {
    question: &'a Question,
    /// The sockets of the port, and whether each is in the way.
    holders: Vec<(&'a Holder, bool)>,
    /// Those who listen on it, or where the call connects to.
    listeners: Vec<Holder>,
    /// The call as it is asked about.
    pub(super) act: Act,
}

impl<'a> Situation<'a> {
    /// What the answer is about, or why that cannot be made again.
    pub(super) fn of(question: &'a Question, answer: &'a Answer) -> Result<Self, String> {
        let because = match &answer.verdict {
            Verdict::Works => return Err("it works".to_owned()),
            Verdict::MayFail => return Err("the options of the sockets in the way are unknown".to_owned()),
            Verdict::Fails { because, .. } => because,
        };
        let is_held = matches!(because, Because::Held | Because::FourTuple);
        let in_the_way = answer.in_the_way.iter().map(|found| (&found.holder, true));
        let beside = answer.beside.iter().filter(|_| is_held).map(|holder| (holder, false));
        let mut situation = Self {
            question,
            holders: in_the_way.chain(beside).collect(),
            listeners: listeners(question),
            act: Act::of(question),
        };
        situation.act.unprivileged = matches!(because, Because::Privileged(_));
        situation.act.cast = situation.cast(&Step::Elsewhere(String::new()));
        if *because == Because::FourTuple {
            situation.act.cast.extend(far_away(question));
        }
        let local = question.goal.local().filter(|_| *because != Because::NotLocal);
        situation.act.addresses = addresses(&situation.act.cast, local.map(|local| local.ip()));
        situation.is_feasible().map(|()| situation)
    }

    fn is_feasible(&self) -> Result<(), String> {
        let is_link_local = |ip: &IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        if self.act.cast.len() > MOST {
            return Err(format!("more than {MOST} different sockets are there"));
        }
        if self.act.addresses.iter().any(is_link_local) {
            return Err("a link-local address belongs to its interface".to_owned());
        }
        Ok(())
    }

    /// The same after this step, where it is one that can be taken elsewhere.
    pub(super) fn after(&self, step: &Step) -> Option<Act> {
        let asked = step.applied_to(self.question);
        let mut act = Act { cast: self.cast(step), ..Act::of(&asked) };
        act.cast.extend(self.act.cast.iter().filter(|part| part.is_far_away).cloned());
        act.unprivileged = self.act.unprivileged;
        act.addresses.clone_from(&self.act.addresses);
        match step {
            Step::Elsewhere(_) => return None,
            Step::Address(ip) => act.addresses.extend(addresses(&[], Some(*ip))),
            Step::User(uid) => act.uid = Some(*uid),
            _ => {}
        }
        Some(act)
    }

    /// The sockets that are there after this step, of many that are alike one.
    fn cast(&self, step: &Step) -> Vec<Part> {
        let asks = step.applied_to(self.question).options.reuse_port;
        let is_new = |other: &&Holder| self.holders.iter().all(|(holder, _)| holder.row != other.row);
        let listeners = self.listeners.iter().filter(is_new).map(|listener| (listener, false));
        let mut cast: Vec<Part> = Vec::new();
        for (holder, is_in_the_way) in self.holders.iter().copied().chain(listeners) {
            let mut part = self.part(holder);
            part.uid = part.uid.filter(|_| asks);
            if part.goes_through(step, holder, is_in_the_way)
                && !cast.iter().any(|other| other.is_like(&part))
            {
                cast.push(part);
            }
        }
        cast
    }

    /// A socket as it is.
    fn part(&self, holder: &Holder) -> Part {
        let sharing = self.sharing(holder);
        let uid = Some(holder.row.uid).filter(|&uid| uid != geteuid().as_raw());
        Part {
            kind: kind(holder),
            local: holder.row.local,
            remote: holder.four_tuple().map(|tuple| tuple.remote),
            reuse_address: sharing.reuse_address.unwrap_or(false),
            reuse_port: sharing.reuse_port.unwrap_or(false),
            v6_only: sharing.v6_only,
            uid: uid.filter(|_| stage(&holder.row) != Stage::Waiting),
            ends: false,
            is_far_away: false,
        }
    }

    /// The options of a socket; where they are not known those of the listener it has them from, accept(2).
    fn sharing(&self, holder: &Holder) -> Sharing {
        let own = holder.sharing;
        if holder.four_tuple().is_none() || own.reuse_address.and(own.reuse_port).is_some() {
            return own;
        }
        let mut all = self.holders.iter().map(|(holder, _)| holder);
        let listener =
            all.find(|other| other.row.state == TcpState::Listen && other.covers(holder.row.local));
        let inherited = listener.map(|listener| listener.sharing).unwrap_or_default();
        Sharing {
            reuse_address: own.reuse_address.or(inherited.reuse_address),
            reuse_port: own.reuse_port.or(inherited.reuse_port),
            ..own
        }
    }
}

fn kind(holder: &Holder) -> Kind {
    match (holder.row.state, stage(&holder.row)) {
        (_, Stage::Listening) => Kind::Listening,
        (_, Stage::Waiting) => Kind::Waiting,
        (TcpState::BoundInactive, _) => Kind::Bound,
        (TcpState::CloseWait, _) => Kind::RemoteClosed,
        _ if holder.row.inode == 0 => Kind::Pending,
        _ => Kind::Open,
    }
}

/// Those who listen where the call connects to.
fn listeners(question: &Question) -> Vec<Holder> {
    let Goal::Connect { remote, .. } = question.goal else { return Vec::new() };
    let on_port = NonZeroU16::new(remote.port()).and_then(|port| on_port(port).ok()).unwrap_or_default();
    on_port.into_iter().filter(|holder| holder.row.state == TcpState::Listen).collect()
}

/// Somebody to answer in place of another host.
fn far_away(question: &Question) -> Option<Part> {
    let Goal::Connect { remote, .. } = question.goal else { return None };
    if remote.ip().is_unspecified() || route(remote, None).is_ok_and(|route| route.local) {
        return None;
    }
    Some(Part {
        kind: Kind::Listening,
        local: remote,
        remote: None,
        reuse_address: true,
        reuse_port: true,
        v6_only: None,
        uid: None,
        ends: false,
        is_far_away: true,
    })
}

/// The addresses that a network has none of by itself.
fn addresses(cast: &[Part], local: Option<IpAddr>) -> Vec<IpAddr> {
    let of_cast =
        cast.iter().flat_map(|part| [Some(part.local), part.remote]).flatten().map(|address| address.ip());
    let all: BTreeSet<IpAddr> = of_cast.chain(local).map(|ip| ip.to_canonical()).collect();
    all.into_iter().filter(|ip| !ip.is_loopback() && !ip.is_unspecified()).collect()
}

impl Act {
    fn of(question: &Question) -> Self {
        let settings = Settings::read();
        Self {
            cast: Vec::new(),
            goal: question.goal,
            reuse_address: question.options.reuse_address,
            reuse_port: question.options.reuse_port,
            v6_only: question.options.v6_only.unwrap_or(settings.v6_only),
            uid: None,
            unprivileged: false,
            addresses: Vec::new(),
        }
    }
}

impl Part {
    /// Becomes what the step makes of it; whether it is there afterwards.
    fn goes_through(&mut self, step: &Step, holder: &Holder, is_in_the_way: bool) -> bool {
        let waits = self.kind == Kind::Waiting;
        match step {
            Step::Wait(..) => !waits,
            Step::Restart(_, sets) | Step::NextTime(sets) if is_in_the_way => {
                sets.iter().for_each(|set| self.set(*set));
                true
            }
            Step::Stop(processes, leftover) => {
                let has_all = holder.processes.iter().all(|process| processes.contains(process));
                self.ends = !holder.processes.is_empty() && has_all;
                *leftover != Leftover::Wait || !(self.ends || waits)
            }
            _ => true,
        }
    }

    fn set(&mut self, set: Set) {
        match set {
            Set::ReuseAddress => self.reuse_address = true,
            Set::ReusePort => self.reuse_port = true,
            Set::V6Only(on) => self.v6_only = Some(on),
        }
    }

    /// Whether the rules see no difference; where the two are connected to is none.
    fn is_like(&self, other: &Self) -> bool {
        let without_remote = |part: &Self| Self { remote: part.remote.map(|_| part.local), ..part.clone() };
        without_remote(self) == without_remote(other)
    }
}
