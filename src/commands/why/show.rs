//! The answer as text for a person.

use std::io::stdout;
use std::net::SocketAddr;

use crate::error::errno_name;
use crate::kernel::device::of_zone;
use crate::kernel::holders::{Holder, Source};
use crate::lab::why::{
    Advice, Answer, Goal, InTheWay, MetRule, NetworkNamespace, PlannedCall, TrialOutcome, Verdict,
};
use crate::net::OnDevice;
use crate::report::coloured;
use crate::text::{Escaped, few};
use nix::unistd::{Uid, User};

/// The verdict, who is in the way by which rule, what helps, what else is known.
pub(super) fn text(question: &PlannedCall, answer: &Answer) -> String {
    let paint = Paint::new();
    let mut lines = verdict(question, answer, &paint);
    lines.extend(answer.behind.iter().map(|behind| format!("behind that, {behind}")));
    let mut section = |title: &str, body: Vec<String>| {
        if !body.is_empty() {
            lines.extend([String::new(), format!("{}{title}{}", paint.strong, paint.plain)]);
            lines.extend(body.into_iter().map(|line| format!("  {line}")));
        }
    };
    section("in the way", in_the_way(&answer.all_in_the_way()));
    section("packet filters", shortened(answer.rules.iter().map(MetRule::to_string).collect()));
    section("what helps, cheapest first", advice(&answer.advice, &paint));
    section("also on this port, not conflicting", sockets(answer.beside.iter()));
    section("in other network namespaces, which share no port with this one", elsewhere(question, answer));
    section("notes", answer.remarks.clone());
    lines.join("\n") + "\n"
}

/// Escape sequences for a terminal, and nothing for anything else.
struct Paint {
    yes: &'static str,
    no: &'static str,
    strong: &'static str,
    faint: &'static str,
    plain: &'static str,
}

impl Paint {
    fn new() -> Self {
        if coloured(&stdout()) {
            let (yes, no) = ("\x1b[1;32m", "\x1b[1;31m");
            Self { yes, no, strong: "\x1b[1m", faint: "\x1b[2m", plain: "\x1b[0m" }
        } else {
            Self { yes: "", no: "", strong: "", faint: "", plain: "" }
        }
    }
}

fn verdict(question: &PlannedCall, answer: &Answer, paint: &Paint) -> Vec<String> {
    let asked = asked(question);
    let Paint { yes, no, plain, .. } = paint;
    match &answer.verdict {
        Verdict::Works if answer.is_half => {
            vec![format!("{yes}yes{plain}: {asked} would work, as far as this host decides")]
        }
        Verdict::Works => vec![format!("{yes}yes{plain}: {asked} would work")],
        Verdict::MayFail { call, errno, doubt } => {
            let (name, words) = (errno_name(*errno), errno.desc());
            vec![
                format!("{no}unknown{plain}: {asked} may fail at {call} with {name} ({words})"),
                doubt.to_string(),
            ]
        }
        Verdict::Fails { call, errno, reason } => {
            let (name, words) = (errno_name(*errno), errno.desc());
            vec![format!("{no}no{plain}: {asked} fails at {call} with {name} ({words})"), reason.to_string()]
        }
    }
}

/// The call in question, with its addresses and what stands between these.
fn call(goal: &Goal, between: &str) -> String {
    let named = |address: SocketAddr| OnDevice(address, of_zone(address));
    match *goal {
        Goal::Bind(local) => format!("bind {}", named(local)),
        Goal::Listen(local) => format!("listen {}", named(local)),
        Goal::Connect { local: Some(local), remote } => {
            format!("connect {}{between}{}", named(local), named(remote))
        }
        Goal::Connect { local: None, remote } => format!("connect {}", named(remote)),
    }
}

/// The call in question, and the interface of its socket.
fn asked(question: &PlannedCall) -> String {
    let on = question.options.device.map(|device| format!(" on {device}")).unwrap_or_default();
    format!("{}{on}", call(&question.goal, " -> "))
}

/// The sockets, and below those that one rule is about the rule.
fn in_the_way(found: &[&InTheWay]) -> Vec<String> {
    let mut lines = Vec::new();
    for of_one_rule in found.chunk_by(|one, other| one.conflict == other.conflict) {
        lines.extend(sockets(of_one_rule.iter().map(|found| &found.holder)));
        let conflict = of_one_rule.first().and_then(|found| found.conflict);
        let unless = if conflict.is_some_and(|conflict| conflict.is_by_guess) {
            "; whether it lacks IPV6_V6ONLY cannot be read"
        } else {
            ""
        };
        lines.extend(
            conflict.map(|conflict| format!("    {}: {}{unless}", conflict.overlap, conflict.refusal)),
        );
    }
    lines
}

fn advice(advice: &[Advice], paint: &Paint) -> Vec<String> {
    let Paint { yes, faint, plain, .. } = paint;
    let line = |(index, advice): (usize, &Advice)| {
        let tried = match &advice.trial {
            TrialOutcome::Works => format!("{yes}tried out{plain}"),
            TrialOutcome::NotMade(why) => format!("{faint}{why}{plain}"),
        };
        format!("{}. {} [{tried}]", index + 1, advice.remedy)
    };
    advice.iter().enumerate().map(line).collect()
}

fn sockets<'a>(holders: impl Iterator<Item = &'a Holder>) -> Vec<String> {
    shortened(holders.map(socket).collect())
}

/// A few of many.
fn shortened(mut lines: Vec<String>) -> Vec<String> {
    let more = few(&lines).1;
    if more > 0 {
        lines.truncate(lines.len() - more);
        lines.push(format!("and {more} more"));
    }
    lines
}

/// Sockets on the same port elsewhere, and how to ask there.
fn elsewhere(question: &PlannedCall, answer: &Answer) -> Vec<String> {
    let line = |(place, holder): &(NetworkNamespace, Holder)| {
        let asked = call(&question.goal, " ");
        format!("{} in {place}; to ask there: {} fourtuple why {asked}", socket(holder), place.command())
    };
    shortened(answer.elsewhere.iter().map(line).collect())
}

/// All that is known of a socket: its own words, and whose it is.
fn socket(holder: &Holder) -> String {
    let unknown =
        if holder.source == Source::Unknown && holder.row.inode != 0 { ", options unknown" } else { "" };
    let user = match (holder.row.inode, holder.processes.is_empty()) {
        (0, _) | (_, true) => String::new(),
        _ => format!(", uid {}", user(holder.row.uid)),
    };
    format!("{holder}{unknown}{user}")
}

/// The number of a user, and the name where there is one.
fn user(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => format!("{uid} ({})", Escaped(user.name.as_bytes())),
        _ => uid.to_string(),
    }
}
