//! The sequence diagram for a terminal: at most 100 columns of lines and arrows.

use std::fmt::Write;

use super::bundle::Bundle;
use super::rows::{Body, Row, end_name, flag_names, numbers, rows, sent_nothing, told_call};
use super::words::{Count, Short, cut};
use crate::bundle::timeline::{Basis, ConnectionHistory, Passed};
use crate::net::TcpState;

/// The width of the states on either side; `SYN-RECEIVED inferred` fits.
const SIDE: usize = 22;
/// The width between the lifelines.
const BETWEEN: usize = 50;
/// A name of more characters is cut.
const LONGEST_NAME: usize = 34;
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

/// Names and addresses over their lifelines; on two lines where one has no room for all.
fn head(out: &mut String, connection: &ConnectionHistory) {
    let [one, other] = connection.ends;
    let alone = one == other;
    let name = |end: usize| cut(end_name(connection, end).unwrap_or_default(), LONGEST_NAME);
    let (left, right) = (name(0), if alone { String::new() } else { name(1) });
    let (one, other) = (one.to_string(), if alone { String::new() } else { other.to_string() });
    let both = [format!("{left} {one}"), format!("{right} {other}")].map(|text| text.trim().to_owned());
    let length: usize = both.iter().map(|text| text.chars().count()).sum();
    let lines = if length < SIDE / 2 + BETWEEN { vec![both] } else { vec![[left, right], [one, other]] };
    for [left, right] in lines {
        let room = (SIDE + BETWEEN).saturating_sub(left.chars().count());
        push(out, format_args!("{:pad$}{left}{right:>room$}", "", pad = SIDE / 2));
    }
}

fn line(out: &mut String, row: &Row, connection: &ConnectionHistory, captured: bool) {
    let alone = connection.ends[0] == connection.ends[1];
    let (left, right) = (side(row.states[0]), side(row.states[1]));
    let body = match &row.body {
        Body::Segment(passed) => arrow(passed, connection.is_to_itself()),
        Body::Call { end, program, call } => {
            let silent = if captured && sent_nothing(call) { ", no packet" } else { "" };
            let words = told_call(connection, *end, program, call, BETWEEN - 1 - silent.len());
            called(*end, &(words + silent), call.failure.is_some(), alone)
        }
        Body::States => format!("│{:BETWEEN$}{}", "", if alone { ' ' } else { '│' }),
        Body::Pause(pause) => band(&format!("{} later", Short(*pause))),
        Body::LeftOut(segments) => band(&format!("{} left out", Count(*segments, "segment"))),
    };
    push(out, format_args!("{left:>SIDE$} {body} {right}"));
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

fn called(end: usize, words: &str, failed: bool, alone: bool) -> String {
    let room = BETWEEN - 1;
    let mark = if failed { '✗' } else { '●' };
    match (end, alone) {
        (0, true) => format!("{mark} {words}"),
        (0, false) => format!("{mark} {words:<room$}│"),
        _ => format!("│{words:>room$} {mark}"),
    }
}
