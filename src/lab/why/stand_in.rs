//! What stands in a scratch network for a socket that is here, and in what it may differ from that.

use nix::unistd::geteuid;

use super::claim::{changed, claim, stage, waits_to_be_accepted};
use super::held::after_end;
use super::remedy::{AfterStop, OptionChange, Remedy};
use super::setup::{SetupState, SocketSetup};
use crate::kernel::holders::Holder;
use crate::net::TcpState;
use crate::net::sharing_rule::{Newcomer, Sharing, Stage, conflict, overlap};

/// A socket as it is made again, among `all` of its port.
///
/// An option that is not known is that of the listener around it, or one with which it can be there beside the others: what
/// depends on it is not tried.
pub(super) fn stand_in<'a>(holder: &'a Holder, all: impl Iterator<Item = &'a Holder> + Clone) -> SocketSetup {
    let Sharing { reuse_address, reuse_port, v6_only } = holder.sharing;
    let is_known = reuse_address.and(reuse_port).is_some();
    let listener = if is_known || holder.row.inode != 0 { None } else { listener(holder, all.clone()) };
    let owner = listener.filter(|_| waits_to_be_accepted(holder)).unwrap_or(holder);
    let inherited = listener.map_or_else(|| beside(holder, all), |listener| listener.sharing);
    let uid = Some(owner.row.uid).filter(|&uid| uid != geteuid().as_raw());
    SocketSetup {
        kind: kind(holder),
        local: holder.row.local,
        remote: holder.four_tuple().map(|tuple| tuple.remote),
        device: holder.row.device,
        reuse_address: reuse_address.or(inherited.reuse_address).unwrap_or(false),
        reuse_port: reuse_port.or(inherited.reuse_port).unwrap_or(false),
        v6_only,
        uid: uid.filter(|_| stage(&holder.row) != Stage::Waiting),
        ends: false,
        is_far_away: false,
    }
}

/// The one that accepts it: a socket on the address itself before one on the wildcard.
pub(super) fn listener<'a>(holder: &Holder, all: impl Iterator<Item = &'a Holder>) -> Option<&'a Holder> {
    let listening =
        all.filter(|other| other.row.state == TcpState::Listen && other.may_have_accepted(holder));
    listening.min_by_key(|other| other.row.local.ip().is_unspecified())
}

/// The options with which a socket can be there beside the known ones that have its address too.
fn beside<'a>(holder: &Holder, all: impl Iterator<Item = &'a Holder>) -> Sharing {
    let overlaps = |other: &&Holder| {
        let v6_only = other.sharing.v6_only.unwrap_or(false);
        overlap(other.row.local.ip(), v6_only, holder.row.local.ip(), holder.sharing.v6_only).is_some()
    };
    let is_on = |one: Option<bool>, other: Option<bool>| Some(one == Some(true) || other == Some(true));
    all.filter(overlaps).fold(Sharing::default(), |found, other| Sharing {
        reuse_address: is_on(found.reuse_address, other.sharing.reuse_address),
        reuse_port: is_on(found.reuse_port, other.sharing.reuse_port),
        ..found
    })
}

fn kind(holder: &Holder) -> SetupState {
    match (holder.row.state, stage(&holder.row)) {
        (_, Stage::Listening) => SetupState::Listening,
        (_, Stage::Waiting) => SetupState::Waiting,
        (TcpState::CloseWait, _) if waits_to_be_accepted(holder) => SetupState::PendingRemoteClosed,
        _ if waits_to_be_accepted(holder) => SetupState::Pending,
        (TcpState::CloseWait, _) => SetupState::RemoteClosed,
        (TcpState::BoundInactive, _) => SetupState::Bound,
        (TcpState::SynSent | TcpState::SynReceived, _) => SetupState::Opening,
        _ => SetupState::Open,
    }
}

/// Why a step may come to something else here than where it is tried: by this socket, that `is_in_the_way` or not.
pub(super) fn doubt(holder: &Holder, is_in_the_way: bool, step: &Remedy, new: &Newcomer) -> Option<String> {
    let mut claim = claim(holder);
    for part in step.parts() {
        match part {
            Remedy::Wait(..) if claim.stage == Stage::Waiting => return None,
            Remedy::Restart(_, changes) | Remedy::NextTime(changes) if is_in_the_way => {
                claim = changed(claim, changes);
            }
            Remedy::Stop(processes, _) if ends(part, holder) => {
                if matches!(holder.row.state, TcpState::FinWait1 | TcpState::Closing | TcpState::LastAck) {
                    return Some(format!("a connection in {} cannot be made again", holder.row.state));
                }
                claim = after_end(holder, processes)?;
            }
            _ => {}
        }
    }
    let is_certain = conflict(new, &claim).is_none_or(|conflict| conflict.is_certain());
    let options = || format!("the options of {} {} are not known", holder.row.state, holder.row.local);
    (!is_certain).then(options)
}

/// Whether by this step all processes end that have the socket.
fn ends(step: &Remedy, holder: &Holder) -> bool {
    let Remedy::Stop(processes, _) = step else { return false };
    !holder.processes.is_empty() && holder.processes.iter().all(|process| processes.contains(process))
}

impl SocketSetup {
    /// Becomes what the step makes of it; whether it is there afterwards.
    pub(super) fn goes_through(&mut self, step: &Remedy, holder: &Holder, is_in_the_way: bool) -> bool {
        let waits = self.kind == SetupState::Waiting;
        step.parts().iter().all(|part| match part {
            Remedy::Wait(..) => !waits,
            Remedy::Restart(_, changes) | Remedy::NextTime(changes) if is_in_the_way => {
                changes.iter().for_each(|change| self.set(*change));
                true
            }
            Remedy::Stop(_, leftover) => {
                self.ends = ends(part, holder);
                *leftover != AfterStop::Wait || !(self.ends || waits)
            }
            _ => true,
        })
    }

    fn set(&mut self, change: OptionChange) {
        match change {
            OptionChange::ReuseAddress => self.reuse_address = true,
            OptionChange::ReusePort => self.reuse_port = true,
            OptionChange::V6Only(on) => self.v6_only = Some(on),
        }
    }

    /// Whether the rules about addresses see no difference; where the two are connected to is none.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let without_remote =
            |planned: &Self| Self { remote: planned.remote.map(|_| planned.local), ..planned.clone() };
        without_remote(self) == without_remote(other)
    }
}
