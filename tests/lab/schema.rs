//! `fourtuple schema`: what a script may rely on. Whatever a test here has a program print with --format json is compared with it.

use serde_json::{Value, json};
use snapbox::{assert_data_eq, file};

use crate::program::schema::{mistake, mistake_in_line};
use crate::program::usage::{help, refused};
use crate::program::{Listener, Program};

#[test]
fn a_line_that_a_program_has_printed_is_what_its_schema_says_and_a_planted_key_is_not() {
    let line = Listener::start(&["--format", "json"]).line_with(&["listening"]);
    assert_eq!(mistake_in_line(&line), None);
    let mut planted: Value = serde_json::from_str(&line).unwrap();
    planted["p99.9_ns"] = json!(1);
    assert!(mistake_in_line(&planted.to_string()).unwrap().contains("p99.9_ns"));
    assert!(mistake_in_line(&line.replace("\"local\"", "\"locale\"")).is_some());
    assert!(mistake_in_line(&line.replace("listening", "hearing")).unwrap().contains("no schema"));
}

#[test]
fn a_file_with_a_planted_key_is_not_what_its_schema_says() {
    let verdict = json!({
        "schema": 1, "experiment": "01-a", "question": "", "picture": "", "answer": "", "holds": false,
        "finished_us": 5, "checks": [], "predictions": [],
    });
    assert_eq!(mistake("verdict.json", &verdict), None);
    let mut planted = verdict.clone();
    planted["hold"] = json!(true);
    assert!(mistake("verdict.json", &planted).is_some());
    let mut lacking = verdict;
    lacking.as_object_mut().unwrap().remove("holds");
    assert!(mistake("verdict.json", &lacking).is_some());
}

#[test]
fn it_prints_one_schema_by_its_name_or_all_of_them() {
    let all: Value = serde_json::from_str(&Program::run("fourtuple", &["schema"]).well().stdout).unwrap();
    let one: Value =
        serde_json::from_str(&Program::run("fourtuple", &["schema", "accepted"]).well().stdout).unwrap();
    assert_eq!(all["$defs"]["accepted"], one);
    for name in ["manifest.json", "verdict.json", "events.jsonl", "sockets.jsonl", "socket", "verdict"] {
        assert!(all["$defs"].get(name).is_some(), "{name}");
    }
    let end = Program::run("fourtuple", &["schema", "nonsense"]).with_status(1);
    assert!(end.stderr.contains("no line and no file has this name"), "{}", end.stderr);
    refused("fourtuple", &["schema", "bound", "closed"], "unexpected argument 'closed'");
}

#[test]
fn help_says_what_it_prints() {
    assert_data_eq!(
        help("fourtuple", &["schema", "--help"]),
        file!["../snapshots/fourtuple-schema--help.txt"].raw()
    );
}

#[test]
fn fields_prints_the_values_of_one_event_and_passes_over_what_is_cut() {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut command = Command::new(crate::program::path("fourtuple"));
    let mut fields = Program::spawn_with_input(
        command.args(["fields", "captured", "dropped", "by", "packets"]).stdin(Stdio::piped()),
    );
    let lines = "{\"event\":\"captured\",\"packets\":7,\"dropped\":0}\n{\"event\":\"segment\",\"packets\":1}\n\
                 {\"event\":\"captured\",\"by\":\"red\"}\n{\"event\":\"captured\",\"packets\":8";
    fields.input().write_all(lines.as_bytes()).unwrap();
    assert_eq!(fields.end().well().stdout, "0 - 7\n- red -\n");
    refused("fourtuple", &["fields", "captured"], "<KEYS>...");
}
