//! Reads a bundle: the directory of files that an experiment leaves. Any of them may be missing or damaged.

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::manifest::Manifest;
use super::verdict::Verdict;
use crate::error::{Error, Result};
use crate::evidence::pcapng;
use crate::evidence::segment::Segment;
use crate::evidence::timeline::{Call, ProgramEvent, Sample, Timeline};
use crate::net::TcpState;
use crate::report::Harmless;

/// The newest schema of the JSON files that is known here.
const SCHEMA: u64 = 1;

/// The files that make a directory a bundle; one of them is enough.
const PARTS: [&str; 5] = ["manifest.json", "verdict.json", "events.jsonl", "sockets.jsonl", "packets.pcapng"];

/// What an experiment left, as far as it can be read.
#[derive(Debug, Default)]
pub struct Bundle {
    /// The directory's name.
    pub name: String,
    /// Where and how it ran.
    pub manifest: Manifest,
    /// What became of its question; `None` without the file.
    pub verdict: Option<Verdict>,
    /// What happened.
    pub timeline: Timeline,
    /// Whether there was a capture, empty or not.
    pub captured: bool,
    /// What could not be read.
    pub troubles: Vec<Trouble>,
}

/// Why a part of a bundle is not shown, or not all of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Trouble {
    /// There is no such file, which is nobody's mistake.
    Missing(&'static str),
    /// There is one that cannot be read to its end.
    Damaged(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(file) => write!(f, "{file}: missing from this bundle"),
            Self::Damaged(words) => f.write_str(words),
        }
    }
}

impl Bundle {
    /// Reads what `directory` holds. Trouble with one part leaves the others whole.
    ///
    /// # Errors
    ///
    /// Those of opendir(3), or that the directory holds no part of a bundle.
    pub fn read(directory: &Path) -> Result<Self> {
        let entries =
            fs::read_dir(directory).map_err(|error| Error::new("open", directory.display(), error))?;
        let is_part = |name: std::ffi::OsString| PARTS.iter().any(|part| name == *part);
        if !entries.flatten().any(|entry| is_part(entry.file_name())) {
            let error = io::Error::other("no bundle");
            return Err(Error::new("report", directory.display(), error)
                .note(format_args!("it holds none of {}", PARTS.join(", ")))
                .hint(
                    "a directory that an experiment left, such as out/evidence/01-two-listener-addresses",
                ));
        }
        let mut reading = Reading { directory, troubles: Vec::new() };
        let manifest = reading.object("manifest.json").unwrap_or_default();
        let verdict = reading.object("verdict.json");
        let events = reading.lines("events.jsonl", EventLine::into_event);
        let samples = reading.lines("sockets.jsonl", SampleLine::into_sample);
        let segments = reading.segments("packets.pcapng");
        let name = directory.canonicalize().ok();
        let name = name.as_deref().unwrap_or(directory).file_name().unwrap_or_default();
        Ok(Self {
            name: name.to_string_lossy().into_owned(),
            manifest,
            verdict,
            captured: segments.is_some(),
            timeline: Timeline::merge(&events, &samples, &segments.unwrap_or_default()),
            troubles: reading.troubles,
        })
    }

    /// The verdict's question or the experiment's title, whichever there is.
    pub fn title(&self) -> &str {
        match self.manifest.title.as_str() {
            "" => &self.name,
            title => title,
        }
    }
}

/// A bundle being read.
struct Reading<'a> {
    directory: &'a Path,
    troubles: Vec<Trouble>,
}

impl Reading<'_> {
    fn damaged(&mut self, file: &str, words: impl fmt::Display) {
        self.troubles.push(Trouble::Damaged(format!("{file}: {}", Harmless(&words.to_string()))));
    }

    /// The text of a file; what is not UTF-8 in it is replaced.
    fn text(&mut self, file: &'static str) -> Option<String> {
        match fs::read(self.directory.join(file)) {
            Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.troubles.push(Trouble::Missing(file));
                None
            }
            Err(error) => {
                self.damaged(file, error);
                None
            }
        }
    }

    fn object<T: DeserializeOwned>(&mut self, file: &'static str) -> Option<T> {
        let text = self.text(file)?;
        let value: Value =
            serde_json::from_str(&text).map_err(|error| self.damaged(file, explain(&error))).ok()?;
        if let Some(schema) = newer_schema(&value) {
            self.damaged(
                file,
                format_args!(
                    "its schema is {schema}, this program knows {SCHEMA}: shown as far as understood"
                ),
            );
        }
        serde_json::from_value(value).map_err(|error| self.damaged(file, explain(&error))).ok()
    }

    /// The lines that can be read; the first that cannot is told, with how many followed it.
    fn lines<L: DeserializeOwned, T>(&mut self, file: &'static str, read: impl Fn(L) -> Option<T>) -> Vec<T> {
        let text = self.text(file).unwrap_or_default();
        let (mut values, mut first_wrong, mut wrong) = (Vec::new(), None, 0);
        for (line, number) in text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty()) {
            match serde_json::from_str::<L>(line) {
                Ok(parsed) => values.extend(read(parsed)),
                Err(error) => {
                    first_wrong.get_or_insert_with(|| format!("line {number}: {}", explain(&error)));
                    wrong += 1;
                }
            }
        }
        if let Some(words) = first_wrong {
            let more = if wrong > 1 { format!(" (and {} more lines)", wrong - 1) } else { String::new() };
            self.damaged(file, format_args!("{words}{more}"));
        }
        values
    }

    /// The segments up to the file's end or its first damage; `None` without the file.
    fn segments(&mut self, file: &'static str) -> Option<Vec<Segment>> {
        let path = self.directory.join(file);
        if !path.exists() {
            self.troubles.push(Trouble::Missing(file));
            return None;
        }
        let mut segments = Vec::new();
        let read = pcapng::read(&path).and_then(|read| {
            for segment in read {
                segments.push(segment?);
            }
            Ok(())
        });
        if let Err(error) = read {
            self.troubles.push(Trouble::Damaged(Harmless(&error.to_string()).to_string()));
        }
        Some(segments)
    }
}

/// A mistake in JSON, without the words that repeat its place.
fn explain(error: &serde_json::Error) -> String {
    if error.is_eof() { format!("cut short: {error}") } else { error.to_string() }
}

fn newer_schema(value: &Value) -> Option<u64> {
    value.get("schema").and_then(Value::as_u64).filter(|schema| *schema > SCHEMA)
}

/// A line of `events.jsonl`, as far as it concerns a connection.
#[derive(Deserialize)]
struct EventLine {
    time_us: u64,
    event: String,
    #[serde(default)]
    program: String,
    local: Option<String>,
    remote: Option<String>,
    call: Option<String>,
    subject: Option<String>,
    arguments: Option<String>,
    result: Option<i64>,
    errno: Option<String>,
}

impl EventLine {
    fn into_event(self) -> Option<ProgramEvent> {
        let parse = |text: &Option<String>| text.as_deref().and_then(|text| text.parse().ok());
        let (mut local, mut remote): (Option<SocketAddr>, _) = (parse(&self.local), parse(&self.remote));
        let failed = self.event == "failed" || self.result.is_some_and(|result| result < 0);
        let subject = self.subject.or(self.arguments).unwrap_or_default();
        if failed && local.is_none() {
            let (from, to) = subject.split_once(" -> ").unwrap_or((&subject, ""));
            (local, remote) = (from.parse().ok(), to.parse().ok());
        }
        let failure = failed.then(|| self.errno.unwrap_or_else(|| "failed".to_owned()));
        let call = self.call.map(|name| Call { name, subject, failure });
        Some(ProgramEvent {
            time: Duration::from_micros(self.time_us),
            program: self.program,
            event: self.event,
            local,
            remote,
            call,
        })
    }
}

/// A line of `sockets.jsonl`.
#[derive(Deserialize)]
struct SampleLine {
    time_us: u64,
    to: String,
    local: SocketAddr,
    remote: SocketAddr,
    #[serde(default)]
    processes: Vec<ProcessLine>,
}

#[derive(Deserialize)]
struct ProcessLine {
    pid: u32,
    name: String,
}

impl SampleLine {
    /// A state that is not known here says nothing.
    fn into_sample(self) -> Option<Sample> {
        let state = if self.to == "gone" { TcpState::Closed } else { self.to.parse().ok()? };
        Some(Sample {
            time: Duration::from_micros(self.time_us),
            local: self.local,
            remote: self.remote,
            state,
            processes: self.processes.into_iter().map(|process| (process.name, process.pid)).collect(),
        })
    }
}
