//! The sockets of a port as they are to be made again elsewhere, and what becomes of them by a step.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroU16;

use super::claim::{on_port, waits_to_be_accepted};
use super::free::with_port;
use super::probe::Probe;
use super::remedy::{Provision, Remedy};
use super::setup::{SetupState, SocketSetup, canonical};
use super::stand_in::{doubt, listener, stand_in};
use super::{Answer, Doubt, Goal, PlannedCall, Reason, Verdict};
use crate::kernel::holders::Holder;
use crate::kernel::route::route;
use crate::kernel::settings::Settings;
use crate::net::TcpState;

/// How many different sockets are made again at most.
const MOST: usize = 64;

/// What is to be made again.
pub(super) struct ProbePlan<'a> {
    question: &'a PlannedCall,
    settings: Settings,
    /// The sockets of the port, and whether each is in the way.
    holders: Vec<(&'a Holder, bool)>,
    /// Those who listen on it, or where the call connects to.
    listeners: Vec<Holder>,
    /// Whether the local address in question is one of this host.
    is_there: bool,
    /// The call as it is asked about.
    pub(super) probe: Probe,
}

impl<'a> ProbePlan<'a> {
    /// What the answer is about, or why that cannot be made again.
    pub(super) fn for_answer(question: &'a PlannedCall, answer: &'a Answer) -> Result<Self, String> {
        match answer.verdict {
            Verdict::MayFail { doubt: Doubt::Filtered, .. } => {
                return Err("packet filters are not made again".to_owned());
            }
            Verdict::MayFail { .. } => return Err("whether the call fails cannot be told".to_owned()),
            Verdict::Works | Verdict::Fails { .. } => {}
        }
        let settings = Settings::read();
        let mut plan = Self {
            question,
            holders: holders(answer),
            listeners: listeners(question),
            is_there: true,
            probe: Probe::for_call(question, &settings),
            settings,
        };
        let meets = |wanted: fn(&Reason) -> bool| answer.reasons().any(|reason| wanted(&reason));
        plan.probe.unprivileged = meets(|reason| matches!(reason, Reason::Privileged(_)));
        plan.probe.sockets = plan.sockets(&Remedy::Elsewhere(String::new()));
        let is_cut_off = meets(|reason| {
            matches!(
                reason,
                Reason::NoRoute
                    | Reason::Blackhole
                    | Reason::Prohibited
                    | Reason::Unreachable
                    | Reason::NoSource
                    | Reason::ForeignSource
                    | Reason::FromLoopback
                    | Reason::FromMapped
                    | Reason::NotUnicast
                    | Reason::OtherFamily
                    | Reason::OtherZone(_)
                    | Reason::NoScope
                    | Reason::NoDevice
                    | Reason::NoWayBack { .. }
                    | Reason::Ipv6Off(_)
                    | Reason::Down(_)
            )
        });
        plan.probe.sockets.extend(far_away(question).filter(|_| !is_cut_off));
        plan.is_there = !meets(|reason| {
            matches!(
                reason,
                Reason::NotLocal
                    | Reason::ForeignSource
                    | Reason::OtherDevice { .. }
                    | Reason::Tentative
                    | Reason::Duplicate(_)
                    | Reason::NoCarrier(_)
            )
        });
        let addresses = plan.addresses(&Remedy::Elsewhere(String::new()));
        plan.probe.furnish(&addresses);
        plan.is_feasible().map(|()| plan)
    }

    fn is_feasible(&self) -> Result<(), String> {
        if self.probe.sockets.len() > MOST {
            return Err(format!("more than {MOST} different sockets are there"));
        }
        if self.probe.devices.iter().any(|device| device.vrf != 0) {
            return Err("a VRF is not made again".to_owned());
        }
        Ok(())
    }

    /// The addresses of the call after this step that are this host's: the local one, if it is, and the remote one.
    fn addresses(&self, step: &Remedy) -> Vec<SocketAddr> {
        let asked = step.applied_to(self.question);
        let at_any_port = |local: Option<SocketAddr>| local.map(|local| with_port(local, 0));
        let (local, remote) = (asked.goal.local(), own_remote(&asked));
        let is_given = |part: &Remedy| matches!(part, Remedy::Provide(Provision::OwnAddress(_), _));
        let is_there = self.is_there
            || at_any_port(local) != at_any_port(self.question.goal.local())
            || step.parts().iter().any(is_given);
        local.filter(|_| is_there).into_iter().chain(remote).collect()
    }

    /// The same after this step; or that it is not tried, and why.
    pub(super) fn after(&self, step: &Remedy) -> Result<Probe, String> {
        let asked = step.applied_to(self.question);
        // Who answers at another interface is another matter.
        let is_connect = matches!(self.question.goal, Goal::Connect { .. });
        let is_apart = |part: &Remedy| match part {
            Remedy::Elsewhere(_) => true,
            Remedy::Zone(..) => is_connect,
            _ => false,
        };
        if step.parts().iter().any(is_apart) {
            return Err("not tried".to_owned());
        }
        if let Some(doubt) = self.doubt(step, &asked) {
            return Err(format!("not tried: {doubt}"));
        }
        let mut probe = Probe { sockets: self.sockets(step), ..Probe::for_call(&asked, &self.settings) };
        probe.sockets.extend(self.probe.sockets.iter().filter(|planned| planned.is_far_away).cloned());
        probe.unprivileged = self.probe.unprivileged;
        step.parts().iter().for_each(|part| probe.provide(part));
        probe.furnish(&self.addresses(step));
        Ok(probe)
    }

    /// Why the step may come to something else here than there.
    fn doubt(&self, step: &Remedy, asked: &PlannedCall) -> Option<String> {
        let local = asked.goal.local()?;
        let new = self.settings.newcomer(local, &asked.options);
        let mut on_port = self.holders.iter().filter(|(holder, _)| holder.row.local.port() == local.port());
        on_port.find_map(|(holder, is_in_the_way)| doubt(holder, *is_in_the_way, step, &new))
    }

    /// The sockets that are there after this step, of many that are alike one.
    fn sockets(&self, step: &Remedy) -> Vec<SocketSetup> {
        let asks = step.applied_to(self.question).options.reuse_port;
        let is_new =
            |other: &&Holder| self.holders.iter().all(|(holder, _)| holder.row.cookie != other.row.cookie);
        let listeners = self.listeners.iter().filter(is_new).map(|listener| (listener, false));
        let mut sockets: Vec<SocketSetup> = Vec::new();
        for (holder, is_in_the_way) in self.holders.iter().copied().chain(listeners) {
            let mut planned = stand_in(holder, self.holders.iter().map(|(holder, _)| *holder));
            planned.uid = planned.uid.filter(|_| asks);
            if !planned.goes_through(step, holder, is_in_the_way || self.waits_for_one_in_the_way(holder)) {
                continue;
            }
            // The call meets the one with its four-tuple.
            if self.is_to_remote(&planned) || !sockets.iter().any(|other| other.is_like(&planned)) {
                sockets.push(planned);
            }
        }
        sockets
    }

    /// Whether it waits to be accepted by a socket that is in the way, and has the options of that one.
    fn waits_for_one_in_the_way(&self, holder: &Holder) -> bool {
        let in_the_way = self.holders.iter().filter(|(_, is_in_the_way)| *is_in_the_way);
        waits_to_be_accepted(holder) && listener(holder, in_the_way.map(|(holder, _)| *holder)).is_some()
    }

    /// Whether it is connected to where the call connects to.
    fn is_to_remote(&self, planned: &SocketSetup) -> bool {
        let Goal::Connect { remote, .. } = self.question.goal else { return false };
        let is_same = |theirs: SocketAddr| {
            theirs.port() == remote.port() && theirs.ip().to_canonical() == remote.ip().to_canonical()
        };
        planned.remote.is_some_and(is_same)
    }
}

/// All that the answer is about.
fn holders(answer: &Answer) -> Vec<(&Holder, bool)> {
    let in_the_way = answer.all_in_the_way();
    // What is not in the way of the one call may be in that of the next.
    let cookies: BTreeSet<u64> = in_the_way.iter().map(|found| found.holder.row.cookie).collect();
    let beside = answer.beside.iter().filter(|beside| !cookies.contains(&beside.row.cookie));
    in_the_way
        .into_iter()
        .map(|found| (&found.holder, true))
        .chain(beside.map(|holder| (holder, false)))
        .collect()
}

/// Those who listen where the call connects to.
fn listeners(question: &PlannedCall) -> Vec<Holder> {
    let Goal::Connect { remote, .. } = question.goal else { return Vec::new() };
    let on_port = NonZeroU16::new(remote.port()).and_then(|port| on_port(port).ok()).unwrap_or_default();
    on_port.into_iter().filter(|holder| holder.row.state == TcpState::Listen).collect()
}

/// Somebody to answer in place of another host.
fn far_away(question: &PlannedCall) -> Option<SocketSetup> {
    let Goal::Connect { remote, .. } = question.goal else { return None };
    if remote.ip().is_unspecified() || own_remote(question).is_some() {
        return None;
    }
    Some(SocketSetup::listening(remote))
}

/// Where the call connects to, if that is an address of this host.
fn own_remote(question: &PlannedCall) -> Option<SocketAddr> {
    let Goal::Connect { remote, .. } = question.goal else { return None };
    let remote = canonical(remote);
    route(remote, None, question.options.device).is_ok_and(|route| route.local).then_some(remote)
}

impl Probe {
    fn for_call(question: &PlannedCall, settings: &Settings) -> Self {
        Self {
            sockets: Vec::new(),
            goal: question.goal,
            reuse_address: question.options.reuse_address,
            reuse_port: question.options.reuse_port,
            v6_only: question.options.v6_only.unwrap_or(settings.v6_only),
            device: question.options.device,
            uid: None,
            unprivileged: false,
            devices: Vec::new(),
            addresses: Vec::new(),
        }
    }

    /// Takes the part of a step that is not about sockets which are there.
    fn provide(&mut self, part: &Remedy) {
        match part {
            Remedy::Provide(Provision::Privilege, _) => self.unprivileged = false,
            Remedy::Provide(Provision::Listener(at), _) => self.sockets.push(SocketSetup::listening(*at)),
            Remedy::User(uid) => self.uid = Some(*uid),
            _ => {}
        }
    }
}

impl SocketSetup {
    /// A listener that stands for one elsewhere, or one that is yet to be started.
    fn listening(local: SocketAddr) -> Self {
        Self {
            kind: SetupState::Listening,
            local,
            remote: None,
            device: None,
            reuse_address: true,
            reuse_port: true,
            v6_only: None,
            uid: None,
            ends: false,
            is_far_away: true,
        }
    }
}
