//! The sockets of a port as they are to be made again elsewhere, and what becomes of them by a step.

use std::net::SocketAddr;
use std::num::NonZeroU16;

use nix::unistd::geteuid;

use super::claim::{on_port, stage};
use super::probe::Probe;
use super::remedy::{AfterStop, OptionChange, Remedy};
use super::setup::{SetupState, SocketSetup};
use super::{Answer, Goal, PlannedCall, Reason, Verdict};
use crate::kernel::holders::Holder;
use crate::kernel::route::route;
use crate::kernel::settings::Settings;
use crate::net::TcpState;
use crate::net::sharing_rule::{Sharing, Stage};

/// How many different sockets are made again at most.
const MOST: usize = 64;

/// What is to be made again.
pub(super) struct ProbePlan<'a> {
    question: &'a PlannedCall,
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
        let reason = match &answer.verdict {
            Verdict::Works => return Err("it works".to_owned()),
            Verdict::MayFail => return Err("the options of the sockets in the way are unknown".to_owned()),
            Verdict::Fails { reason, .. } => reason,
        };
        let is_held = matches!(reason, Reason::Held | Reason::FourTuple);
        let in_the_way = answer.in_the_way.iter().map(|found| (&found.holder, true));
        let beside = answer.beside.iter().filter(|_| is_held).map(|holder| (holder, false));
        let mut plan = Self {
            question,
            holders: in_the_way.chain(beside).collect(),
            listeners: listeners(question),
            probe: Probe::for_call(question),
        };
        plan.probe.unprivileged = matches!(reason, Reason::Privileged(_));
        plan.probe.sockets = plan.sockets(&Remedy::Elsewhere(String::new()));
        if *reason == Reason::FourTuple {
            plan.probe.sockets.extend(far_away(question));
        }
        let is_there =
            !matches!(reason, Reason::NotLocal | Reason::ForeignSource | Reason::OtherDevice { .. });
        let addresses = plan.addresses(is_there);
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

    /// The addresses of the call that are this host's: the local one, if it is, and the remote one.
    fn addresses(&self, is_there: bool) -> Vec<SocketAddr> {
        let local = self.question.goal.local().filter(|_| is_there);
        local.into_iter().chain(own_remote(self.question)).collect()
    }

    /// The same after this step, where it is one that can be taken elsewhere.
    pub(super) fn after(&self, remedy: &Remedy) -> Option<Probe> {
        let asked = remedy.applied_to(self.question);
        let mut probe = Probe { sockets: self.sockets(remedy), ..Probe::for_call(&asked) };
        probe.sockets.extend(self.probe.sockets.iter().filter(|planned| planned.is_far_away).cloned());
        probe.unprivileged = self.probe.unprivileged;
        match remedy {
            Remedy::Elsewhere(_) => return None,
            // Who answers there is another matter.
            Remedy::Zone(..) if matches!(self.question.goal, Goal::Connect { .. }) => return None,
            Remedy::User(uid) => probe.uid = Some(*uid),
            _ => {}
        }
        let (local, remote) = (asked.goal.local(), own_remote(&asked));
        probe.furnish(&local.into_iter().chain(remote).collect::<Vec<_>>());
        Some(probe)
    }

    /// The sockets that are there after this step, of many that are alike one.
    fn sockets(&self, remedy: &Remedy) -> Vec<SocketSetup> {
        let asks = remedy.applied_to(self.question).options.reuse_port;
        let is_new = |other: &&Holder| self.holders.iter().all(|(holder, _)| holder.row != other.row);
        let listeners = self.listeners.iter().filter(is_new).map(|listener| (listener, false));
        let mut sockets: Vec<SocketSetup> = Vec::new();
        for (holder, is_in_the_way) in self.holders.iter().copied().chain(listeners) {
            let mut planned = self.planned(holder);
            planned.uid = planned.uid.filter(|_| asks);
            if planned.goes_through(remedy, holder, is_in_the_way)
                && !sockets.iter().any(|other| other.is_like(&planned))
            {
                sockets.push(planned);
            }
        }
        sockets
    }

    /// A socket as it is.
    fn planned(&self, holder: &Holder) -> SocketSetup {
        let sharing = self.sharing(holder);
        let uid = Some(holder.row.uid).filter(|&uid| uid != geteuid().as_raw());
        SocketSetup {
            kind: kind(holder),
            local: holder.row.local,
            remote: holder.four_tuple().map(|tuple| tuple.remote),
            device: holder.row.device,
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
            all.find(|other| other.row.state == TcpState::Listen && other.may_have_accepted(holder));
        let inherited = listener.map(|listener| listener.sharing).unwrap_or_default();
        Sharing {
            reuse_address: own.reuse_address.or(inherited.reuse_address),
            reuse_port: own.reuse_port.or(inherited.reuse_port),
            ..own
        }
    }
}

fn kind(holder: &Holder) -> SetupState {
    match (holder.row.state, stage(&holder.row)) {
        (_, Stage::Listening) => SetupState::Listening,
        (_, Stage::Waiting) => SetupState::Waiting,
        (TcpState::BoundInactive, _) => SetupState::Bound,
        (TcpState::CloseWait, _) => SetupState::RemoteClosed,
        _ if holder.row.inode == 0 => SetupState::Pending,
        _ => SetupState::Open,
    }
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
    Some(SocketSetup {
        kind: SetupState::Listening,
        local: remote,
        remote: None,
        device: None,
        reuse_address: true,
        reuse_port: true,
        v6_only: None,
        uid: None,
        ends: false,
        is_far_away: true,
    })
}

/// Where the call connects to, if that is an address of this host.
fn own_remote(question: &PlannedCall) -> Option<SocketAddr> {
    let Goal::Connect { remote, .. } = question.goal else { return None };
    route(remote, None, question.options.device).is_ok_and(|route| route.local).then_some(remote)
}

impl Probe {
    fn for_call(question: &PlannedCall) -> Self {
        let settings = Settings::read();
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
}

impl SocketSetup {
    /// Becomes what the step makes of it; whether it is there afterwards.
    fn goes_through(&mut self, remedy: &Remedy, holder: &Holder, is_in_the_way: bool) -> bool {
        let waits = self.kind == SetupState::Waiting;
        match remedy {
            Remedy::Wait(..) => !waits,
            Remedy::Restart(_, changes) | Remedy::NextTime(changes) if is_in_the_way => {
                changes.iter().for_each(|change| self.set(*change));
                true
            }
            Remedy::Stop(processes, leftover) => {
                let has_all = holder.processes.iter().all(|process| processes.contains(process));
                self.ends = !holder.processes.is_empty() && has_all;
                *leftover != AfterStop::Wait || !(self.ends || waits)
            }
            _ => true,
        }
    }

    fn set(&mut self, change: OptionChange) {
        match change {
            OptionChange::ReuseAddress => self.reuse_address = true,
            OptionChange::ReusePort => self.reuse_port = true,
            OptionChange::V6Only(on) => self.v6_only = Some(on),
        }
    }

    /// Whether the rules see no difference; where the two are connected to is none.
    fn is_like(&self, other: &Self) -> bool {
        let without_remote =
            |planned: &Self| Self { remote: planned.remote.map(|_| planned.local), ..planned.clone() };
        without_remote(self) == without_remote(other)
    }
}
