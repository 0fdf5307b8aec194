//! strace(1) as the hand that makes system calls fail.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Which of a call's occurrences fail, in each thread, as strace's `when=` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When(pub &'static str);

pub const FIRST: When = When("1");
pub const SECOND: When = When("2");
pub const EVERY_20TH: When = When("20+20");
/// No kernel fails so; nothing may hang all the same.
pub const EVERY_TIME: When = When("1+");

/// A call that is to fail.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub call: &'static str,
    pub errno: &'static str,
    pub when: When,
}

/// A record of the calls made, with those marked that were made to fail.
pub struct Record {
    directory: TempDir,
}

impl Record {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("calls")
    }

    /// How often `call` was made to fail.
    pub fn faults(&self, call: &str) -> usize {
        let calls = fs::read_to_string(self.path()).unwrap_or_default();
        // `… resumed>` where another thread's call came between its begin and its end.
        let names = [format!(" {call}("), format!(" {call} resumed>")];
        let injected = calls.lines().filter(|line| line.ends_with("(INJECTED)"));
        injected.filter(|line| names.iter().any(|name| line.contains(name.as_str()))).count()
    }

    /// The names of all calls made.
    pub fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.path()).unwrap();
        let name = |line: &str| Some(line.split_whitespace().nth(1)?.split_once('(')?.0.to_owned());
        let mut names: Vec<String> = calls.lines().filter_map(name).collect();
        names.sort();
        names.dedup();
        names
    }
}

fn strace(fault: Option<Fault>) -> (Command, Record) {
    let record = Record::new();
    let mut strace = Command::new("strace");
    strace.arg("-f").arg("-o").arg(record.path());
    if let Some(Fault { call, errno, when: When(when) }) = fault {
        strace.args(["-e", "signal=none"]);
        match call {
            // Nothing else leads there.
            "poll" => {
                strace.args(["-e", "trace=poll,write", "-e", "inject=write:error=EAGAIN:when=1+2"]);
            }
            _ => {
                strace.args(["-e", &format!("trace={call}")]);
            }
        }
        strace.args(["-e", &format!("inject={call}:error={errno}:when={when}")]);
    }
    (strace, record)
}

/// A command that runs `program` with this fault from its beginning on.
pub fn run_with(fault: Fault, program: &str) -> (Command, Record) {
    let (mut strace, record) = strace(Some(fault));
    strace.arg(program);
    (strace, record)
}

/// A strace that is attached to a process.
pub struct Attached {
    strace: Child,
    /// It says of each new thread that it is attached too, and would not survive a closed pipe.
    _says: BufReader<ChildStderr>,
    record: Record,
}

impl Attached {
    /// Attaches to all threads of a process; the error is strace's own words.
    pub fn to(pid: u32, fault: Option<Fault>) -> Result<Self, String> {
        let (strace, record) = strace(fault);
        Self::run(strace, record, pid)
    }

    /// Attaches likewise, and has every such call take 5 ms.
    pub fn slowing(call: &str, pid: u32) -> Result<Self, String> {
        let (mut strace, record) = strace(None);
        strace.args(["-e", &format!("trace={call}"), "-e", &format!("inject={call}:delay_enter=5000")]);
        Self::run(strace, record, pid)
    }

    fn run(mut strace: Command, record: Record, pid: u32) -> Result<Self, String> {
        let mut strace = strace
            .args(["-p", &pid.to_string()])
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("strace: {error}"))?;
        let (mut said, mut says) = (String::new(), BufReader::new(strace.stderr.take().unwrap()));
        let _ = says.read_line(&mut said);
        let attached = Self { strace, _says: says, record };
        if said.contains("attached") { Ok(attached) } else { Err(said.trim_end().to_owned()) }
    }

    /// Waits for strace to end, which it does when the process has ended.
    pub fn end(mut self) -> Record {
        let deadline = Instant::now() + Duration::from_secs(50);
        while self.strace.try_wait().unwrap().is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = self.strace.kill();
        let _ = self.strace.wait();
        std::mem::replace(&mut self.record, Record::new())
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}
