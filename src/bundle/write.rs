//! An experiment's evidence, put together from the pieces that its script and its programs wrote.
//!
//! A script cannot write JSON that holds whatever a program said, so it only takes notes; this makes of them
//! `manifest.json`, `events.jsonl`, `sockets.jsonl` and `verdict.json`, and removes the directory `pieces` they came from.

mod events;
mod manifest;
mod notes;
mod schema;
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
    write(&directory.join("manifest.json"), &json(&manifest::WrittenManifest::of(&notes)))?;
    write(&directory.join("events.jsonl"), &events::merged(&pieces, &notes.programs)?)?;
    write(&directory.join("sockets.jsonl"), &events::transitions(&pieces)?)?;
    write(&directory.join("verdict.json"), &json(&verdict::WrittenVerdict::of(&notes)))?;
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
