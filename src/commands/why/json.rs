//! The answer as JSON Lines.

use crate::cli::{say_owner, say_sharing, say_timer, socket_line};
use crate::error::errno_name;
use crate::kernel::device::of_zone;
use crate::kernel::holders::{Holder, Source};
use crate::lab::why::{Advice, Answer, Goal, MetRule, PlannedCall, Remedy, TrialOutcome, Verdict};
use crate::net::OnDevice;
use crate::text::{Format, Line};

/// One object a line: the verdict, what is behind it, each socket in the way, each step, each other socket, each remark.
pub(super) fn json(question: &PlannedCall, answer: &Answer) -> String {
    let behind = answer.behind.iter().map(|behind| {
        let mut line = Line::new(Format::Json, "behind");
        failure(&mut line, &behind.verdict);
        line.mark("unknown", behind.verdict.is_unknown());
        line
    });
    let in_the_way = answer.all_in_the_way().into_iter().map(|found| {
        let mut line = holder("in-the-way", &found.holder);
        if let Some(conflict) = found.conflict {
            line.field("overlap", conflict.overlap).field("refusal", conflict.refusal);
        }
        line
    });
    let beside = answer.beside.iter().map(|beside| holder("beside", beside));
    let elsewhere = answer.elsewhere.iter().map(|(place, found)| {
        let mut line = holder("elsewhere", found);
        line.field("place", place).field("command", place.command());
        line
    });
    let advice = answer.advice.iter().map(|found| advice(question, found));
    let rules = answer.rules.iter().map(rule);
    let remarks = answer.remarks.iter().map(|remark| {
        let mut line = Line::new(Format::Json, "remark");
        line.field("words", remark);
        line
    });
    let lines = std::iter::once(verdict(question, answer)).chain(behind).chain(in_the_way).chain(rules);
    let lines = lines.chain(advice).chain(beside).chain(elsewhere).chain(remarks);
    lines.map(|line| line.finish() + "\n").collect()
}

/// The call, its addresses and the options of its socket.
fn call(line: &mut Line, question: &PlannedCall) {
    let named = |address| OnDevice(address, of_zone(address));
    line.field("call", question.goal.call()).field_if_any("local", question.goal.local().map(named));
    if let Goal::Connect { remote, .. } = question.goal {
        line.field("remote", named(remote));
    }
    let options = &question.options;
    line.field_if_any("device", options.device);
    line.mark("reuse-address", options.reuse_address)
        .mark("reuse-port", options.reuse_port)
        .optional("v6-only", options.v6_only);
}

fn verdict(question: &PlannedCall, answer: &Answer) -> Line {
    let mut line = Line::new(Format::Json, "verdict");
    call(&mut line, question);
    line.mark("works", answer.verdict == Verdict::Works).mark("remote-unknown", answer.is_half);
    line.mark("unknown", answer.verdict.is_unknown());
    failure(&mut line, &answer.verdict);
    line
}

/// The call that fails, or may, and what its errno means, or what is not known.
fn failure(line: &mut Line, verdict: &Verdict) {
    let Some((call, errno, _)) = verdict.failure() else { return };
    line.field("fails-at", call).field("errno", errno_name(errno));
    match verdict {
        Verdict::Works => {}
        Verdict::MayFail { doubt, .. } => {
            line.field("reason", doubt.name()).field("because", doubt);
        }
        Verdict::Fails { reason, .. } => {
            line.field("reason", reason.name()).field("because", reason);
        }
    }
}

/// A rule of a packet filter that decides, or may.
fn rule(found: &MetRule) -> Line {
    let mut line = Line::new(Format::Json, "filter-rule");
    let ruling = &found.ruling;
    line.field("rule", &ruling.place).field("effect", ruling.effect.name());
    line.mark("certain", ruling.is_certain()).mark("reply", ruling.is_reply);
    line.field("clients", found.clients.name());
    line.field_if_any("to", ruling.effect.address());
    line.field_if_any("errno", ruling.errno().map(errno_name));
    line.field_if_any("depends", ruling.depends.as_ref());
    line.field_if_any("matches", Some(&ruling.matches).filter(|matches| !matches.is_empty()));
    line.field("command", &ruling.command).field("words", found);
    line
}

/// A step, and the call as it is to be made after it.
fn advice(question: &PlannedCall, advice: &Advice) -> Line {
    let mut line = Line::new(Format::Json, "advice");
    line.field("step", advice.remedy.name()).field("words", &advice.remedy);
    line.mark("tried-out", advice.trial == TrialOutcome::Works);
    if let TrialOutcome::NotMade(why) = &advice.trial {
        line.field("reason", why);
    }
    advice.remedy.parts().iter().for_each(|part| particulars(&mut line, part));
    call(&mut line, &advice.remedy.applied_to(question));
    line
}

/// What a program needs to take the step, beside the call.
fn particulars(line: &mut Line, step: &Remedy) {
    match step {
        Remedy::Restart(processes, _) | Remedy::Stop(processes, _) => {
            line.list("processes", processes);
            let commands = step.commands();
            if !commands.is_empty() {
                line.list("commands", &commands);
            }
        }
        Remedy::Wait(time, latest) => {
            line.duration("wait", *time).duration("wait-at-most", *latest);
        }
        Remedy::User(uid) => {
            line.number("uid", (*uid).into());
        }
        _ => {}
    }
}

fn holder(event: &str, holder: &Holder) -> Line {
    let row = &holder.row;
    let mut line = socket_line(event, row);
    if let Some(timer) = &row.timer {
        say_timer(&mut line, timer);
    }
    let options = match holder.source {
        Source::Read => "read",
        Source::Inferred => "inferred",
        Source::Unknown => "unknown",
    };
    say_owner(&mut line, row);
    line.field("ownership", holder.ownership().name()).list("processes", &holder.processes);
    say_sharing(&mut line, &holder.sharing);
    line.optional("v6-only", holder.sharing.v6_only).field("options", options);
    line
}
