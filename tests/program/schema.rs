//! What `fourtuple schema` says, and whether what was printed or kept is so.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use jsonschema::Validator;
use serde_json::Value;

/// The definitions, by the event of a line and the name of a file.
fn definitions() -> &'static HashMap<String, Validator> {
    static DEFINITIONS: OnceLock<HashMap<String, Validator>> = OnceLock::new();
    DEFINITIONS.get_or_init(|| {
        let said = Command::new(super::path("fourtuple")).arg("schema").output().unwrap().stdout;
        let said: Value = serde_json::from_slice(&said).unwrap();
        let each = said["$defs"].as_object().unwrap().iter();
        each.map(|(name, schema)| (name.clone(), jsonschema::validator_for(schema).unwrap())).collect()
    })
}

/// What is wrong with a value that is to be what the schema called `name` says.
pub fn mistake(name: &str, value: &Value) -> Option<String> {
    let Some(schema) = definitions().get(name) else { return Some(format!("no schema of {name:?}")) };
    schema.validate(value).err().map(|error| format!("{error}, in {value}"))
}

/// What is wrong with a line of --format json.
pub fn mistake_in_line(line: &str) -> Option<String> {
    match serde_json::from_str::<Value>(line) {
        Ok(value) => mistake(value["event"].as_str().unwrap_or_default(), &value),
        Err(error) => Some(format!("{error}: {line}")),
    }
}

/// Fails unless each line is what the schema of its event says.
#[track_caller]
pub fn assert_lines(lines: &str) {
    if let Some(mistake) = lines.lines().find_map(mistake_in_line) {
        panic!("{mistake}");
    }
}

/// The JSON files of a bundle.
pub const FILES: [&str; 4] = ["manifest.json", "verdict.json", "events.jsonl", "sockets.jsonl"];

/// What is wrong with one of them.
pub fn mistake_in_file(path: &Path) -> Option<String> {
    let name = path.file_name().unwrap().to_str().unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let found = match name.ends_with(".jsonl") {
        true => text.lines().find_map(mistake_in_line),
        false => {
            serde_json::from_str(&text).map_or_else(|e| Some(e.to_string()), |value| mistake(name, &value))
        }
    };
    found.map(|found| format!("{}: {found}", path.display()))
}
