//! Several things in the way: what clears all of them, alone or together.

use nix::errno::Errno;

use super::remedy::Remedy;
use super::{PlannedCall, Reason};
use crate::kernel::settings::Settings;
use crate::net;

/// How many steps are told that take more than one change.
const MOST: usize = 6;

/// One thing in the way, and what clears it.
pub(super) struct Obstructed {
    pub(super) call: &'static str,
    pub(super) errno: Errno,
    pub(super) reason: Reason,
    pub(super) steps: Vec<Remedy>,
}

/// What makes the call work: first the steps that clear everything by themselves, then some that do so together.
///
/// Of those, each step comes once with the cheapest ones against the rest.
pub(super) fn steps(all: Vec<Obstructed>, question: &PlannedCall, settings: &Settings) -> Vec<Remedy> {
    let mut found: Vec<Remedy> = Vec::new();
    for (index, of) in all.iter().enumerate() {
        for step in of.steps.iter().filter_map(|step| alone(step, index, &all, question, settings)) {
            if !found.contains(&step) {
                found.push(step);
            }
        }
    }
    let is_needed = |step: &&Remedy| found.iter().all(|other| other.name() != step.name());
    let lists: Vec<Vec<&Remedy>> = all.iter().map(|of| of.steps.iter().filter(is_needed).collect()).collect();
    let together = combinations(&lists);
    found.extend(together);
    found
}

/// The step, if it clears what others are about too: `index` is that of its own.
fn alone(
    step: &Remedy,
    index: usize,
    all: &[Obstructed],
    question: &PlannedCall,
    settings: &Settings,
) -> Option<Remedy> {
    let others = all.iter().enumerate().filter(|(other, _)| *other != index);
    others.map(|(_, other)| other).try_fold(step.clone(), |step, other| {
        if clears(&step, other, question, settings) {
            return Some(step);
        }
        let same = other.steps.iter().filter(|theirs| matches!(theirs, Remedy::Stop(..) | Remedy::Wait(..)));
        let mut same = same.filter(|theirs| theirs.name() == step.name());
        same.find_map(|theirs| step.merged(theirs))
    })
}

/// Whether a step against one thing in the way clears another one too.
///
/// An address or a port is only advised that nobody has.
fn clears(step: &Remedy, other: &Obstructed, question: &PlannedCall, settings: &Settings) -> bool {
    match (step, other.call, &other.reason) {
        (Remedy::Address(_) | Remedy::Zone(..) | Remedy::Port(_), _, Reason::Held | Reason::FourTuple) => {
            true
        }
        (Remedy::Address(_) | Remedy::Zone(..) | Remedy::Port(_), "bind", _) => {
            let PlannedCall { goal, options } = step.applied_to(question);
            let refusals =
                goal.local().map(|local| net::refusals(local, &options, settings.unprivileged_port_start));
            refusals.is_some_and(|refusals| refusals.is_ok_and(|all| !all.contains(&other.errno)))
        }
        (Remedy::Remote(..), "connect", _) => true,
        _ => false,
    }
}

/// One step of each list, so that each comes once; none where a list is empty.
fn combinations(lists: &[Vec<&Remedy>]) -> Vec<Remedy> {
    let Some(cheapest) = lists.iter().map(|list| list.first().copied()).collect::<Option<Vec<&Remedy>>>()
    else {
        return Vec::new();
    };
    let with = |index: usize, step| {
        let parts = cheapest.iter().enumerate();
        parts.map(|(other, &cheapest)| if other == index { step } else { cheapest }).collect::<Vec<_>>()
    };
    let others = lists
        .iter()
        .enumerate()
        .flat_map(|(index, list)| list.iter().skip(1).map(move |&step| (index, step)).collect::<Vec<_>>());
    let all = std::iter::once(cheapest.clone()).chain(others.map(|(index, step)| with(index, step)));
    all.filter_map(|parts| together(&parts)).take(MOST).collect()
}

/// These steps as one, where they go together.
fn together(steps: &[&Remedy]) -> Option<Remedy> {
    let mut parts: Vec<Remedy> = Vec::new();
    for step in steps {
        match parts.iter_mut().find(|part| part.name() == step.name() && part.name() != "elsewhere") {
            Some(part) => *part = part.merged(step)?,
            None => parts.push((*step).clone()),
        }
    }
    // Each was found to be free without the other.
    let is_moved = |wanted: &str| parts.iter().any(|part| part.name() == wanted);
    if is_moved("address") && is_moved("port") {
        return None;
    }
    if parts.len() > 1 { Some(Remedy::Together(parts)) } else { parts.pop() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::remedy::{AfterStop, OptionChange};
    use super::*;
    use crate::kernel::owners::Process;

    fn stop(pid: u32, left: AfterStop) -> Remedy {
        Remedy::Stop(vec![Process { pid, name: b"a".to_vec(), supervisor: None }], left)
    }

    fn words(lists: &[Vec<Remedy>]) -> Vec<String> {
        let lists: Vec<Vec<&Remedy>> = lists.iter().map(|list| list.iter().collect()).collect();
        combinations(&lists).iter().map(Remedy::to_string).collect()
    }

    #[test]
    fn each_step_comes_once_with_the_cheapest_of_the_others() {
        let right = Remedy::Elsewhere("a right".to_owned());
        let lists = [
            vec![right, Remedy::Port(0)],
            vec![Remedy::Address([127, 0, 0, 2].into()), stop(1, AfterStop::Nothing)],
        ];
        assert_eq!(
            words(&lists),
            ["a right; and then: another address: 127.0.0.2", "a right; and then: stop pid 1 (a)"],
            "a port that is free at one address may be taken at another"
        );
        assert!(words(&[lists[0].clone(), Vec::new()]).is_empty(), "nothing helps against one of them");
    }

    #[test]
    fn two_of_a_kind_come_to_one() {
        let off = Remedy::Set(vec![OptionChange::V6Only(false)]);
        let shared = Remedy::Set(vec![OptionChange::ReuseAddress]);
        assert_eq!(words(&[vec![off], vec![shared]]), ["IPV6_V6ONLY off and SO_REUSEADDR on the new socket"]);
        let [short, long] =
            [1, 2].map(|seconds| Remedy::Wait(Duration::from_secs(seconds), Duration::from_secs(3)));
        assert_eq!(words(&[vec![short], vec![long]]), ["wait 2.0s, 3.0s at most"]);
        let stops = [stop(1, AfterStop::Nothing), stop(2, AfterStop::Wait)];
        let expected = "stop pid 1 (a) and pid 2 (a), and wait a minute: its connections leave TIME-WAIT";
        assert_eq!(words(&stops.map(|stop| vec![stop])), [expected]);
        let ports = [3001, 3002].map(|port| vec![Remedy::Port(port)]);
        assert!(words(&ports).is_empty(), "one socket has one port");
    }
}
