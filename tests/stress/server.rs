//! A listener under measurement: its memory, its CPU time, its system calls.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub struct Server {
    process: Child,
    pub address: SocketAddr,
    said: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts `listener 0 127.0.0.1 --quiet` and the given options.
    pub fn start(options: &[&str]) -> Self {
        Self::start_on("127.0.0.1", options)
    }

    pub fn start_on(ip: &str, options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_listener"));
        Self::spawn(command.args(["0", ip, "--quiet"]).args(options))
    }

    /// With so many descriptors at most.
    pub fn start_with_descriptors(most: usize) -> Self {
        let script = format!("ulimit -n {most} && exec \"$0\" 0 127.0.0.1 --quiet");
        Self::spawn(Command::new("sh").args(["-c", &script, env!("CARGO_BIN_EXE_listener")]))
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
        thread::spawn(move || lines.map_while(Result::ok).for_each(|line| record.lock().unwrap().push(line)));
        Self { process, address, said }
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

    /// Runs `work` and returns how many system calls the listener made meanwhile, as strace counts them.
    pub fn count_calls(&self, work: impl FnOnce()) -> u64 {
        let mut strace = Command::new("strace")
            .args(["-f", "-c", "-p", &self.pid().to_string()])
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace is installed");
        let mut report = BufReader::new(strace.stderr.take().unwrap());
        let mut attached = String::new();
        report.read_line(&mut attached).unwrap();
        work();
        kill(Pid::from_raw(strace.id() as i32), Signal::SIGINT).unwrap();
        let lines: Vec<String> = report.lines().map_while(Result::ok).collect();
        strace.wait().unwrap();
        let total = lines.iter().rfind(|line| line.ends_with(" total")).expect("a total of calls");
        total.split_whitespace().nth(3).unwrap().parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
