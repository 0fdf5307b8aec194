//! What gives a socket an address that others have.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process;

use super::claim::{changed, claim, stage, waits_to_be_accepted};
use super::free::{free_addresses, free_port};
use super::remedy::{AfterStop, OptionChange, Remedy};
use super::{Answer, InTheWay, PlannedCall, inheritance, orphan, sight, supervised};
use crate::kernel::holders::{Holder, Ownership};
use crate::kernel::owners::Process;
use crate::kernel::settings::Settings;
use crate::kernel::time_wait::TIME_WAIT;
use crate::net::TcpState;
use crate::net::sharing_rule::{Claim, Newcomer, Overlap, Refusal, Stage, conflict};

/// The sets of options that let sockets share an address, the smaller ones first.
const SETS: [&[OptionChange]; 3] = [
    &[OptionChange::ReuseAddress],
    &[OptionChange::ReusePort],
    &[OptionChange::ReuseAddress, OptionChange::ReusePort],
];

/// Sockets have the address that is asked for.
pub(super) struct HeldAddress<'a> {
    pub(super) question: &'a PlannedCall,
    pub(super) answer: &'a Answer,
    /// Those.
    pub(super) in_the_way: &'a [InTheWay],
    pub(super) settings: &'a Settings,
    pub(super) local: SocketAddr,
}

impl HeldAddress<'_> {
    /// The steps that help, cheapest first.
    pub(super) fn steps(&self) -> Vec<Remedy> {
        let changes = self.option_changes();
        let restart = if changes.is_empty() { self.restart() } else { None };
        changes
            .into_iter()
            .chain(restart)
            .chain(self.wait())
            .chain(self.another_address())
            .chain(self.another_port())
            .chain(self.user())
            .chain(self.stop())
            .chain(orphan::end(self.in_the_way()))
            .chain(self.next_time())
            .collect()
    }

    fn with(&self, changes: &[OptionChange]) -> Newcomer {
        let mut options = self.question.options.clone();
        changes.iter().for_each(|change| change.apply_to(&mut options));
        self.settings.newcomer(self.local, &options)
    }

    /// The sockets that are in the way for sure; where none is, those that may be.
    fn found(&self) -> impl Iterator<Item = &InTheWay> {
        let some_are_sure = self.in_the_way.iter().any(InTheWay::is_certain);
        self.in_the_way.iter().filter(move |found| !(some_are_sure && found.is_by_guess()))
    }

    fn in_the_way(&self) -> impl Iterator<Item = &Holder> {
        self.found().map(|found| &found.holder)
    }

    /// Options on the new socket alone.
    fn option_changes(&self) -> Vec<Remedy> {
        let mut found: Vec<&[OptionChange]> = Vec::new();
        for changes in SETS.into_iter().chain([&[OptionChange::V6Only(true)][..]]) {
            let is_more = found.iter().any(|smaller| smaller.iter().all(|change| changes.contains(change)));
            if !is_more
                && self.is_changed_by(changes)
                && may_have(&self.with(changes), self.in_the_way().map(claim))
            {
                found.push(changes);
            }
        }
        found.into_iter().map(|changes| Remedy::Set(changes.to_vec())).collect()
    }

    /// Whether the new socket lacks all of these.
    fn is_changed_by(&self, changes: &[OptionChange]) -> bool {
        let options = &self.question.options;
        changes.iter().all(|change| match change {
            OptionChange::ReuseAddress => !options.reuse_address,
            OptionChange::ReusePort => !options.reuse_port,
            OptionChange::V6Only(on) => options.v6_only.unwrap_or(self.settings.v6_only) != *on,
        })
    }

    /// Options on both sockets, where the old ones have processes that can be started again.
    fn restart(&self) -> Option<Remedy> {
        let processes = self.owners()?;
        let is_left = self.in_the_way().any(|holder| inheritance::heir(holder).is_some());
        if is_left || supervised::other_way(&processes, self.local).is_some() {
            return None;
        }
        let dual_stack = self
            .found()
            .all(|found| found.conflict.is_some_and(|conflict| conflict.overlap == Overlap::OldIsDualStack));
        let changes = if dual_stack { Some(&[OptionChange::V6Only(true)][..]) } else { self.helping_both() }?;
        Some(Remedy::Restart(processes, changes.to_vec()))
    }

    /// The least options with which both sockets share the address.
    fn helping_both(&self) -> Option<&'static [OptionChange]> {
        SETS.into_iter().find(|changes| {
            may_have(&self.with(changes), self.in_the_way().map(|holder| changed(claim(holder), changes)))
        })
    }

    fn wait(&self) -> Option<Remedy> {
        let waits = |holder: &Holder| stage(&holder.row) == Stage::Waiting;
        let found = self.in_the_way.iter().filter(|found| !found.is_by_guess() || waits(&found.holder));
        wait(found.map(|found| &found.holder), self.settings)
    }

    fn another_address(&self) -> impl Iterator<Item = Remedy> {
        let free = free_addresses(self.local.ip(), self.question, self.answer, self.settings);
        free.into_iter().map(Remedy::Address)
    }

    fn another_port(&self) -> Option<Remedy> {
        free_port(self.local.port().checked_add(1)?, self.question, self.settings).map(Remedy::Port)
    }

    /// SO_REUSEPORT shares among sockets of one user.
    fn user(&self) -> Option<Remedy> {
        let mut users = self.found().map(|found| match found.conflict?.refusal {
            Refusal::OtherUser(uid) => Some(uid),
            _ => None,
        });
        let uid = users.next()??;
        let new = Newcomer { uid, ..self.with(&[OptionChange::ReusePort]) };
        // Those beside share the address with us, and perhaps not with that user.
        let all = self.in_the_way().chain(&self.answer.beside);
        may_have(&new, all.map(claim)).then_some(Remedy::User(uid))
    }

    fn stop(&self) -> Option<Remedy> {
        let known: Vec<Process> = self.in_the_way().flat_map(|holder| &holder.processes).cloned().collect();
        let words = supervised::other_way(&known, self.local);
        if let Some(words) = words.or_else(|| self.in_the_way().find_map(sight::stop)) {
            return Some(Remedy::Elsewhere(words));
        }
        let processes = self.owners()?;
        let left: Vec<Claim> = self.in_the_way().filter_map(|holder| after_end(holder, &processes)).collect();
        let leftover = if may_have(&self.with(&[]), left.iter().copied()) {
            AfterStop::Nothing
        } else if may_have(&self.with(&[OptionChange::ReuseAddress]), left.iter().copied()) {
            AfterStop::ReuseAddress
        } else {
            AfterStop::Wait
        };
        Some(Remedy::Stop(processes, leftover))
    }

    fn next_time(&self) -> Option<Remedy> {
        let all_wait = self.in_the_way().all(|holder| stage(&holder.row) == Stage::Waiting);
        let changes = all_wait.then(|| self.helping_both())??;
        let shared_already = may_have(&self.with(changes), self.in_the_way().map(claim));
        (!shared_already).then(|| Remedy::NextTime(changes.to_vec()))
    }

    /// The processes that have the sockets in the way; `None` where not all are known, or none is another than this one.
    fn owners(&self) -> Option<Vec<Process>> {
        let mut processes = BTreeMap::new();
        for holder in self.in_the_way().filter(|holder| holder.row.inode != 0) {
            if holder.ownership() != Ownership::Known {
                return None;
            }
            processes.extend(holder.processes.iter().map(|process| (process.pid, process.clone())));
        }
        processes.remove(&process::id());
        (!processes.is_empty()).then(|| processes.into_values().collect())
    }
}

/// Whether a socket may have the address beside these, as far as is known.
fn may_have(new: &Newcomer, mut claims: impl Iterator<Item = Claim>) -> bool {
    claims.all(|claim| conflict(new, &claim).is_none_or(|conflict| !conflict.is_certain()))
}

/// What a socket holds after these processes have ended.
pub(super) fn after_end(holder: &Holder, processes: &[Process]) -> Option<Claim> {
    let claim = claim(holder);
    let stays = holder.processes.iter().any(|process| !processes.contains(process));
    // What no process has any more ends with none; what waits to be accepted, with its listener.
    let is_orphan = holder.row.inode == 0 && !waits_to_be_accepted(holder);
    if stays || is_orphan {
        return Some(claim);
    }
    match holder.row.state {
        // RFC 9293 §3.6: who closes first keeps TIME-WAIT.
        TcpState::Established | TcpState::FinWait1 | TcpState::FinWait2 | TcpState::Closing
            if !holder.processes.is_empty() =>
        {
            Some(Claim { stage: Stage::Waiting, ..claim })
        }
        _ => None,
    }
}

/// Until all of these are gone, where the kernel forgets each by itself.
///
/// Its timers are late by up to an eighth of what they were set to (kernel/time/timer.c). FIN-WAIT-2 becomes TIME-WAIT when
/// the other side closes, which may be at its end.
pub(super) fn wait<'a>(holders: impl Iterator<Item = &'a Holder>, settings: &Settings) -> Option<Remedy> {
    let times = |holder: &Holder| {
        let timer = holder.row.timer.filter(|_| stage(&holder.row) == Stage::Waiting)?;
        let latest = match holder.row.state {
            TcpState::FinWait2 => timer.remaining + settings.fin_timeout / 8 + TIME_WAIT,
            _ => timer.remaining,
        };
        Some((timer.remaining, latest + TIME_WAIT / 8))
    };
    let (time, latest) = holders.map(times).reduce(|one, other| {
        let ((time, latest), (other, later)) = (one?, other?);
        Some((time.max(other), latest.max(later)))
    })??;
    Some(Remedy::Wait(time, latest))
}
