//! A listener under measurement: its memory, its CPU time, its system calls.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::clients::eventually;

const FOURTUPLE: &str = env!("CARGO_BIN_EXE_fourtuple");

fn program(name: &str) -> Command {
    let mut command = Command::new(FOURTUPLE);
    command.arg(name);
    command
}

pub struct Server {
    process: Child,
    pub address: SocketAddr,
    /// What it has printed, and who reads that.
    said: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts `listener 0 127.0.0.1 --quiet` and the given options.
    pub fn start(options: &[&str]) -> Self {
        Self::start_on("127.0.0.1", options)
    }

    pub fn start_on(ip: &str, options: &[&str]) -> Self {
        let mut command = program("listener");
        Self::spawn(command.args(["0", ip, "--quiet"]).args(options))
    }

    /// Starts `relay 0 127.0.0.1 --quiet` and the given options.
    pub fn relay(options: &[&str]) -> Self {
        let mut command = program("relay");
        Self::spawn(command.args(["0", "127.0.0.1", "--quiet"]).args(options))
    }

    /// The same with a line for each client and each room.
    pub fn relay_that_tells_all() -> Self {
        Self::spawn(program("relay").args(["0", "127.0.0.1"]))
    }

    /// With so many descriptors at most.
    pub fn start_with_descriptors(most: usize) -> Self {
        let script = format!("ulimit -n {most} && exec \"$0\" listener 0 127.0.0.1 --quiet");
        Self::spawn(Command::new("sh").args(["-c", &script, FOURTUPLE]))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().expect("the listener starts");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let ready = lines.next().expect("a ready line").unwrap();
        let local = ready.split(' ').find_map(|field| field.strip_prefix("local=")).expect(&ready);
        let mut address: SocketAddr = local.parse().unwrap();
        if address.ip().is_unspecified() {
            address.set_ip([127, 0, 0, 1].into());
        }
        let said = Arc::<Mutex<Vec<String>>>::default();
        let record = Arc::clone(&said);
        let reader = thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| record.lock().unwrap().push(line))
        });
        Self { process, reader: Some(reader), address, said }
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Bytes of anonymous memory that are resident.
    pub fn anonymous_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
        let kibibytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kibibytes * 1024
    }

    /// How many lines so far begin with `word`.
    pub fn count_lines(&self, word: &str) -> usize {
        self.said.lock().unwrap().iter().filter(|line| line.starts_with(word)).count()
    }

    /// Sends SIGUSR2, and returns the line that answers it.
    pub fn status(&self) -> String {
        let before = self.count_lines("status ");
        kill(Pid::from_raw(self.pid() as i32), Signal::SIGUSR2).unwrap();
        assert!(eventually(|| self.count_lines("status ") > before), "SIGUSR2 is not answered");
        let said = self.said.lock().unwrap();
        said.iter().rfind(|line| line.starts_with("status ")).unwrap().clone()
    }

    /// Whether it has not ended.
    pub fn runs(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    /// User and system time so far.
    pub fn cpu_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        // Fields 14 and 15 of proc_pid_stat(5), in ticks of 10 ms.
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(10 * ticks)
    }

    pub fn open_descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// Runs `work` and returns how many system calls of each name the listener made meanwhile.
    pub fn count_calls(&self, work: impl FnOnce()) -> BTreeMap<String, u64> {
        let mut strace = Command::new("strace")
            .args(["-f", "-c", "-p", &self.pid().to_string()])
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace is installed");
        let mut report = BufReader::new(strace.stderr.take().unwrap());
        report.read_line(&mut String::new()).expect("strace says that it is attached");
        work();
        kill(Pid::from_raw(strace.id() as i32), Signal::SIGINT).unwrap();
        let rows: Vec<String> = report.lines().map_while(Result::ok).collect();
        strace.wait().unwrap();
        let row = |row: &String| {
            // % time, seconds, usecs/call, calls, errors where there are any, name.
            let fields: Vec<&str> = row.split_whitespace().collect();
            Some(((*fields.last()?).to_owned(), fields.get(3)?.parse().ok()?))
        };
        rows.iter().filter_map(row).filter(|(name, _)| name != "total").collect()
    }

    /// The time each thread has run so far, by its number.
    pub fn run_times(&self) -> BTreeMap<String, Duration> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        let run_time = |task: std::io::Result<fs::DirEntry>| {
            let task = task.unwrap();
            let schedstat = fs::read_to_string(task.path().join("schedstat")).unwrap();
            let nanoseconds = schedstat.split(' ').next().unwrap().parse().unwrap();
            (task.file_name().into_string().unwrap(), Duration::from_nanos(nanoseconds))
        };
        tasks.map(run_time).collect()
    }

    /// Sends SIGTERM; the last line it printed, and its exit status.
    pub fn stop(mut self) -> (String, ExitStatus) {
        kill(Pid::from_raw(self.pid() as i32), Signal::SIGTERM).unwrap();
        self.reader.take().unwrap().join().unwrap();
        let last = self.said.lock().unwrap().last().cloned().unwrap_or_default();
        (last, self.process.wait().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
