//! What stood beside a check that did not hold: the last segment or call before it.

use std::net::SocketAddr;
use std::time::Duration;

use super::rows::{call_words, flag_names, numbers};
use crate::bundle::schema::Check;
use crate::bundle::timeline::{ConnectionHistory, Owner, Timeline, What};

/// A segment or call, by its connection's and its entry's index in the timeline.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Beside {
    pub connection: usize,
    pub entry: usize,
    /// Which check it stands beside.
    pub check: u64,
    /// The segment or call in words.
    pub words: String,
}

/// Finds it, where the check names a connection or a program that has one.
pub(super) fn beside(check: &Check, timeline: &Timeline) -> Option<Beside> {
    let texts = [check.text.as_str(), &check.expected, &check.seen];
    let words: Vec<&str> = texts.iter().flat_map(|text| text.split_whitespace()).map(trimmed).collect();
    let addresses: Vec<SocketAddr> = words.iter().filter_map(|word| word.parse().ok()).collect();
    let between = |connection: &ConnectionHistory| {
        addresses.windows(2).any(|pair| matches!(pair, &[one, other] if connection.is_between(one, other)))
    };
    let of_program = |connection: &ConnectionHistory| words.iter().any(|word| is_of(connection, word));
    let has_end = |connection: &ConnectionHistory| addresses.iter().any(|end| connection.end(*end).is_some());
    let all = || timeline.connections.iter();
    let index =
        all().position(between).or_else(|| all().position(of_program)).or_else(|| all().position(has_end));
    let connection = index?;
    let (entry, words) = last_before(timeline.connections.get(connection)?, check.time_us)?;
    Some(Beside { connection, entry, check: check.number, words })
}

fn trimmed(word: &str) -> &str {
    word.trim_matches([',', ';', '(', ')', '\'', '"']).trim_end_matches(':')
}

fn is_of(connection: &ConnectionHistory, program: &str) -> bool {
    let owns = |owner: &Owner| matches!(owner, Owner::Program(name) if name == program);
    let called = |what: &What| matches!(what, What::Call { program: name, .. } if name == program);
    connection.owners.iter().flatten().any(owns) || connection.entries.iter().any(|entry| called(&entry.what))
}

fn last_before(connection: &ConnectionHistory, time_us: u64) -> Option<(usize, String)> {
    let time = if time_us == 0 { Duration::MAX } else { Duration::from_micros(time_us) };
    let told = connection.entries.iter().enumerate().filter_map(|(index, entry)| match &entry.what {
        What::Segment(passed) => {
            let from = connection.ends.get(passed.from)?;
            Some((entry.time, index, format!("{} {} from {from}", flag_names(passed), numbers(passed))))
        }
        What::Call { program, call, .. } => {
            Some((entry.time, index, format!("{program}: {}", call_words(call))))
        }
        What::State(_) => None,
    });
    let told: Vec<_> = told.collect();
    let last = told.iter().rfind(|(at, ..)| *at <= time).or(told.last())?;
    Some((last.1, last.2.clone()))
}
