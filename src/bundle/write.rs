//! An experiment's evidence, put together from the pieces that its script and its programs wrote.
//!
//! A script cannot write JSON that holds whatever a program said, so it only takes notes; this makes of them
//! `manifest.json`, `events.jsonl`, `sockets.jsonl` and `verdict.json`, and removes the directory `pieces` they came from.

mod events;
mod manifest;
mod notes;
mod verdict;

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::error::{Error, Result};
use notes::Notes;

/// Makes the JSON files of the bundle in `directory` from its `pieces`, which are gone afterwards.
///
/// # Errors
///
/// Those of open(2), read(2) and write(2), with the file; that `pieces/notes` is not what a script writes.
pub(crate) fn assemble(directory: &Path) -> Result<()> {
    let pieces = directory.join("pieces");
    let notes = Notes::read(&pieces.join("notes"))?;
    write(&directory.join("manifest.json"), &json(&manifest::manifest(&notes)))?;
    write(&directory.join("events.jsonl"), &events::merged(&pieces, &notes.programs)?)?;
    write(&directory.join("sockets.jsonl"), &events::transitions(&pieces)?)?;
    write(&directory.join("verdict.json"), &json(&verdict::verdict(&notes)))?;
    fs::remove_dir_all(&pieces).map_err(|error| Error::new("unlink", pieces.display(), error))
}

/// One object, indented for readers.
fn json(value: &impl Serialize) -> String {
    // Only a map whose keys are no strings fails to become JSON.
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|error| Error::new("write", path.display(), error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::schema::{ExperimentVerdict, Manifest};

    /// What the scripts write: the number of fields, then each of them, all ended by NUL.
    fn noted(records: &[&[&str]]) -> String {
        records.iter().map(|record| format!("{}\0{}\0", record.len(), record.join("\0"))).collect()
    }

    #[test]
    fn what_is_written_is_read_again_as_it_was() {
        let notes = noted(&[
            &["experiment", "01-a", "one \"title\"", "experiments/01-a.sh", "own", "17"],
            &["header", "Can it?\n", "red -> blue", "It can."],
            &["version", "listener", "listener 0.1.0"],
            &["sysctl", "net.ipv4.tcp_sack", "7"],
            &["check", "a fact", "this", "that\u{1b}", "failed", "18"],
            &["check", "another", "", "", "skipped", "19"],
            &["prediction", "Which?", "bind", "connect", "bind", "connect"],
            &["prediction", "Nobody was asked?", "", "", "yes", "no"],
            &["finished", "20"],
        ]);
        let directory = tempfile::tempdir().unwrap();
        let pieces = directory.path().join("pieces");
        fs::create_dir(&pieces).unwrap();
        fs::write(pieces.join("notes"), &notes).unwrap();
        fs::write(pieces.join("watch.jsonl"), "").unwrap();
        let notes = Notes::read(&pieces.join("notes")).unwrap();
        assemble(directory.path()).unwrap();
        let read = |file| fs::read_to_string(directory.path().join(file)).unwrap();
        let manifest: Manifest = serde_json::from_str(&read("manifest.json")).unwrap();
        let verdict: ExperimentVerdict = serde_json::from_str(&read("verdict.json")).unwrap();
        assert_eq!(manifest, manifest::manifest(&notes));
        assert_eq!(verdict, verdict::verdict(&notes));
        assert_eq!(
            (verdict.predictions[1].predicted.as_ref(), verdict.predictions[1].answer.as_ref()),
            (None, None)
        );
    }
}
