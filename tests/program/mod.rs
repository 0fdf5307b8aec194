//! Programs under test: start one, wait for its lines, signal it, see how it ends.

#![allow(dead_code, reason = "each test file uses its part of the vocabulary")]

pub mod client;
pub mod kernel;
pub mod namespace;
pub mod schema;
pub mod terminal;
pub mod tool;
pub mod usage;

use std::fmt::Display;
use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use socket2::{Domain, Socket, Type};

/// How long anything may take before a test gives up. It is for what hangs: a busy machine takes ten times as long as usual,
/// and more. Whoever limits a program that must not take its own limit for the end gives it an hour.
pub const PATIENCE: Duration = Duration::from_secs(600);

const FOURTUPLE: &str = env!("CARGO_BIN_EXE_fourtuple");

/// The names of this package's programs, `fourtuple` last: what it says itself.
pub fn programs() -> impl Iterator<Item = &'static str> {
    paths().iter().map(|(name, _)| name.as_str())
}

/// The path of one of this package's programs.
#[track_caller]
pub fn path(program: &str) -> &'static str {
    let found = paths().iter().find(|(name, _)| name == program);
    &found.unwrap_or_else(|| panic!("no program {program}")).1
}

/// Each program and a link of its name, made once for all tests.
fn paths() -> &'static [(String, String)] {
    static PATHS: OnceLock<Vec<(String, String)>> = OnceLock::new();
    PATHS.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("programs");
        fs::create_dir_all(&directory).unwrap();
        let said = Command::new(FOURTUPLE).arg("programs").output().unwrap().stdout;
        let link = |name: &str| {
            let link = directory.join(name);
            // Who is another user inside a namespace finds what the test outside has made.
            if fs::read_link(&link).is_ok_and(|program| program == Path::new(FOURTUPLE)) {
                return (name.to_owned(), link.to_str().unwrap().to_owned());
            }
            // Other test programs may be at it too: a rename(2) is whole.
            let mine = directory.join(format!("{name}.{}", std::process::id()));
            symlink(FOURTUPLE, &mine).and_then(|()| fs::rename(&mine, &link)).unwrap();
            (name.to_owned(), link.to_str().unwrap().to_owned())
        };
        let named = String::from_utf8(said).unwrap();
        named.lines().map(link).chain([("fourtuple".to_owned(), FOURTUPLE.to_owned())]).collect()
    })
}

/// A program as a shell starts it with these redirections, such as `>/dev/full`; its arguments are still to come.
pub fn redirected(program: &str, redirection: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec \"$0\" \"$@\" {redirection}"), path(program)]);
    command
}

/// Says that a test, or a part of it, cannot be made here, and why. Where all is required (REQUIRE_ALL=1) it fails.
#[track_caller]
pub fn skip(reason: impl Display) {
    let required = std::env::var("REQUIRE_ALL").is_ok_and(|value| value != "0");
    assert!(!required, "skipped, though REQUIRE_ALL is set: {reason}");
    eprintln!("skipped: {reason}");
}

/// Whether a tool that a test goes without is installed; it is asked for its version.
#[track_caller]
pub fn has(tool: &str, version: &str) -> bool {
    let has = Command::new(tool).arg(version).output().is_ok();
    if !has {
        skip(format_args!("{tool} is not installed"));
    }
    has
}

/// Runs a command to its end, and how much of the processor's time it and those it has waited for took: on a busy machine,
/// too, much the same.
#[track_caller]
pub fn processor_time(command: &Command) -> (End, Duration) {
    let mut shell = Command::new("bash");
    let script = "TIMEFORMAT='%U %S'; { time \"$0\" \"$@\" 2>&3; } 3>&2 2>\"$TIMES\"";
    let times = tempfile::NamedTempFile::new().unwrap();
    shell.args(["-c", script]).arg(command.get_program()).args(command.get_args()).env("TIMES", times.path());
    let end = Program::spawn(&mut shell).end();
    let times = std::fs::read_to_string(times.path()).unwrap();
    let seconds = times.split_whitespace().map(|seconds| seconds.parse::<f64>().unwrap()).sum();
    (end, Duration::from_secs_f64(seconds))
}

/// As many descriptors as the hard limit allows.
pub fn raise_descriptor_limit() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}

/// Asks again and again until there is an answer.
#[track_caller]
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// The value of `key` in a line of events.
#[track_caller]
pub fn field<'a>(line: &'a str, key: &str) -> &'a str {
    let begins = |word: &'a str| word.strip_prefix(key)?.strip_prefix('=');
    line.split(' ').find_map(begins).unwrap_or_else(|| panic!("no {key}= in: {line}"))
}

/// A program that runs; it is killed when this is dropped.
pub struct Program {
    child: Child,
    /// Whether it was asked for --format json: each of its lines is what `fourtuple schema` says, then.
    json: bool,
    stdout: Record,
    stderr: Record,
}

/// How a program ended and what it had said.
#[derive(Debug)]
pub struct End {
    /// `None` where a signal killed it.
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl End {
    /// The lines of standard output that begin with `prefix`.
    pub fn lines(&self, prefix: &str) -> Vec<&str> {
        self.stdout.lines().filter(|line| line.starts_with(prefix)).collect()
    }

    /// Fails unless the program succeeded.
    #[track_caller]
    pub fn well(self) -> Self {
        self.with_status(0)
    }

    /// Fails unless the program ended with this status.
    #[track_caller]
    pub fn with_status(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "{self:#?}");
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        self
    }
}

impl Program {
    /// Starts one of this package's programs.
    pub fn start(program: &str, arguments: &[&str]) -> Self {
        Self::spawn(Command::new(path(program)).args(arguments))
    }

    /// Starts a command whose output nobody has redirected.
    pub fn spawn(command: &mut Command) -> Self {
        Self::spawn_with_input(command.stdin(Stdio::null()))
    }

    /// The same, with the standard input that the caller has said.
    pub fn spawn_with_input(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = Record::of(child.stdout.take().unwrap());
        let stderr = Record::of(child.stderr.take().unwrap());
        let json = command.get_args().any(|argument| argument == "json" || argument == "--format=json");
        Self { child, json, stdout, stderr }
    }

    /// Starts a command whose standard output goes where the caller has said.
    pub fn spawn_unheard(command: &mut Command) -> Self {
        Self::spawn_with_input_unheard(command.stdin(Stdio::null()))
    }

    /// The same, with the standard input that the caller has said.
    pub fn spawn_with_input_unheard(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = Record::of(child.stderr.take().unwrap());
        Self { child, json: false, stdout: Record::ended(), stderr }
    }

    /// Runs one of this package's programs to its end.
    #[track_caller]
    pub fn run(program: &str, arguments: &[&str]) -> End {
        Self::start(program, arguments).end()
    }

    /// The writing end of the program's standard input, where that is a pipe.
    #[track_caller]
    pub fn input(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }

    /// Waits for a line of standard error that begins so.
    #[track_caller]
    pub fn error_line(&self, prefix: &str) -> String {
        let first = |lines: String| lines.lines().find(|line| line.starts_with(prefix)).map(str::to_owned);
        self.stderr
            .wait(|bytes| first(complete_lines(bytes)))
            .unwrap_or_else(|| panic!("no line {prefix:?} in:\n{}", self.stderr.text()))
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line of standard output that begins so.
    #[track_caller]
    pub fn line(&self, prefix: &str) -> String {
        self.nth_line(1, prefix)
    }

    /// Waits for the `n`th line of standard output that begins so; the first is 1.
    #[track_caller]
    pub fn nth_line(&self, n: usize, prefix: &str) -> String {
        self.find_line(|line| line.starts_with(prefix), n).unwrap_or_else(|| {
            panic!("no {n} lines {prefix:?} in:\n{}{}", self.stdout.text(), self.stderr.text())
        })
    }

    /// Waits for a line of standard output that contains all of `parts`.
    #[track_caller]
    pub fn line_with(&self, parts: &[&str]) -> String {
        self.find_line(|line| parts.iter().all(|part| line.contains(part)), 1)
            .unwrap_or_else(|| panic!("no line with {parts:?} in:\n{}", self.stdout.text()))
    }

    fn find_line(&self, matches: impl Fn(&str) -> bool, n: usize) -> Option<String> {
        let nth = |lines: String| lines.lines().filter(|line| matches(line)).nth(n - 1).map(str::to_owned);
        self.stdout.wait(|bytes| nth(complete_lines(bytes)))
    }

    /// All that standard output has said so far.
    pub fn said(&self) -> String {
        self.stdout.text()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Whether it has ended by now.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for the end of the program.
    #[track_caller]
    pub fn end(&mut self) -> End {
        self.end_within(PATIENCE)
    }

    /// The same, for a program that takes its time.
    #[track_caller]
    pub fn end_within(&mut self, limit: Duration) -> End {
        let Some(status) = self.wait(limit) else {
            panic!("still runs after {limit:?}:\n{}{}", self.stdout.text(), self.stderr.text())
        };
        let whole = |record: &Record| {
            record.wait_for_end();
            record.text()
        };
        let end = End { status: status.code(), stdout: whole(&self.stdout), stderr: whole(&self.stderr) };
        if self.json {
            schema::assert_lines(&complete_lines(end.stdout.as_bytes()));
        }
        end
    }

    fn wait(&mut self, limit: Duration) -> Option<std::process::ExitStatus> {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            thread::sleep(Duration::from_millis(2));
        }
        None
    }

    /// Sends SIGTERM and waits for the end.
    #[track_caller]
    pub fn stop(&mut self) -> End {
        self.signal(Signal::SIGTERM);
        self.end()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A `listener`, or another server, that listens.
pub struct Listener {
    program: Program,
    /// Its address, as its first line said.
    pub address: SocketAddr,
}

impl Listener {
    /// On 127.0.0.1 and any port.
    #[track_caller]
    pub fn start(options: &[&str]) -> Self {
        Self::on("127.0.0.1", options)
    }

    /// On `ip` and any port.
    #[track_caller]
    pub fn on(ip: &str, options: &[&str]) -> Self {
        Self::at(ip, 0, options)
    }

    /// On `ip` and `port`.
    #[track_caller]
    pub fn at(ip: &str, port: u16, options: &[&str]) -> Self {
        let port = port.to_string();
        Self::from(Program::start("listener", &[&[port.as_str(), ip], options].concat()))
    }

    /// A `relay` on 127.0.0.1 and any port.
    #[track_caller]
    pub fn relay(options: &[&str]) -> Self {
        Self::from(Program::start("relay", &[&["0", "127.0.0.1"], options].concat()))
    }

    /// With so many descriptors at most; `limit` is what ulimit calls it, soft and hard or soft alone.
    #[track_caller]
    pub fn with_descriptors(limit: &str, most: usize, options: &[&str]) -> Self {
        let script = format!("ulimit {limit} {most} && exec \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, path("listener"), "0", "127.0.0.1"]).args(options);
        Self::from(Program::spawn(&mut command))
    }

    #[track_caller]
    fn from(program: Program) -> Self {
        let line = program.line_with(&["listening"]);
        let address = match serde_json::from_str::<serde_json::Value>(&line) {
            Ok(object) => object["local"].as_str().unwrap().parse().unwrap(),
            Err(_) => field(&line, "local").parse().unwrap(),
        };
        Self { program, address }
    }
}

impl Deref for Listener {
    type Target = Program;

    fn deref(&self) -> &Program {
        &self.program
    }
}

impl DerefMut for Listener {
    fn deref_mut(&mut self) -> &mut Program {
        &mut self.program
    }
}

/// Starts `connector LOCAL_IP LOCAL_PORT REMOTE_IP REMOTE_PORT` and then `rest`.
pub fn connector(local: SocketAddr, remote: SocketAddr, rest: &[&str]) -> Program {
    let words = |address: SocketAddr| [address.ip().to_string(), address.port().to_string()];
    let [local_ip, local_port] = words(local);
    let [remote_ip, remote_port] = words(remote);
    let addresses = [local_ip.as_str(), &local_port, &remote_ip, &remote_port];
    Program::start("connector", &[&addresses, rest].concat())
}

/// A connector whose message of 120,000 bytes does not fit what its server, which does not read, takes.
#[track_caller]
pub fn connector_with_unsent_bytes(options: &[&str]) -> (Program, TcpStream) {
    let server = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    server.set_recv_buffer_size(4096).unwrap();
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    server.bind(&any_port.into()).unwrap();
    server.listen(1).unwrap();
    let address = server.local_addr().unwrap().as_socket().unwrap();
    let message = "x".repeat(120_000);
    let program = connector(any_port, address, &[&[&message, "--send-buffer", "8KiB"], options].concat());
    program.line("heartbeat sequence=1 ");
    (program, client::accept(&server.into()))
}

/// What a stream has carried so far, gathered by a thread.
#[derive(Clone, Default)]
struct Record(Arc<Shared>);

#[derive(Default)]
struct Shared {
    stream: Mutex<Stream>,
    more: Condvar,
}

#[derive(Default)]
struct Stream {
    bytes: Vec<u8>,
    ended: bool,
}

impl Record {
    fn ended() -> Self {
        let record = Self::default();
        record.stream().ended = true;
        record
    }

    fn of(mut source: impl Read + Send + 'static) -> Self {
        let record = Self::default();
        let writer = record.clone();
        thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while !writer.stream().ended {
                let length = source.read(&mut buffer).unwrap_or(0);
                let mut stream = writer.stream();
                stream.bytes.extend_from_slice(&buffer[..length]);
                stream.ended = length == 0;
                writer.0.more.notify_all();
            }
        });
        record
    }

    fn stream(&self) -> MutexGuard<'_, Stream> {
        self.0.stream.lock().unwrap()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.stream().bytes).into_owned()
    }

    /// The first answer of `look`, asked whenever there is more; `None` at the end or when patience ends.
    fn wait<T>(&self, look: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + PATIENCE;
        let mut stream = self.stream();
        loop {
            let answer = look(&stream.bytes);
            let left = deadline.saturating_duration_since(Instant::now());
            if answer.is_some() || stream.ended || left.is_zero() {
                return answer;
            }
            stream = self.0.more.wait_timeout(stream, left).unwrap().0;
        }
    }

    fn wait_for_end(&self) {
        let _: Option<()> = self.wait(|_| None);
    }
}

/// What stands before the last newline: a line that is still being written is no line yet.
fn complete_lines(bytes: &[u8]) -> String {
    let end = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}
