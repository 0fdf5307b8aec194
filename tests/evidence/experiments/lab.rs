//! What a test of the vocabulary needs: scripts that run with our programs, and their verdicts.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::program::{path, programs};

pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The programs, the scripts and the evidence of one test.
pub struct Lab {
    pub directory: TempDir,
}

impl Lab {
    pub fn new() -> Self {
        let lab = Self { directory: tempfile::tempdir().unwrap() };
        fs::create_dir(lab.programs()).unwrap();
        for name in programs() {
            symlink(path(name), lab.programs().join(name)).unwrap();
        }
        lab
    }

    /// A lab where this machine allows namespaces.
    pub fn isolated() -> Option<Self> {
        can_isolate().then(Self::new)
    }

    pub fn programs(&self) -> PathBuf {
        self.directory.path().join("programs")
    }

    /// Puts a bash script in the place of the program `name`; REAL in it stands for the program.
    pub fn replace(&self, name: &str, script: &str) {
        let path = self.programs().join(name);
        let real = fs::read_link(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let script = script.replace("REAL", &format!("'{}'", real.display()));
        fs::write(&path, format!("#!/usr/bin/env bash\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub fn bash(&self, script: &Path) -> Command {
        self.bash_with(&[], script)
    }

    /// The script, after other words for bash.
    pub fn bash_with(&self, words: &[&str], script: &Path) -> Command {
        let mut command = Command::new("bash");
        command
            .args(words)
            .arg(script)
            .env("PROGRAMS", self.programs())
            .env("EVIDENCE", self.directory.path())
            .stdin(Stdio::null());
        for name in ["NAMESPACE", "ADDRESSES", "STEP", "PATIENCE", "REQUIRE_ALL", "PREDICT", "ANSWERS"] {
            command.env_remove(name);
        }
        for name in ["LC_ALL", "LC_MESSAGES", "LANG"] {
            command.env_remove(name);
        }
        command
    }

    /// A script whose first line sources the vocabulary and whose second one is `experiment test`.
    pub fn script(&self, body: &str) -> PathBuf {
        self.script_called("test.sh", body)
    }

    pub fn script_called(&self, name: &str, body: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, format!("source '{ROOT}/experiments/lib/experiment.sh'\nexperiment test\n{body}\n"))
            .unwrap();
        path
    }

    /// Runs a script with this body.
    pub fn run(&self, body: &str) -> Verdict {
        Verdict::of(self.bash(&self.script(body)).output().unwrap())
    }

    /// Runs a script with this body, some fact of which never comes true.
    pub fn run_in_vain(&self, body: &str) -> Verdict {
        Verdict::of(self.bash(&self.script(body)).env("PATIENCE", "2").output().unwrap())
    }

    /// Runs a script with this body where nothing may be skipped.
    pub fn run_requiring_all(&self, body: &str) -> Verdict {
        Verdict::of(self.bash(&self.script(body)).env("REQUIRE_ALL", "1").output().unwrap())
    }

    /// Runs a script that sets up, goes on with this body and concludes.
    pub fn conclude(&self, setup: &str, body: &str) -> Verdict {
        self.run(&format!("{setup}\n{body}\nconclude"))
    }

    /// The same, some fact of which never comes true.
    pub fn conclude_in_vain(&self, setup: &str, body: &str) -> Verdict {
        self.run_in_vain(&format!("{setup}\n{body}\nconclude"))
    }

    /// What runs experiments.
    pub fn run_experiments(&self) -> Command {
        self.bash(&Path::new(ROOT).join("scripts/run-experiments"))
    }
}

/// Each of these expectations fails with its line, in a run of its own, all at once.
pub fn each_fails(setup: &str, expectations: &[(&str, &str)]) {
    if !can_isolate() {
        return;
    }
    thread::scope(|scope| {
        for (expectation, line) in expectations {
            scope.spawn(move || Lab::new().conclude_in_vain(setup, expectation).fails_with(line));
        }
    });
}

/// Each of these mistakes, from line 5 of its script on, is told so.
pub fn each_is_told(mistakes: &[(&str, &str)]) {
    let Some(lab) = Lab::isolated() else { return };
    for (mistake, told) in mistakes {
        lab.conclude(CONNECTED, mistake).fails_with(told);
    }
}

/// How a script ended and all that it wrote.
#[derive(Debug)]
pub struct Verdict {
    pub status: Option<i32>,
    pub text: String,
}

impl Verdict {
    pub fn of(output: Output) -> Self {
        let text = [output.stdout, output.stderr].concat();
        Self { status: output.status.code(), text: String::from_utf8_lossy(&text).into_owned() }
    }

    #[track_caller]
    pub fn passes(&self) {
        assert_eq!(self.status, Some(0), "{}", self.text);
    }

    #[track_caller]
    pub fn fails_with(&self, text: &str) {
        assert_eq!(self.status, Some(1), "{}", self.text);
        assert!(self.text.contains(text), "no `{text}` in:\n{}", self.text);
    }

    #[track_caller]
    pub fn is_skipped(&self, reason: &str) {
        assert_eq!(self.status, Some(4), "{}", self.text);
        assert!(self.text.contains(&format!("1..0 # SKIP {reason}")), "no `{reason}` in:\n{}", self.text);
    }
}

/// Whether this machine allows namespaces; without them only REQUIRE_ALL makes a test fail.
pub fn can_isolate() -> bool {
    let isolate =
        Command::new(env!("CARGO_BIN_EXE_fourtuple")).args(["isolate", "--", "true"]).output().unwrap();
    let allowed = isolate.status.success();
    if !allowed {
        eprintln!("skipped: {}", String::from_utf8_lossy(&isolate.stderr));
        let required = std::env::var("REQUIRE_ALL").is_ok_and(|value| value != "0");
        assert!(!required, "no namespaces here");
    }
    allowed
}

pub fn experiment(name: &str) -> PathBuf {
    Path::new(ROOT).join("experiments").join(name)
}

pub const CONNECTED: &str = "\
start_listener one $FIRST:3000
start_connector red $FIRST:3001 $FIRST:3000 hello";

pub const TALKING: &str = "\
start_talk called --until listening --listen 5000 127.0.0.1
start_talk calling --until established 127.0.0.1 5000";

/// `word`, which performs these steps of a client and the server that has accepted it.
pub fn performed(word: &str, steps: &str) -> String {
    format!(
        "{word} \"
        listener: socket; bind $FIRST:3000; listen 1
        client: socket; bind $FIRST:3001; connect @listener
        listener: accept as server
        {steps}\""
    )
}

/// Waits until `condition` holds.
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(600);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}
