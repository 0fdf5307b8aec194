//! What a script noted: records of fields, each field ended by NUL.
//!
//! A record is the number of its fields, then those. No string of a shell can hold a NUL, so whatever stands in a field
//! needs no escaping.

use std::path::Path;
use std::{fs, io};

use crate::error::{Error, Result};

/// All that a script noted, record by record.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub experiment: String,
    pub title: String,
    pub command: String,
    pub namespace: String,
    pub started_us: u64,
    pub finished_us: u64,
    pub question: String,
    pub picture: String,
    pub answer: String,
    /// A program and its version.
    pub versions: Vec<(String, String)>,
    /// A sysctl that was changed on the way, and its value before.
    pub changed: Vec<(String, String)>,
    /// The names of the programs that wrote events.
    pub programs: Vec<String>,
    pub checks: Vec<CheckNote>,
    pub predictions: Vec<PredictionNote>,
}

/// One line of the verdict.
#[derive(Debug)]
pub(super) struct CheckNote {
    pub text: String,
    pub expected: String,
    pub seen: String,
    pub outcome: CheckOutcome,
    pub time_us: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CheckOutcome {
    Held,
    Failed,
    Skipped,
}

/// A question put before a step, and what the step answered.
#[derive(Debug)]
pub(super) struct PredictionNote {
    pub question: String,
    pub choices: Vec<String>,
    /// None where nobody was asked.
    pub predicted: Option<String>,
    /// None where the kernel did not do what the experiment says it does.
    pub answer: Option<String>,
}

impl Notes {
    /// Reads the notes at `path`.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(|error| Error::new("open", path.display(), error))?;
        Self::parse(&bytes).map_err(|reason| {
            Error::new("read", path.display(), io::Error::new(io::ErrorKind::InvalidData, reason))
        })
    }

    fn parse(bytes: &[u8]) -> std::result::Result<Self, String> {
        let mut notes = Self::default();
        let mut words = bytes.split_inclusive(|&byte| byte == 0).map(|word| {
            let word = word.strip_suffix(&[0]).ok_or("a field that is not ended")?;
            Ok::<_, String>(String::from_utf8_lossy(word).into_owned())
        });
        while let Some(count) = words.next().transpose()? {
            let count = count.parse().map_err(|_| format!("'{count}' is no number of fields"))?;
            let record = words.by_ref().take(count).collect::<std::result::Result<Vec<_>, _>>()?;
            if record.len() < count {
                return Err("a record that is cut".to_owned());
            }
            notes.add(&record)?;
        }
        Ok(notes)
    }

    fn add(&mut self, record: &[String]) -> std::result::Result<(), String> {
        let record: Vec<&str> = record.iter().map(String::as_str).collect();
        match record.as_slice() {
            ["experiment", experiment, title, command, namespace, started] => {
                for (field, value) in [
                    (&mut self.experiment, experiment),
                    (&mut self.title, title),
                    (&mut self.command, command),
                    (&mut self.namespace, namespace),
                ] {
                    (*value).clone_into(field);
                }
                self.started_us = number(started)?;
            }
            ["header", question, picture, answer] => {
                (*question).clone_into(&mut self.question);
                (*picture).clone_into(&mut self.picture);
                (*answer).clone_into(&mut self.answer);
            }
            ["version", program, version] => {
                self.versions.push(((*program).to_owned(), (*version).to_owned()));
            }
            ["sysctl", key, before] => self.changed.push(((*key).to_owned(), (*before).to_owned())),
            ["program", name] => self.programs.push((*name).to_owned()),
            ["check", check @ ..] => self.checks.push(CheckNote::parse(check)?),
            ["prediction", prediction @ ..] => self.predictions.push(PredictionNote::parse(prediction)?),
            ["finished", time] => self.finished_us = number(time)?,
            _ => return Err(format!("an unknown record: {record:?}")),
        }
        Ok(())
    }
}

impl CheckNote {
    fn parse(fields: &[&str]) -> std::result::Result<Self, String> {
        let [text, expected, seen, outcome, time] = fields else {
            return Err(format!("a check of {} fields", fields.len()));
        };
        let outcome = match *outcome {
            "held" => CheckOutcome::Held,
            "failed" => CheckOutcome::Failed,
            "skipped" => CheckOutcome::Skipped,
            other => return Err(format!("'{other}' is not an outcome of a check")),
        };
        let [text, expected, seen] = [text, expected, seen].map(|field| (*field).to_owned());
        Ok(Self { text, expected, seen, outcome, time_us: number(time)? })
    }
}

impl PredictionNote {
    fn parse(fields: &[&str]) -> std::result::Result<Self, String> {
        let [question, predicted, answer, choices @ ..] = fields else {
            return Err(format!("a prediction of {} fields", fields.len()));
        };
        let given = |field: &str| (!field.is_empty()).then(|| field.to_owned());
        Ok(Self {
            question: (*question).to_owned(),
            choices: choices.iter().map(|choice| (*choice).to_owned()).collect(),
            predicted: given(predicted),
            answer: given(answer),
        })
    }
}

fn number(text: &str) -> std::result::Result<u64, String> {
    text.parse().map_err(|_| format!("'{text}' is no time in microseconds"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(records: &[&[&str]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for record in records {
            bytes.extend(format!("{}\0", record.len()).bytes());
            record.iter().for_each(|field| bytes.extend(format!("{field}\0").bytes()));
        }
        bytes
    }

    #[test]
    fn fields_hold_any_text() {
        let seen = "\"quoted\"\tand\nbroken \u{1b}[31m";
        let notes = Notes::parse(&noted(&[
            &["experiment", "01-a", "one", "experiments/01-a.sh", "own", "17"],
            &["check", "a fact", "", seen, "failed", "18"],
            &["prediction", "Which?", "", "connect", "bind", "connect"],
        ]))
        .unwrap();
        assert_eq!((notes.experiment.as_str(), notes.started_us), ("01-a", 17));
        assert_eq!(notes.checks[0].seen, seen);
        assert_eq!(notes.checks[0].outcome, CheckOutcome::Failed);
        assert_eq!(notes.predictions[0].predicted, None);
        assert_eq!(notes.predictions[0].choices, ["bind", "connect"]);
    }

    #[test]
    fn bytes_that_are_no_utf8_are_replaced() {
        let notes = Notes::parse(b"6\0check\0a\0b\0\xff\0held\x0018\0").unwrap();
        assert_eq!(notes.checks[0].seen, "\u{fffd}");
    }

    #[test]
    fn notes_that_are_cut_or_unknown_are_refused() {
        let whole = noted(&[&["finished", "19"]]);
        assert!(Notes::parse(&whole[..whole.len() - 1]).unwrap_err().contains("not ended"));
        assert!(Notes::parse(b"2\0finished\0").unwrap_err().contains("cut"));
        assert!(Notes::parse(b"many\0").unwrap_err().contains("no number"));
        assert!(Notes::parse(&noted(&[&["nonsense"]])).unwrap_err().contains("unknown"));
        assert!(Notes::parse(&noted(&[&["finished", "now"]])).unwrap_err().contains("no time"));
    }
}
