//! A connection as the rows of its diagram, whatever it is drawn with.

use std::time::Duration;

use super::words::cut;
use crate::bundle::timeline::{
    Basis, ConnectionHistory, Entry, Owner, Passed, ProgramCall, StateChange, What,
};
use crate::net::TcpState;

/// A pause that is at least so long is marked.
const MARKED_PAUSE: Duration = Duration::from_millis(10);
/// A diagram with more rows than this shows its first and its last ones.
const MOST_ROWS: usize = 64;
const FIRST_ROWS: usize = 48;
const LAST_ROWS: usize = 12;

/// One row, from top to bottom.
pub(super) struct Row<'a> {
    /// What it shows between the lifelines.
    pub body: Body<'a>,
    /// The states that begin here, at each end.
    pub states: [Option<(TcpState, Basis)>; 2],
    /// When, since the Unix epoch.
    pub time: Duration,
    /// The index of the connection's entry that it shows.
    pub entry: usize,
}

pub(super) enum Body<'a> {
    Segment(Passed),
    /// A call, at one end.
    Call {
        end: usize,
        program: &'a str,
        call: &'a ProgramCall,
    },
    States,
    /// So much time in which nothing happened.
    Pause(Duration),
    /// So many segments that are not shown.
    LeftOut(usize),
}

/// The rows of a connection: at most 61.
pub(super) fn rows(connection: &ConnectionHistory) -> Vec<Row<'_>> {
    let mut rows: Vec<Row> = Vec::new();
    for (index, entry) in connection.entries.iter().enumerate() {
        if let What::State(change) = entry.what
            && attach(&mut rows, entry.time, change)
        {
            continue;
        }
        let pause = rows.last().map_or(Duration::ZERO, |last| entry.time.saturating_sub(last.time));
        if pause >= MARKED_PAUSE {
            rows.push(Row { body: Body::Pause(pause), states: [None, None], time: entry.time, entry: index });
        }
        rows.push(row(index, entry));
    }
    bounded(rows)
}

fn row(index: usize, entry: &Entry) -> Row<'_> {
    let mut states = [None, None];
    let body = match &entry.what {
        What::Segment(passed) => Body::Segment(*passed),
        What::Call { end, program, call } => Body::Call { end: *end, program, call },
        What::State(change) => {
            begin(&mut states, *change);
            Body::States
        }
    };
    Row { body, states, time: entry.time, entry: index }
}

fn begin(states: &mut [Option<(TcpState, Basis)>; 2], change: StateChange) {
    if let Some(state) = states.get_mut(change.end) {
        *state = Some((change.state, change.basis));
    }
}

/// Lets a state begin in the last row, if it follows from that row's segment or was seen at the same time.
fn attach(rows: &mut [Row], time: Duration, change: StateChange) -> bool {
    let Some(last) = rows.last_mut() else { return false };
    let fits = match last.body {
        Body::Segment(_) => change.follows,
        Body::States => last.time == time,
        _ => false,
    };
    let free = last.states.get(change.end).is_some_and(Option::is_none);
    if fits && free {
        begin(&mut last.states, change);
    }
    fits && free
}

/// The first rows and the last ones, and between them how much is left out.
fn bounded(mut rows: Vec<Row>) -> Vec<Row> {
    if rows.len() <= MOST_ROWS {
        return rows;
    }
    let last = rows.split_off(rows.len() - LAST_ROWS);
    let left_out = rows.split_off(FIRST_ROWS);
    let segments = left_out.iter().filter(|row| matches!(row.body, Body::Segment(_))).count();
    let mut summary =
        Row { body: Body::LeftOut(segments), states: [None, None], time: Duration::ZERO, entry: 0 };
    for Row { states: [one, other], time, entry, .. } in left_out {
        let [one_before, other_before] = summary.states;
        summary.states = [one.or(one_before), other.or(other_before)];
        (summary.time, summary.entry) = (time, entry);
    }
    rows.push(summary);
    rows.extend(last);
    rows
}

/// The flags' names, such as `SYN, ACK`.
pub(super) fn flag_names(passed: &Passed) -> String {
    let flags = passed.flags;
    let all = [
        (flags.syn, "SYN"),
        (flags.fin, "FIN"),
        (flags.rst, "RST"),
        (flags.psh, "PSH"),
        (flags.urg, "URG"),
        (flags.ack, "ACK"),
    ];
    let names: Vec<&str> = all.into_iter().filter(|(set, _)| *set).map(|(_, name)| name).collect();
    if names.is_empty() { "no flag".to_owned() } else { names.join(" ") }
}

/// Sequence and acknowledgement number as a segment's label has them.
pub(super) fn numbers(passed: &Passed) -> String {
    match passed.acknowledgement {
        Some(acknowledgement) => format!("seq={} ack={acknowledgement}", passed.sequence),
        None => format!("seq={}", passed.sequence),
    }
}

/// A call as its label: `connect: EADDRNOTAVAIL`, or as strace(1) has it, `shutdown WR = 0`.
pub(super) fn call_words(call: &ProgramCall) -> String {
    let ProgramCall { name, subject, result, failure } = call;
    let space = if subject.is_empty() { "" } else { " " };
    match (failure, result) {
        (Some(failure), _) => format!("{name}: {failure}"),
        (None, Some(result)) => format!("{name}{space}{subject} = {result}"),
        (None, None) => format!("{name}{space}{subject}"),
    }
}

/// The name that an end goes by, where a program has said that it is its own.
pub(super) fn end_name(connection: &ConnectionHistory, end: usize) -> Option<&str> {
    let owners = connection.owners.get(end).map(Vec::as_slice).unwrap_or_default();
    owners.iter().find_map(|owner| match owner {
        Owner::Program(name) => Some(name.as_str()),
        Owner::Process(..) => None,
    })
}

/// A call in at most so many characters, with its program, where that is not the one that the end goes by.
///
/// A long name of a program is cut first: what came of the call matters more.
pub(super) fn told_call(
    connection: &ConnectionHistory,
    end: usize,
    program: &str,
    call: &ProgramCall,
    most: usize,
) -> String {
    let words = cut(&call_words(call), most);
    let room = most.saturating_sub(words.chars().count() + 2);
    if end_name(connection, end) == Some(program) || room < 2 {
        return words;
    }
    format!("{}: {words}", cut(program, room))
}

/// Whether the kernel refused the call before any segment left.
pub(super) fn sent_nothing(call: &ProgramCall) -> bool {
    match call.name.as_str() {
        _ if call.failure.is_none() => false,
        "bind" | "listen" | "socket" | "setsockopt" => true,
        "connect" => {
            matches!(
                call.failure.as_deref(),
                Some("EADDRNOTAVAIL" | "EADDRINUSE" | "ENETUNREACH" | "EACCES" | "EINVAL" | "EISCONN")
            )
        }
        _ => false,
    }
}
