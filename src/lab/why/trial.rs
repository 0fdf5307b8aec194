//! Which steps help where they are taken: each is tried out in a scratch network.

use nix::errno::Errno;

use super::rehearsal::{Act, Played, Rehearsal};
use super::situation::Situation;
use super::{Advice, Answer, Question, Trial, Verdict};
use crate::error::errno_name;
use crate::kernel::settings::setting;
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
    pub fn try_out(&mut self, question: &Question) {
        let (call, errno) = match &self.verdict {
            Verdict::Works => return,
            Verdict::MayFail => ("bind", Errno::EADDRINUSE),
            Verdict::Fails { call, errno, .. } => (*call, *errno),
        };
        let rehearsed =
            Situation::of(question, self).and_then(|situation| rehearse(&situation, self, call, errno));
        match rehearsed {
            Ok(played) => {
                let advice = std::mem::take(&mut self.advice).into_iter().zip(played);
                self.advice = advice.filter_map(|(advice, played)| judged(advice, played)).collect();
            }
            Err(why) => self.advice.iter_mut().for_each(|advice| advice.trial = not_tried(&why)),
        }
    }
}

/// Plays each step that can be; or says why none was. The first act shows that the situation is as it is here.
fn rehearse(
    situation: &Situation,
    answer: &Answer,
    call: &str,
    errno: Errno,
) -> Result<Vec<Option<Played>>, String> {
    let acts: Vec<Option<Act>> = answer.advice.iter().map(|advice| situation.after(&advice.step)).collect();
    if acts.iter().all(Option::is_none) {
        return Ok(vec![None; acts.len()]);
    }
    let all = std::iter::once(situation.act.clone()).chain(acts.iter().flatten().cloned()).collect();
    let rehearsal = Rehearsal { sysctls: sysctls(), acts: all };
    let played = scratch::ask(&rehearsal, &[]).map_err(|error| first_line(&error.to_string()))?;
    let mut played = played.into_iter();
    match played.next() {
        Some(Played::Fails(failed, code)) if failed == call && Errno::from_raw(code) == errno => {}
        Some(Played::NotMade(why)) => {
            return Err(format!("it could not be made again: {}", first_line(&why)));
        }
        Some(Played::Fails(failed, code)) => {
            let errno = errno_name(Errno::from_raw(code));
            return Err(format!("made again, {failed} answered {errno}"));
        }
        Some(Played::Works) | None => return Err("made again, it worked".to_owned()),
    }
    Ok(acts.iter().map(|act| act.as_ref().and_then(|_| played.next())).collect())
}

/// A step that did not help is none.
fn judged(advice: Advice, played: Option<Played>) -> Option<Advice> {
    let trial = match played {
        Some(Played::Works) => Trial::Works,
        Some(Played::Fails(..)) => return None,
        Some(Played::NotMade(why)) => not_tried(&first_line(&why)),
        None => return Some(advice),
    };
    Some(Advice { trial, ..advice })
}

fn not_tried(why: &str) -> Trial {
    Trial::NotMade(format!("not tried: {why}"))
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn sysctls() -> Vec<Sysctl> {
    let sysctl = |key: &&str| format!("{key}={}", setting(key)?).parse().ok();
    SETTINGS.iter().filter_map(sysctl).collect()
}
