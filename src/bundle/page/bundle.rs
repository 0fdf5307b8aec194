//! Reads a bundle: the directory of files that an experiment leaves. Any of them may be missing or damaged.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use std::{fmt, fs, io};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::bundle::schema::{ExperimentVerdict, Manifest, SCHEMA};
use crate::bundle::timeline::{ProgramCall, ProgramEvent, Sample, Timeline};
use crate::error::{Error, Result};
use crate::net::TcpState;
use crate::text::Harmless;
use crate::wire::pcapng;
use crate::wire::segment::Segment;

/// The files that make a directory a bundle; one of them is enough.
const PARTS: [&str; 5] = ["manifest.json", "verdict.json", "events.jsonl", "sockets.jsonl", "packets.pcapng"];

/// What an experiment left, as far as it can be read.
#[derive(Debug, Default)]
pub struct Bundle {
    /// The experiment's name, or else the directory's.
    pub name: String,
    /// Where and how it ran.
    pub manifest: Manifest,
    /// What became of its question; `None` without the file.
    pub verdict: Option<ExperimentVerdict>,
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
        Ok(Self {
            name: name(&manifest, directory),
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

/// While the experiment runs, its directory has another name than the one it will be known by.
fn name(manifest: &Manifest, directory: &Path) -> String {
    if !manifest.experiment.is_empty() {
        return manifest.experiment.clone();
    }
    let whole = directory.canonicalize().ok();
    let name = whole.as_deref().unwrap_or(directory).file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
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
            let more = if wrong > 1 { format!(" (and {} more)", wrong - 1) } else { String::new() };
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
    value.get("schema").and_then(Value::as_u64).filter(|schema| *schema > SCHEMA.into())
}

/// A line of `events.jsonl`, as far as it concerns a connection.
#[derive(Deserialize)]
struct EventLine {
    time_us: u64,
    event: String,
    #[serde(default)]
    program: String,
    socket: Option<String>,
    local: Option<String>,
    remote: Option<String>,
    call: Option<String>,
    subject: Option<String>,
    arguments: Option<String>,
    result: Option<i64>,
    errno: Option<String>,
    text: Option<String>,
}

impl EventLine {
    /// Steps that are no system call, or change nothing, would only fill the diagram.
    const UNTOLD: [&str; 5] = ["wait", "pause", "getsockname", "getpeername", "poll"];

    fn into_event(self) -> Option<ProgramEvent> {
        let failed = self.event == "failed" || self.result.is_some_and(|result| result < 0);
        let (local, remote) = self.addresses(failed);
        let program = self.speaker();
        let subject = self.subject.or(self.arguments).unwrap_or_default();
        // A connection is being opened: it goes on.
        let failed = failed && self.errno.as_deref() != Some("EINPROGRESS");
        let result = if failed { None } else { self.result.filter(|result| *result >= 0) };
        let failure = failed.then(|| self.errno.or(self.text).unwrap_or_else(|| "failed".to_owned()));
        let call = self.call.filter(|name| !Self::UNTOLD.contains(&name.as_str()));
        let call = call.map(|name| ProgramCall { name, subject, result, failure });
        let time = Duration::from_micros(self.time_us);
        Some(ProgramEvent { time, program, event: self.event, local, remote, call })
    }

    /// The program, and which of its sockets where they have names; accept(2) speaks for the one it made.
    fn speaker(&self) -> String {
        let accepted = self.arguments.as_deref().and_then(|arguments| arguments.strip_prefix("as "));
        match accepted.filter(|_| self.call.as_deref() == Some("accept")).or(self.socket.as_deref()) {
            Some(socket) => format!("{} {socket}", self.program),
            None => self.program.clone(),
        }
    }

    /// Both ends; a call that failed may have them in its words only.
    fn addresses(&self, failed: bool) -> (Option<SocketAddr>, Option<SocketAddr>) {
        let parse = |text: &Option<String>| text.as_deref().and_then(|text| text.parse().ok());
        let (local, remote) = (parse(&self.local), parse(&self.remote));
        if !failed || local.is_some() {
            return (local, remote);
        }
        let words = self.subject.as_deref().or(self.arguments.as_deref()).unwrap_or_default();
        let (from, to) = words.split_once(" -> ").unwrap_or((words, ""));
        (from.parse().ok(), to.parse().ok())
    }
}

/// A line of `sockets.jsonl`; other events than `socket` say nothing.
#[derive(Deserialize)]
struct SampleLine {
    time_us: u64,
    to: Option<String>,
    local: Option<SocketAddr>,
    remote: Option<SocketAddr>,
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
        let to = self.to?;
        let state = if to == "gone" { TcpState::Closed } else { to.parse().ok()? };
        Some(Sample {
            time: Duration::from_micros(self.time_us),
            local: self.local?,
            remote: self.remote?,
            state,
            processes: self.processes.into_iter().map(|process| (process.name, process.pid)).collect(),
        })
    }
}
