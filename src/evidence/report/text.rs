//! The sequence diagram for a terminal: at most 100 columns of lines and arrows.

use std::fmt::Write;

use super::bundle::Bundle;
use super::rows::{Body, Row, call_words, flag_names, numbers, rows, sent_nothing};
use super::words::{Count, Harmless, Short};
use crate::evidence::timeline::{Basis, Call, Connection, Owner, Passed};
use crate::net::TcpState;

/// The width of the states on either side; `SYN-RECEIVED inferred` fits.
const SIDE: usize = 22;
/// The width between the lifelines.
const BETWEEN: usize = 50;
/// More connections than this are counted, not drawn.
const MOST_DRAWN: usize = 24;

/// The diagrams of a bundle, the same as its page has.
pub fn text(bundle: &Bundle) -> String {
    let mut out = String::new();
    let all = &bundle.timeline.connections;
    for (index, connection) in all.iter().take(MOST_DRAWN).enumerate() {
        if index > 0 {
            out.push('\n');
        }
        head(&mut out, connection);
        for row in rows(connection) {
            line(&mut out, &row, connection, bundle.captured);
        }
    }
    let more = all.len().saturating_sub(MOST_DRAWN);
    if more > 0 {
        push(&mut out, format_args!("{} not drawn", Count(more, "more connection")));
    }
    if all.is_empty() {
        push(&mut out, format_args!("no connection was seen"));
    }
    out
}

/// Adds a line without blanks at its end.
fn push(out: &mut String, line: std::fmt::Arguments) {
    let line = line.to_string();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{}", line.trim_end());
}

fn head(out: &mut String, connection: &Connection) {
    let [one, other] = connection.ends;
    let name = |end: usize| {
        let owners = connection.owners.get(end).map(Vec::as_slice).unwrap_or_default();
        owners.iter().find_map(|owner| match owner {
            Owner::Program(name) => Some(format!("{} ", Harmless(name))),
            Owner::Process(..) => None,
        })
    };
    let left = format!("{}{one}", name(0).unwrap_or_default());
    let right = if one == other { String::new() } else { format!("{}{other}", name(1).unwrap_or_default()) };
    let room = (SIDE + BETWEEN).saturating_sub(left.chars().count());
    push(out, format_args!("{:pad$}{left}{right:>room$}", "", pad = SIDE / 2));
}

fn line(out: &mut String, row: &Row, connection: &Connection, captured: bool) {
    let alone = connection.ends[0] == connection.ends[1];
    let (left, right) = (side(row.states[0]), side(row.states[1]));
    let (body, extra) = match &row.body {
        Body::Segment(passed) => (arrow(passed, connection.is_to_itself()), None),
        Body::Call { end, program, call } => called(*end, program, call, captured),
        Body::States => (format!("│{:BETWEEN$}{}", "", if alone { ' ' } else { '│' }), None),
        Body::Pause(pause) => (band(&format!("{} later", Short(*pause))), None),
        Body::LeftOut(segments) => (band(&format!("{} left out", Count(*segments, "segment"))), None),
    };
    push(out, format_args!("{left:>SIDE$} {body} {right}"));
    if let Some(extra) = extra {
        push(out, format_args!("{:SIDE$} {extra}", ""));
    }
}

/// Beside a state that was sampled stands nothing.
fn side(state: Option<(TcpState, Basis)>) -> String {
    match state {
        Some((state, Basis::Sampled)) => state.to_string(),
        Some((state, Basis::Inferred)) => format!("{state} inferred"),
        None => String::new(),
    }
}

fn arrow(passed: &Passed, loops: bool) -> String {
    let length = if passed.length > 0 { format!(" {}", Count(passed.length, "byte")) } else { String::new() };
    let again = if passed.retransmission { " again" } else { "" };
    let label = format!(" {} {}{length}{again} ", flag_names(passed), numbers(passed));
    let fill = BETWEEN - 1;
    match (loops, passed.from) {
        (true, _) => format!("├─╮{label}"),
        (false, 0) => format!("├{label:─^fill$}▶│"),
        _ => format!("│◀{label:─^fill$}┤"),
    }
}

fn band(words: &str) -> String {
    let label = format!(" {words} ");
    format!("┆{label:·^BETWEEN$}┆")
}

fn called(end: usize, program: &str, call: &Call, captured: bool) -> (String, Option<String>) {
    let silent = call.failure.is_some() && captured && sent_nothing(call);
    let words = format!(
        "{}: {}{}",
        Harmless(program),
        Harmless(&call_words(call)),
        if silent { ", no packet" } else { "" }
    );
    let mark = if call.failure.is_some() { '✗' } else { '●' };
    // What does not fit between the lifelines is cut.
    let words: String = words.chars().take(BETWEEN - 1).collect();
    let room = BETWEEN - 1;
    let line =
        if end == 0 { format!("{mark} {words:<room$}│") } else { format!("│{words:>room$} {mark}") };
    (line, None)
}
