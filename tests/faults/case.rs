//! One fault, injected while a program works, and the verdict on what it did.

use std::fmt;
use std::net::{SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal::{SIGTERM, SIGUSR2};

use super::load::{self, Fate};
use super::program::{Listener, Program};
use super::strace::{Attached, EVERY_20TH, Fault, Record, run_with};

/// The longest that a program may take to serve somebody, or to end.
pub const HANG: Duration = Duration::from_secs(50);
/// Connections open at the end, so that every 20th call of a drain can fail too.
const OPEN_AT_THE_END: usize = 20;

/// What a fault did.
pub struct Outcome {
    pub program: &'static str,
    pub fault: Fault,
    /// How often the call was made to fail.
    pub faults: usize,
    /// Clients that were not served, of 41 or more.
    pub lost: usize,
    /// What should not have been.
    pub complaint: Option<String>,
}

impl Outcome {
    pub fn new(
        program: &'static str,
        fault: Fault,
        judge: impl FnOnce(&mut Self) -> Result<(), String>,
    ) -> Self {
        let mut outcome = Self { program, fault, faults: 0, lost: 0, complaint: None };
        // The vocabulary panics where something is waited for in vain.
        let verdict = catch_unwind(AssertUnwindSafe(|| judge(&mut outcome)));
        outcome.complaint = verdict.unwrap_or_else(|_| Err("see the panic above".to_owned())).err();
        outcome
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { program, fault: Fault { call, errno, when }, faults, lost, complaint } = self;
        let verdict = match complaint {
            Some(complaint) => format!("NOT OK: {complaint}"),
            None if *faults == 0 => "not reached".to_owned(),
            None => "ok".to_owned(),
        };
        write!(f, "{program:<10} {call:<13} {errno:<15} {:<5} {faults:>6} {lost:>4}  {verdict}", when.0)
    }
}

/// A listener of this model under load, and what it did when the call failed.
pub fn listener(model: &'static str, fault: Fault) -> Outcome {
    Outcome::new(model, fault, |outcome| {
        let (record, fates) = load_listener(model, Some(fault))?;
        outcome.faults = record.faults(fault.call);
        outcome.lost = fates.iter().filter(|&&fate| fate != Fate::Served).count();
        let stuck = fates.iter().filter(|&&fate| fate == Fate::Stuck).count();
        if fates.contains(&Fate::Corrupted) {
            return Err("a client got other bytes than it had sent".to_owned());
        }
        // A close(2) that was not made sends no FIN. The kernel's own errors come after it has closed.
        if stuck > 0 && fault.call != "close" {
            return Err(format!("{stuck} clients waited in vain"));
        }
        if outcome.lost > outcome.faults {
            return Err(format!("{} lost by {} faults", outcome.lost, outcome.faults));
        }
        Ok(())
    })
}

/// Puts load on a listener of this model and ends it.
pub fn load_listener(model: &str, fault: Option<Fault>) -> Result<(Record, Vec<Fate>), String> {
    let buffers = ["--send-buffer", "16KiB", "--receive-buffer", "16KiB"];
    let options = [&["--model", model, "--verbose", "--drain", "100ms"], &buffers[..]].concat();
    let mut listener = Listener::on("0.0.0.0", &options);
    let address = SocketAddr::from(([127, 0, 0, 1], listener.address.port()));
    let strace = Attached::to(listener.pid(), fault)?;
    let fates = load::clients(address);
    end_loaded(&mut listener, address, strace, fates, || load::one_more(address))
}

/// Ends a server that has been under load, once it has served one more.
pub fn end_loaded(
    server: &mut Listener,
    address: SocketAddr,
    strace: Attached,
    mut fates: Vec<Fate>,
    one_more: impl Fn() -> Fate,
) -> Result<(Record, Vec<Fate>), String> {
    server.signal(SIGUSR2);
    // A fault may be due for this one too.
    for _ in 0..3 {
        fates.push(one_more());
        if fates.last() == Some(&Fate::Served) {
            break;
        }
    }
    let served = fates.last() == Some(&Fate::Served);
    let _open: Vec<_> = (0..OPEN_AT_THE_END).map(|_| TcpStream::connect(address)).collect();
    server.signal(SIGTERM);
    let end = end_in_time(server)?;
    let record = strace.end();
    match end {
        (Some(0), stderr) if stderr.is_empty() && served => Ok((record, fates)),
        (Some(0), stderr) if stderr.is_empty() => Err(format!("nobody is served afterwards: {fates:?}")),
        (status, stderr) => Err(format!("status {status:?}, {stderr:?}")),
    }
}

/// A connector whose call failed: it goes on, or ends with status 1 and names call and errno.
pub fn connector(fault: Fault, server: SocketAddr) -> Outcome {
    Outcome::new("connector", fault, |outcome| {
        let (record, (status, stderr)) = run_connector(fault, server)?;
        outcome.faults = record.faults(fault.call);
        outcome.lost = usize::from(status != Some(0));
        match status {
            Some(0) if stderr.is_empty() => Ok(()),
            Some(1) if stderr.lines().next().is_some_and(|line| names(line, fault)) => Ok(()),
            _ => Err(format!("status {status:?}, {stderr:?}")),
        }
    })
}

/// Runs a connector of some heartbeats to its end.
fn run_connector(fault: Fault, server: SocketAddr) -> Result<(Record, (Option<i32>, String)), String> {
    let (mut command, record) = run_with(fault, super::program::path("connector"));
    let (ip, port) = (server.ip().to_string(), server.port().to_string());
    // The last heartbeat, too, must be answered within an interval.
    let (count, interval) = if fault.when == EVERY_20TH { ("25", "200ms") } else { ("3", "1s") };
    command.args(["127.0.0.1", "0", &ip, &port, "hello", "--count", count, "--interval", interval]);
    command.args(["--connect-timeout", "20s", "--receive-timeout", "20s"]);
    let mut connector = Program::spawn(&mut command);
    let end = end_in_time(&mut connector)?;
    Ok((record, end))
}

/// Whether the line says which call failed and how; an RST is one, whichever call tells of it.
pub fn names(line: &str, fault: Fault) -> bool {
    let call = match fault.call {
        "recvfrom" => "recv",
        "sendto" => "send",
        "epoll_create1" => "epoll_create",
        "clone3" => "clone",
        "eventfd2" => "eventfd",
        "ioctl" if line.contains("tcgetattr") => "tcgetattr",
        call => call,
    };
    let errno = match (call, fault.errno) {
        (_, "EPIPE") => "ECONNRESET",
        // As pthread_create(3) has it.
        ("clone", "ENOMEM") => "EAGAIN",
        (_, errno) => errno,
    };
    let reset = errno == "ECONNRESET" && ["recv", "send"].contains(&call);
    let said = ["connector: ", "talk: "].iter().find_map(|program| line.strip_prefix(program));
    let called = said.and_then(|rest| rest.split([' ', ':']).next());
    // mio makes both calls, and does not say which one failed.
    let waker = call == "epoll_ctl" && called == Some("eventfd");
    (called == Some(call) || waker || reset) && line.contains(&format!(": {errno} ("))
}

/// The status and what standard error had, if the end comes in time.
pub fn end_in_time(program: &mut Program) -> Result<(Option<i32>, String), String> {
    let begin = Instant::now();
    let end = program.end();
    if begin.elapsed() > HANG {
        return Err(format!("ended after {:?}", begin.elapsed()));
    }
    Ok((end.status, end.stderr))
}
