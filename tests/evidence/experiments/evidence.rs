//! The bundle that an experiment leaves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::lab::{CONNECTED, Lab, TALKING, can_isolate, wait_until};

fn bundle(lab: &Lab) -> PathBuf {
    lab.directory.path().join("test")
}

#[track_caller]
fn object(path: &Path) -> Value {
    let value: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(value["schema"], 1, "{}", path.display());
    value
}

#[track_caller]
fn lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The names in `directory` that are not hidden.
fn seen_in(directory: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = fs::read_dir(directory).unwrap().map(name).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    names
}

#[test]
fn a_bundle_holds_what_the_programs_and_the_kernel_said_and_where() {
    let Some(lab) = Lab::isolated() else { return };
    lab.conclude(CONNECTED, "expect_echo red hello").passes();
    let manifest = object(&bundle(&lab).join("manifest.json"));
    assert_eq!(manifest["experiment"], "test");
    assert_eq!(manifest["namespace"], "own");
    assert_eq!(manifest["sysctls"]["net.ipv4.tcp_timestamps"], "1");
    assert_eq!(manifest["programs"]["connector"], env!("CARGO_PKG_VERSION"));
    let verdict = object(&bundle(&lab).join("verdict.json"));
    assert_eq!(verdict["holds"], true);
    assert_eq!(verdict["checks"][0]["ok"], true);
    assert!(verdict["checks"][0]["seen"].as_str().unwrap().ends_with("text=\"hello\""), "{verdict}");
    let events = lines(&bundle(&lab).join("events.jsonl"));
    let times: Vec<u64> = events.iter().map(|event| event["time_us"].as_u64().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    for (program, event) in [("one", "listening"), ("red", "established"), ("one", "accepted")] {
        assert!(events.iter().any(|line| line["program"] == program && line["event"] == event), "{event}");
    }
    assert!(!bundle(&lab).join("pieces").exists());
}

#[test]
fn a_bundle_holds_what_was_done_at_a_keyboard() {
    let Some(lab) = Lab::isolated() else { return };
    let talk = format!("{TALKING}\ntype_line calling hello\nexpect_line called hello");
    lab.run(&format!("{talk}\nconclude")).passes();
    let events = lines(&bundle(&lab).join("events.jsonl"));
    for (program, event) in [("called", "accepted"), ("calling", "established")] {
        assert!(events.iter().any(|line| line["program"] == program && line["event"] == event), "{event}");
    }
    // Nobody but the talk, which tells on its standard error, is known to have seen it.
    let unwatched =
        "expect_no_socket any 127.0.0.1:* 127.0.0.1:5000\nstop calling\n: >$evidence/pieces/watch.jsonl";
    lab.conclude(&talk, unwatched).fails_with("not ok 2 - never socket 127.0.0.1:*");
}

#[test]
fn a_bundle_is_json_whatever_programs_write_and_experiments_say() {
    let Some(lab) = Lab::isolated() else { return };
    lab.replace(
        "connector",
        r#"
        [[ $1 != --version ]] || exec REAL --version
        # Its end is that of the listener.
        trap : TERM
        REAL "$@"
        printf '"\\\377\033]0;title\a\n{"event":"cut' >>"${@: -1}"
        exit 0"#,
    );
    lab.run(&format!(
        "{CONNECTED}
        start_program rude -- printf 'a \"quoted\" \\\\ \\t \\033[31m \\377 line\\n'
        expect_line rude $'\\033[31m'
        ask $'Which \"one\\\\\" \\033?' $'\\t' '\"'
        expect_line rude $'\\377 line'
        answer '\"'
        conclude"
    ))
    .passes();
    let verdict = object(&bundle(&lab).join("verdict.json"));
    assert_eq!(verdict["checks"][0]["seen"], "\u{1b}[31m");
    assert_eq!(verdict["checks"][1]["seen"], "\u{fffd} line");
    assert_eq!(verdict["predictions"][0]["question"], "Which \"one\\\" \u{1b}?");
    let events = lines(&bundle(&lab).join("events.jsonl"));
    let unreadable = events.iter().filter(|event| event["event"] == "unreadable");
    assert_eq!(unreadable.count(), 2, "{events:?}");
}

#[test]
fn a_check_that_failed_stands_in_the_bundle_with_what_was_seen() {
    let Some(lab) = Lab::isolated() else { return };
    lab.conclude_in_vain(CONNECTED, "expect_state SYN-SENT $FIRST:3001").fails_with("not ok 1");
    let verdict = object(&bundle(&lab).join("verdict.json"));
    assert_eq!(verdict["holds"], false);
    assert_eq!(verdict["checks"][0]["ok"], false);
    assert_eq!(verdict["checks"][0]["seen"], "ESTABLISHED 127.0.0.1:3001 -> 127.0.0.1:3000");
}

#[test]
fn a_script_that_ends_early_leaves_a_bundle_that_does_not_hold() {
    let Some(lab) = Lab::isolated() else { return };
    lab.run(&format!("{CONNECTED}\nexpect_echo red hello\nfalse")).fails_with("not ok 2");
    let verdict = object(&bundle(&lab).join("verdict.json"));
    assert_eq!(verdict["holds"], false);
    assert_eq!(verdict["checks"][1]["text"], "the experiment reaches its conclusion");
}

#[test]
fn a_killed_experiment_leaves_nothing_that_looks_whole() {
    if !can_isolate() {
        return;
    }
    for (signal, left) in [(Signal::SIGKILL, 1), (Signal::SIGTERM, 0)] {
        let lab = Lab::new();
        let before = seen_in(lab.directory.path());
        let script =
            lab.script(&format!("{CONNECTED}\nexpect_echo red hello\nexpect_echo red never\nconclude"));
        let mut child = lab
            .bash(&script)
            .env("PATIENCE", "600")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let hidden = || {
            let entries = fs::read_dir(lab.directory.path()).unwrap().map(|entry| entry.unwrap().path());
            entries.filter(|path| {
                path.is_dir() && path.file_name().unwrap().to_string_lossy().starts_with(".test.")
            })
        };
        let half_way = |path: PathBuf| {
            fs::read_to_string(path.join("verdict.tap")).is_ok_and(|tap| tap.contains("ok 1"))
        };
        wait_until("the first check is made", || hidden().any(half_way));
        kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
        child.wait().unwrap();
        assert_eq!(seen_in(lab.directory.path()), [before.clone(), vec!["test.sh".to_owned()]].concat());
        assert_eq!(hidden().count(), left);
        assert!(!hidden().any(|path| path.join("verdict.json").exists()));
        // The next run removes what is left.
        lab.conclude(CONNECTED, "expect_echo red hello").passes();
        assert_eq!(hidden().count(), 0);
        assert!(bundle(&lab).join("verdict.json").exists());
    }
}
