//! `fourtuple schema`: what a script may rely on.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::bundle::schema;
use crate::cli;
use crate::error::{Error, Result};
use crate::report::lines;

const AFTER_HELP: &str = "\
Examples:
  fourtuple schema                      all of them, in one
  fourtuple schema accepted             a line of --format json, by its event
  fourtuple schema verdict.json         a file of an experiment's evidence";

/// Print the JSON Schema of what --format json prints and of the evidence that experiments leave
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct SchemaArgs {
    /// The event of a line, such as accepted, or a file, such as manifest.json
    name: Option<String>,
}

/// Prints it.
pub(super) fn run(args: &SchemaArgs) -> Result<ExitCode> {
    let all = definitions();
    let schema = match &args.name {
        None => json!({
            "$schema": DIALECT,
            "title": "What fourtuple prints and keeps",
            "description": "A line of --format json is one of the definitions without a dot; a file is the one of its name.",
            "$defs": all,
        }),
        Some(name) => all.get(name).cloned().ok_or_else(|| {
            Error::new("schema", name, std::io::Error::other("no line and no file has this name"))
                .hint("fourtuple schema prints all of them")
        })?,
    };
    cli::print(&format!("{schema:#}\n"))
}

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Each line by its event and each file by its name. A file of lines is an array of them here.
fn definitions() -> Map<String, Value> {
    let mut all = lines::schemas();
    let every: Vec<Value> = all.values().cloned().collect();
    let of_sockets = all.get("socket").cloned().unwrap_or_default();
    for (file, line) in [("events.jsonl", json!({ "anyOf": every })), ("sockets.jsonl", of_sockets)] {
        all.insert(file.to_owned(), json!({ "type": "array", "items": line }));
    }
    for (file, schema) in schema::files() {
        all.insert(file.to_owned(), schema);
    }
    all
}
