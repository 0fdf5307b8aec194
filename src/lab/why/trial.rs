//! Which steps help where they are taken: each is tried out in a scratch network.

use nix::errno::Errno;

use super::probe::{Probe, ProbeOutcome, Probes};
use super::probe_plan::ProbePlan;
use super::{Advice, Answer, PlannedCall, TrialOutcome};
use crate::error::errno_name;
use crate::kernel::sysctl::setting;
use crate::sandbox::namespace::Sysctl;
use crate::sandbox::scratch;

/// The settings that decide how the call ends.
const SETTINGS: [&str; 7] = [
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_timestamps",
    "net.ipv4.tcp_tw_reuse",
    "net.ipv4.ip_nonlocal_bind",
    "net.ipv6.ip_nonlocal_bind",
];

impl Answer {
    /// Tries each step of the advice out in a scratch network; one that does not help there is dropped.
    ///
    /// Takes some milliseconds a step. Where the situation cannot be made again, or namespaces are refused, the advice
    /// stays and says so.
    pub fn try_out(&mut self, question: &PlannedCall) {
        let Some((call, errno, _)) = self.verdict.failure() else { return };
        let tried =
            ProbePlan::for_answer(question, self).and_then(|plan| probe_each(&plan, self, call, errno));
        match tried {
            Ok(outcomes) => {
                let advice = std::mem::take(&mut self.advice).into_iter().zip(outcomes);
                self.advice = advice.filter_map(|(advice, outcome)| judged(advice, outcome)).collect();
            }
            Err(why) => self.advice.iter_mut().for_each(|advice| advice.trial = not_tried(&why)),
        }
    }
}

/// Probes each remedy that can be, or says why it was not; or why none was. The first probe shows that the situation is as
/// it is here.
fn probe_each(
    plan: &ProbePlan,
    answer: &Answer,
    call: &str,
    errno: Errno,
) -> Result<Vec<Result<ProbeOutcome, String>>, String> {
    let probes: Vec<Result<Probe, String>> =
        answer.advice.iter().map(|advice| plan.after(&advice.remedy)).collect();
    if probes.iter().all(Result::is_err) {
        return Ok(probes.into_iter().filter_map(Result::err).map(Err).collect());
    }
    let all = std::iter::once(plan.probe.clone()).chain(probes.iter().flatten().cloned()).collect();
    let question = Probes { sysctls: sysctls(), probes: all };
    let outcomes = scratch::ask(&question, &[]).map_err(|error| first_line(&error.to_string()))?;
    let mut outcomes = outcomes.into_iter();
    match outcomes.next() {
        Some(ProbeOutcome::Fails(failed, code)) if failed == call && Errno::from_raw(code) == errno => {}
        Some(ProbeOutcome::NotMade(why)) => {
            return Err(format!("it could not be made again: {}", first_line(&why)));
        }
        Some(ProbeOutcome::Fails(failed, code)) => {
            let errno = errno_name(Errno::from_raw(code));
            return Err(format!("made again, {failed} answered {errno}"));
        }
        Some(ProbeOutcome::Works) | None => return Err("made again, it worked".to_owned()),
    }
    let outcome = |probe: Result<Probe, String>| {
        probe.and_then(|_| outcomes.next().ok_or_else(|| "not tried".to_owned()))
    };
    Ok(probes.into_iter().map(outcome).collect())
}

/// A step that did not help is none.
fn judged(advice: Advice, outcome: Result<ProbeOutcome, String>) -> Option<Advice> {
    let trial = match outcome {
        Ok(ProbeOutcome::Works) => TrialOutcome::Works,
        Ok(ProbeOutcome::Fails(..)) => return None,
        Ok(ProbeOutcome::NotMade(why)) => not_tried(&first_line(&why)),
        Err(words) => TrialOutcome::NotMade(words),
    };
    Some(Advice { trial, ..advice })
}

fn not_tried(why: &str) -> TrialOutcome {
    TrialOutcome::NotMade(format!("not tried: {why}"))
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn sysctls() -> Vec<Sysctl> {
    let sysctl = |key: &&str| format!("{key}={}", setting(key)?).parse().ok();
    SETTINGS.iter().filter_map(sysctl).collect()
}
