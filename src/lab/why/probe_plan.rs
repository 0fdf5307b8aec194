//! The sockets of a port as they are to be made again elsewhere, and what becomes of them by a step.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

use super::claim::on_port;
use super::probe::Probe;
use super::remedy::{Provision, Remedy};
use super::setup::{SetupState, SocketSetup};
use super::stand_in::{doubt, stand_in};
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
            probe: Probe::for_call(question, &settings),
            settings,
        };
        let meets = |wanted: fn(&Reason) -> bool| answer.reasons().any(|reason| wanted(&reason));
        plan.probe.unprivileged = meets(|reason| matches!(reason, Reason::Privileged(_)));
        plan.probe.sockets = plan.sockets(&Remedy::Elsewhere(String::new()));
        let is_cut_off = meets(|reason| {
            matches!(
                reason,
                Reason::NoRoute | Reason::FromLoopback | Reason::NotUnicast | Reason::OtherFamily
            )
        });
        plan.probe.sockets.extend(far_away(question).filter(|_| !is_cut_off));
        let is_missing = meets(|reason| matches!(reason, Reason::NotLocal | Reason::Tentative));
        let local = question.goal.local().filter(|_| !is_missing).map(|local| local.ip());
        plan.probe.addresses = addresses(&plan.probe.sockets, local.into_iter().chain(own_remote(question)));
        plan.is_feasible().map(|()| plan)
    }

    fn is_feasible(&self) -> Result<(), String> {
        let is_link_local = |ip: &IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        if self.probe.sockets.len() > MOST {
            return Err(format!("more than {MOST} different sockets are there"));
        }
        if self.probe.addresses.iter().any(is_link_local) {
            return Err("a link-local address belongs to its interface".to_owned());
        }
        Ok(())
    }

    /// The same after this step; or that it is not tried, and why.
    pub(super) fn after(&self, step: &Remedy) -> Result<Probe, String> {
        let asked = step.applied_to(self.question);
        if step.parts().iter().any(|part| matches!(part, Remedy::Elsewhere(_))) {
            return Err("not tried".to_owned());
        }
        if let Some(doubt) = self.doubt(step, &asked) {
            return Err(format!("not tried: {doubt}"));
        }
        let mut probe = Probe { sockets: self.sockets(step), ..Probe::for_call(&asked, &self.settings) };
        probe.sockets.extend(self.probe.sockets.iter().filter(|planned| planned.is_far_away).cloned());
        probe.unprivileged = self.probe.unprivileged;
        probe.addresses.clone_from(&self.probe.addresses);
        step.parts().iter().for_each(|part| probe.provide(part));
        Ok(probe)
    }

    /// Why the step may come to something else here than there.
    fn doubt(&self, step: &Remedy, asked: &PlannedCall) -> Option<String> {
        let local = asked.goal.local()?;
        let new = self.settings.newcomer(local.ip(), &asked.options);
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
            if !planned.goes_through(step, holder, is_in_the_way) {
                continue;
            }
            // The call meets the one with its four-tuple.
            if self.is_to_remote(&planned) || !sockets.iter().any(|other| other.is_like(&planned)) {
                sockets.push(planned);
            }
        }
        sockets
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

/// Where the call connects to, if that is this host.
fn own_remote(question: &PlannedCall) -> Option<IpAddr> {
    let Goal::Connect { remote, .. } = question.goal else { return None };
    route(remote, None).is_ok_and(|route| route.local).then(|| remote.ip())
}

/// The addresses that a network has none of by itself.
fn addresses(sockets: &[SocketSetup], others: impl IntoIterator<Item = IpAddr>) -> Vec<IpAddr> {
    let of_sockets = sockets
        .iter()
        .flat_map(|planned| [Some(planned.local), planned.remote])
        .flatten()
        .map(|address| address.ip());
    let all: BTreeSet<IpAddr> = of_sockets.chain(others).map(|ip| ip.to_canonical()).collect();
    all.into_iter().filter(|ip| !ip.is_loopback() && !ip.is_unspecified()).collect()
}

impl Probe {
    fn for_call(question: &PlannedCall, settings: &Settings) -> Self {
        Self {
            sockets: Vec::new(),
            goal: question.goal,
            reuse_address: question.options.reuse_address,
            reuse_port: question.options.reuse_port,
            v6_only: question.options.v6_only.unwrap_or(settings.v6_only),
            uid: None,
            unprivileged: false,
            addresses: Vec::new(),
        }
    }

    /// Takes the part of a step that is not about sockets which are there.
    fn provide(&mut self, part: &Remedy) {
        match part {
            Remedy::Address(ip) | Remedy::Provide(Provision::OwnAddress(ip), _) => {
                self.addresses.extend(addresses(&[], Some(*ip)));
            }
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
            reuse_address: true,
            reuse_port: true,
            v6_only: None,
            uid: None,
            ends: false,
            is_far_away: true,
        }
    }
}
