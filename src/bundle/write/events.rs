//! `events.jsonl`: what all programs wrote, in the order of time; `sockets.jsonl`: what the watch did.

use std::path::Path;
use std::{fs, io};

use serde_json::{Map, Value};

use crate::bundle::schema::SCHEMA;
use crate::error::{Error, Result};

/// The lines of every `pieces/NAME.jsonl`, each object with its program's name added.
///
/// Events of one program stay in its order where their times are the same.
pub(super) fn merged(pieces: &Path, programs: &[String]) -> Result<String> {
    let mut events = Vec::new();
    for program in programs {
        let path = pieces.join(format!("{program}.jsonl"));
        events.extend(parse(program, &read(&path)?));
    }
    events.sort_by_key(|(time, _)| *time);
    Ok(events.into_iter().map(|(_, event)| event.to_string() + "\n").collect())
}

/// The transitions in `pieces/watch.jsonl`, without what the watch tells of itself and without a line that is cut.
pub(super) fn transitions(pieces: &Path) -> Result<String> {
    let bytes = read(&pieces.join("watch.jsonl"))?;
    let is_transition = |line: &&[u8]| {
        serde_json::from_slice::<Value>(line)
            .is_ok_and(|value| value.get("event").is_some_and(|event| event == "socket"))
    };
    let lines = bytes.split(|&byte| byte == b'\n').filter(is_transition);
    Ok(lines.map(|line| String::from_utf8_lossy(line).into_owned() + "\n").collect())
}

/// No bytes where there is no file: a program that ended before it opened one, as a wrong argument makes it do.
fn read(path: &Path) -> Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        outcome => outcome.map_err(|error| Error::new("open", path.display(), error)),
    }
}

/// The events of one program with their times; a line that is none becomes the event `unreadable`.
fn parse(program: &str, bytes: &[u8]) -> Vec<(u64, Value)> {
    let mut last = 0;
    let lines = bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let event = |line: &[u8]| {
        let mut event = serde_json::from_slice(line).unwrap_or_else(|_| unreadable(line));
        last = event.get("time_us").and_then(Value::as_u64).unwrap_or(last);
        event.insert("time_us".to_owned(), last.into());
        event.insert("program".to_owned(), program.into());
        (last, Value::Object(event))
    };
    lines.map(event).collect()
}

fn unreadable(line: &[u8]) -> Map<String, Value> {
    Map::from_iter([
        ("schema".to_owned(), SCHEMA.into()),
        ("event".to_owned(), "unreadable".into()),
        ("text".to_owned(), String::from_utf8_lossy(line).into()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merge(pieces: &[(&str, &str)]) -> Vec<Value> {
        let directory = tempfile::tempdir().unwrap();
        for (program, text) in pieces {
            fs::write(directory.path().join(format!("{program}.jsonl")), text).unwrap();
        }
        let names: Vec<String> = pieces.iter().map(|(program, _)| (*program).to_owned()).collect();
        let text = merged(directory.path(), &names).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn events_of_all_programs_are_merged_by_time_with_their_programs_name() {
        let events = merge(&[
            ("one", "{\"event\":\"listening\",\"time_us\":1}\n{\"event\":\"accepted\",\"time_us\":3}\n"),
            ("red", "{\"event\":\"bound\",\"time_us\":2}\n"),
        ]);
        let told: Vec<String> =
            events.iter().map(|event| format!("{} {}", event["program"], event["event"])).collect();
        assert_eq!(told, [r#""one" "listening""#, r#""red" "bound""#, r#""one" "accepted""#]);
    }

    #[test]
    fn a_line_that_is_no_event_is_kept_as_text_in_its_place() {
        let events = merge(&[(
            "one",
            "{\"event\":\"listening\",\"time_us\":1}\n[\"no\u{1b} object\"]\n{\"event\":\"cu",
        )]);
        assert_eq!(events[1]["event"], "unreadable");
        assert_eq!(events[1]["text"], "[\"no\u{1b} object\"]");
        assert_eq!((&events[2]["time_us"], &events[2]["text"]), (&1.into(), &"{\"event\":\"cu".into()));
    }

    #[test]
    fn only_whole_transitions_are_kept_of_what_the_watch_wrote() {
        let directory = tempfile::tempdir().unwrap();
        let transition = r#"{"event":"socket","to":"LISTEN"}"#;
        let text = format!("{{\"event\":\"watching\"}}\n{transition}\n{{\"event\":\"sock");
        fs::write(directory.path().join("watch.jsonl"), text).unwrap();
        assert_eq!(transitions(directory.path()).unwrap(), format!("{transition}\n"));
    }

    #[test]
    fn a_program_that_wrote_no_events_is_no_failure() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(merged(directory.path(), &["none".to_owned()]).unwrap(), "");
    }
}
