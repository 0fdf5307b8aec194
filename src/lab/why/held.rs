//! What gives a socket an address that others have.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process;
use std::time::Duration;

use nix::unistd::geteuid;

use super::claim::{claim, stage};
use super::free::{free_port, is_free, own_addresses};
use super::step::{Leftover, Set, Step};
use super::{Answer, Question};
use crate::kernel::holders::Holder;
use crate::kernel::owners::Process;
use crate::kernel::settings::Settings;
use crate::net::TcpState;
use crate::net::sharing_rule::{Claim, Newcomer, Overlap, Refusal, Stage, conflict};

/// `TCP_TIMEWAIT_LEN`, which no setting changes.
const TIME_WAIT: Duration = Duration::from_secs(60);
/// The sets of options that let sockets share an address, the smaller ones first.
const SETS: [&[Set]; 3] = [&[Set::ReuseAddress], &[Set::ReusePort], &[Set::ReuseAddress, Set::ReusePort]];

/// Sockets have the address that is asked for.
pub(super) struct Held<'a> {
    pub(super) question: &'a Question,
    pub(super) answer: &'a Answer,
    pub(super) settings: &'a Settings,
    pub(super) local: SocketAddr,
}

impl Held<'_> {
    /// The steps that help, cheapest first.
    pub(super) fn steps(&self) -> Vec<Step> {
        let set = self.set();
        let restart = if set.is_empty() { self.restart() } else { None };
        set.into_iter()
            .chain(restart)
            .chain(self.wait())
            .chain(self.another_address())
            .chain(self.another_port())
            .chain(self.user())
            .chain(self.stop())
            .chain(self.next_time())
            .collect()
    }

    fn with(&self, sets: &[Set]) -> Newcomer {
        let mut options = self.question.options.clone();
        sets.iter().for_each(|set| set.apply_to(&mut options));
        self.settings.newcomer(self.local.ip(), &options)
    }

    fn in_the_way(&self) -> impl Iterator<Item = &Holder> {
        self.answer.in_the_way.iter().map(|found| &found.holder)
    }

    /// Options on the new socket alone.
    fn set(&self) -> Vec<Step> {
        let mut found: Vec<&[Set]> = Vec::new();
        for sets in SETS.into_iter().chain([&[Set::V6Only(true)][..]]) {
            let is_more = found.iter().any(|smaller| smaller.iter().all(|set| sets.contains(set)));
            if !is_more
                && self.is_changed_by(sets)
                && may_have(&self.with(sets), self.in_the_way().map(claim))
            {
                found.push(sets);
            }
        }
        found.into_iter().map(|sets| Step::Set(sets.to_vec())).collect()
    }

    /// Whether the new socket lacks all of these.
    fn is_changed_by(&self, sets: &[Set]) -> bool {
        let options = &self.question.options;
        sets.iter().all(|set| match set {
            Set::ReuseAddress => !options.reuse_address,
            Set::ReusePort => !options.reuse_port,
            Set::V6Only(on) => options.v6_only.unwrap_or(self.settings.v6_only) != *on,
        })
    }

    /// Options on both sockets, where the old ones have processes that can be started again.
    fn restart(&self) -> Option<Step> {
        let processes = self.owners()?;
        let dual_stack =
            self.answer.in_the_way.iter().all(|found| {
                found.conflict.is_some_and(|conflict| conflict.overlap == Overlap::OldIsDualStack)
            });
        let sets = if dual_stack { Some(&[Set::V6Only(true)][..]) } else { self.helping_both() }?;
        Some(Step::Restart(processes, sets.to_vec()))
    }

    /// The least options with which both sockets share the address.
    fn helping_both(&self) -> Option<&'static [Set]> {
        let with = |holder: &Holder, sets: &[Set]| {
            let mut claim = claim(holder);
            for set in sets {
                match set {
                    Set::ReuseAddress => claim.sharing.reuse_address = Some(true),
                    Set::ReusePort => claim.sharing.reuse_port = Some(true),
                    Set::V6Only(on) => claim.sharing.v6_only = Some(*on),
                }
            }
            claim
        };
        SETS.into_iter()
            .find(|sets| may_have(&self.with(sets), self.in_the_way().map(|holder| with(holder, sets))))
    }

    fn wait(&self) -> Option<Step> {
        wait(self.in_the_way(), self.settings)
    }

    fn another_address(&self) -> Option<Step> {
        let mut others = own_addresses(self.local.ip()).into_iter();
        others.find(|&ip| is_free(ip, self.question, self.answer, self.settings)).map(Step::Address)
    }

    fn another_port(&self) -> Option<Step> {
        free_port(self.local.port().checked_add(1)?, self.question, self.settings).map(Step::Port)
    }

    /// SO_REUSEPORT shares among sockets of one user.
    fn user(&self) -> Option<Step> {
        let mut users = self.answer.in_the_way.iter().map(|found| match found.conflict?.refusal {
            Refusal::OtherUser(uid) => Some(uid),
            _ => None,
        });
        let uid = users.next()??;
        let new = Newcomer { uid, ..self.with(&[Set::ReusePort]) };
        // Those beside share the address with us, and perhaps not with that user.
        let all = self.in_the_way().chain(&self.answer.beside);
        may_have(&new, all.map(claim)).then_some(Step::User(uid))
    }

    fn stop(&self) -> Option<Step> {
        if self.in_the_way().all(|holder| stage(&holder.row) == Stage::Waiting) {
            return None;
        }
        let Some(processes) = self.owners() else {
            let named =
                if geteuid().is_root() { "it is in another PID namespace" } else { "root sees which it is" };
            return Some(Step::Elsewhere(format!("stop the process that has it: {named}")));
        };
        let left: Vec<Claim> = self.in_the_way().filter_map(|holder| after_end(holder, &processes)).collect();
        let leftover = if may_have(&self.with(&[]), left.iter().copied()) {
            Leftover::Nothing
        } else if may_have(&self.with(&[Set::ReuseAddress]), left.iter().copied()) {
            Leftover::ReuseAddress
        } else {
            Leftover::Wait
        };
        Some(Step::Stop(processes, leftover))
    }

    fn next_time(&self) -> Option<Step> {
        let all_wait = self.in_the_way().all(|holder| stage(&holder.row) == Stage::Waiting);
        let sets = all_wait.then(|| self.helping_both())??;
        let shared_already = may_have(&self.with(sets), self.in_the_way().map(claim));
        (!shared_already).then(|| Step::NextTime(sets.to_vec()))
    }

    /// The processes that have the sockets in the way; `None` where one may have an owner that is not known.
    fn owners(&self) -> Option<Vec<Process>> {
        let mut processes = BTreeMap::new();
        for holder in self.in_the_way().filter(|holder| holder.row.inode != 0) {
            if holder.processes.is_empty() {
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
fn after_end(holder: &Holder, processes: &[Process]) -> Option<Claim> {
    let claim = claim(holder);
    let stays = holder.processes.iter().any(|process| !processes.contains(process));
    if stays || claim.stage == Stage::Waiting {
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
/// Its timers are late by up to an eighth of what they were set to (kernel/time/timer.c).
pub(super) fn wait<'a>(holders: impl Iterator<Item = &'a Holder>, settings: &Settings) -> Option<Step> {
    let times = |holder: &Holder| {
        let timer = holder.row.timer.filter(|_| stage(&holder.row) == Stage::Waiting)?;
        let whole = if holder.row.state == TcpState::FinWait2 { settings.fin_timeout } else { TIME_WAIT };
        Some((timer.remaining, timer.remaining + whole / 8))
    };
    let (time, latest) = holders.map(times).reduce(|one, other| {
        let ((time, latest), (other, later)) = (one?, other?);
        Some((time.max(other), latest.max(later)))
    })??;
    Some(Step::Wait(time, latest))
}
