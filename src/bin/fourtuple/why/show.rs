//! The answer as text for a person, and as JSON Lines.

use std::fmt::Write;
use std::io::stdout;

use fourtuple::error::errno_name;
use fourtuple::evidence::holders::{Holder, Source};
use fourtuple::evidence::why::{Answer, Goal, InTheWay, Question, Trial, Verdict};
use fourtuple::report::{Format, Line, coloured};

/// How many sockets of one kind are told one by one.
const SHOWN: usize = 5;

/// The verdict, who is in the way by which rule, what helps, what else is known.
pub fn text(question: &Question, answer: &Answer) -> String {
    let mut text = verdict(question, answer);
    if !answer.in_the_way.is_empty() {
        text.push_str("\nin the way\n");
        in_the_way(&mut text, &answer.in_the_way);
    }
    if !answer.advice.is_empty() {
        text.push_str("\nwhat helps, cheapest first\n");
        for (index, advice) in answer.advice.iter().enumerate() {
            let tried = match &advice.trial {
                Trial::Works => "tried out".to_owned(),
                Trial::NotMade(why) => why.clone(),
            };
            line(&mut text, &format!("  {}. {} [{tried}]", index + 1, advice.step));
        }
    }
    if !answer.remarks.is_empty() || !answer.beside.is_empty() {
        text.push('\n');
    }
    for remark in &answer.remarks {
        line(&mut text, remark);
    }
    for holder in answer.beside.iter().take(SHOWN) {
        line(&mut text, &format!("on the same port and not in the way: {holder}"));
    }
    match answer.beside.len().saturating_sub(SHOWN) {
        0 => {}
        more => line(&mut text, &format!("and {more} more")),
    }
    text
}

fn line(text: &mut String, words: &str) {
    text.push_str(words);
    text.push('\n');
}

fn verdict(question: &Question, answer: &Answer) -> String {
    let (yes, no, plain) =
        if coloured(&stdout()) { ("\x1b[1;32m", "\x1b[1;31m", "\x1b[0m") } else { ("", "", "") };
    let asked = asked(&question.goal);
    match &answer.verdict {
        Verdict::Works => format!("{yes}yes{plain}: {asked} would work\n"),
        Verdict::Fails { call, errno, because } => {
            let sentence = because.to_string();
            format!(
                "{no}no{plain}: {asked} fails at {call} with {} ({})\n{sentence}\n",
                errno_name(*errno),
                errno.desc()
            )
        }
    }
}

/// The call in question, with its addresses.
fn asked(goal: &Goal) -> String {
    match goal {
        Goal::Bind(local) => format!("bind {local}"),
        Goal::Listen(local) => format!("listen {local}"),
        Goal::Connect { local: Some(local), remote } => format!("connect {local} -> {remote}"),
        Goal::Connect { local: None, remote } => format!("connect {remote}"),
    }
}

fn in_the_way(text: &mut String, found: &[InTheWay]) {
    for InTheWay { holder, conflict } in found.iter().take(SHOWN) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {holder}");
        if let Some(conflict) = conflict {
            let _ = writeln!(text, "      {}", conflict.overlap);
            let _ = writeln!(text, "      {}", conflict.refusal);
        }
    }
    match found.len().saturating_sub(SHOWN) {
        0 => {}
        more => line(text, &format!("  and {more} more")),
    }
}

/// One object a line: the verdict, each socket, each step, each remark.
pub fn json(question: &Question, answer: &Answer) -> String {
    let mut lines = vec![verdict_json(question, answer)];
    lines.extend(answer.in_the_way.iter().map(|found| {
        let mut line = holder_json("in-the-way", &found.holder);
        if let Some(conflict) = found.conflict {
            line.field("overlap", conflict.overlap).field("refusal", conflict.refusal);
        }
        line
    }));
    lines.extend(answer.advice.iter().map(|advice| {
        let mut line = Line::new(Format::Json, "advice");
        line.field("step", advice.step.name()).field("words", &advice.step);
        line.mark("tried-out", advice.trial == Trial::Works);
        if let Trial::NotMade(why) = &advice.trial {
            line.field("reason", why);
        }
        line
    }));
    lines.extend(answer.beside.iter().map(|holder| holder_json("beside", holder)));
    lines.extend(answer.remarks.iter().map(|remark| {
        let mut line = Line::new(Format::Json, "remark");
        line.field("words", remark);
        line
    }));
    lines.into_iter().map(|line| line.finish() + "\n").collect()
}

fn verdict_json(question: &Question, answer: &Answer) -> Line {
    let mut line = Line::new(Format::Json, "verdict");
    line.field("call", question.goal.call());
    if let Some(local) = question.goal.local() {
        line.field("local", local);
    }
    if let Goal::Connect { remote, .. } = question.goal {
        line.field("remote", remote);
    }
    line.mark("reuse-address", question.options.reuse_address)
        .mark("reuse-port", question.options.reuse_port)
        .mark("works", answer.verdict == Verdict::Works);
    if let Verdict::Fails { call, errno, because } = &answer.verdict {
        line.field("fails-at", call).field("errno", errno_name(*errno)).field("because", because);
    }
    line
}

fn holder_json(event: &str, holder: &Holder) -> Line {
    let row = &holder.row;
    let mut line = Line::new(Format::Json, event);
    line.field("state", row.state).field("local", row.local).field("remote", row.remote);
    if let Some(timer) = row.timer {
        line.field("timer", timer.kind.name()).duration("timer-remaining", timer.remaining);
    }
    let switch = |on: Option<bool>| on.map(|on| if on { "on" } else { "off" });
    line.number("uid", row.uid.into())
        .number("inode", row.inode.into())
        .list("processes", &holder.processes)
        .optional("reuse-address", switch(holder.sharing.reuse_address))
        .optional("reuse-port", switch(holder.sharing.reuse_port))
        .field(
            "options",
            match holder.source {
                Source::Read => "read",
                Source::Inferred => "inferred",
                Source::Unknown => "unknown",
            },
        );
    line
}
