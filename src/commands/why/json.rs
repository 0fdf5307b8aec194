//! The answer as JSON Lines.

use crate::cli::{say_owner, say_sharing, say_timer, socket_line};
use crate::error::errno_name;
use crate::kernel::device::of_zone;
use crate::kernel::holders::{Holder, Source};
use crate::lab::why::{Advice, Answer, Goal, PlannedCall, Remedy, TrialOutcome, Verdict};
use crate::net::OnDevice;
use crate::text::{Format, Line};

/// One object a line: the verdict, each socket in the way, each step, each other socket, each remark.
pub(super) fn json(question: &PlannedCall, answer: &Answer) -> String {
    let in_the_way = answer.in_the_way.iter().map(|found| {
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
    let remarks = answer.remarks.iter().map(|remark| {
        let mut line = Line::new(Format::Json, "remark");
        line.field("words", remark);
        line
    });
    let lines = std::iter::once(verdict(question, answer)).chain(in_the_way).chain(advice).chain(beside);
    lines.chain(elsewhere).chain(remarks).map(|line| line.finish() + "\n").collect()
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
    line.mark("unknown", answer.verdict == Verdict::MayFail);
    if let Verdict::Fails { call, errno, reason } = &answer.verdict {
        line.field("fails-at", call)
            .field("errno", errno_name(*errno))
            .field("reason", reason.name())
            .field("because", reason);
    }
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
    match &advice.remedy {
        Remedy::Restart(processes, _) | Remedy::Stop(processes, _) => {
            line.list("processes", processes);
        }
        Remedy::Wait(time, latest) => {
            line.duration("wait", *time).duration("wait-at-most", *latest);
        }
        Remedy::User(uid) => {
            line.number("uid", (*uid).into());
        }
        _ => {}
    }
    call(&mut line, &advice.remedy.applied_to(question));
    line
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
    line.list("processes", &holder.processes);
    say_sharing(&mut line, &holder.sharing);
    line.optional("v6-only", holder.sharing.v6_only).field("options", options);
    line
}
