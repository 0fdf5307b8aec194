//! A server under measurement.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek};
use std::iter;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::cpus::cpu_seconds;
use crate::error::{Error, Result};
use crate::peers::Peer;

/// How long a server has to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// A peer that runs. It is ended on drop.
pub struct Server {
    pub address: SocketAddr,
    process: Child,
    /// What it says on standard error.
    said: File,
}

impl Server {
    /// Starts `peer` on a port that no other server of this run has.
    pub fn start(peer: Peer) -> Result<Self> {
        static NEXT: AtomicU16 = AtomicU16::new(7001);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, NEXT.fetch_add(1, Ordering::Relaxed)));
        let said = unnamed_file()?;
        let words = peer.words(address.port());
        let (program, arguments) =
            words.split_first().ok_or_else(|| Error::unable("a peer without a command"))?;
        let started = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said.try_clone()?)
            .spawn();
        let process = started.map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::unable(format!("{program} is not installed")),
            _ => Error::unable(format!("{program}: {error}")),
        })?;
        Ok(Self { address, process, said })
    }

    /// Starts `peer` and waits until it listens.
    pub fn ready(peer: Peer) -> Result<Self> {
        let mut server = Self::start(peer)?;
        let deadline = Instant::now() + PATIENCE;
        while !is_listening(server.address)? {
            server.check_runs()?;
            if Instant::now() > deadline {
                return Err(Error::unable(format!("does not listen within {} s", PATIENCE.as_secs())));
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(server)
    }

    /// Its last words, if it has ended.
    pub fn check_runs(&mut self) -> Result<()> {
        let Some(status) = self.process.try_wait()? else { return Ok(()) };
        let mut words = String::new();
        self.said.rewind()?;
        self.said.read_to_string(&mut words)?;
        Err(Error::unable(words.lines().last().map_or(format!("ended with {status}"), str::to_owned)))
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// A line of /proc/PID/status in bytes: `RssAnon`, `VmHWM`.
    pub fn memory(&self, key: &str) -> Result<u64> {
        memory(self.pid(), "status", key)
    }

    /// Anonymous memory of its process and of those that it has started, in bytes: `Pss_Anon` of proc_pid_smaps(5), in
    /// which each has its share of a page that several have.
    pub fn family_memory(&self) -> Result<u64> {
        self.family()?.into_iter().map(|pid| memory(pid, "smaps_rollup", "Pss_Anon")).sum()
    }

    /// Waits until it does nothing more for clients that have gone.
    pub fn wait_until_idle(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let before = cpu_seconds(self.pid())?;
            thread::sleep(Duration::from_millis(10));
            if self.family()?.len() == 1 && cpu_seconds(self.pid())? == before {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Error::unable("is still busy with clients that have gone"));
            }
        }
    }

    /// Its process, and those that it has started and not reaped.
    fn family(&self) -> Result<Vec<u32>> {
        let pid = self.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        Ok(iter::once(pid).chain(children.split_whitespace().flat_map(str::parse)).collect())
    }
}

/// A line of a file in /proc/PID, in bytes.
fn memory(pid: u32, file: &str, key: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}"))?;
    kibibytes(&text, key)
        .map(|kibibytes| kibibytes * 1024)
        .ok_or_else(|| Error::unable(format!("no {key} in {file}")))
}

/// The number of a line such as `Pss_Anon:   12 kB`.
fn kibibytes(text: &str, key: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    value.split_whitespace().next()?.parse().ok()
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn unnamed_file() -> io::Result<File> {
    let path = format!("target/bench/said-{}", std::process::id());
    let file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
    fs::remove_file(path)?;
    Ok(file)
}

/// Whether the kernel's table has a listening socket there: a look, and not a connection that must be served.
fn is_listening(address: SocketAddr) -> Result<bool> {
    let table = fs::read_to_string("/proc/net/tcp")?;
    let port = format!(":{:04X}", address.port());
    Ok(table.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // 0A is LISTEN.
        matches!(fields.as_slice(), [_, local, _, "0A", ..] if local.ends_with(&port))
    }))
}

#[cfg(test)]
mod tests {
    use super::kibibytes;

    #[test]
    fn a_line_is_found_by_its_whole_name() {
        let text = "Pss:  9 kB\nPss_Anon:         12 kB\nPss_File:  3 kB\n";
        assert_eq!(kibibytes(text, "Pss_Anon"), Some(12));
        assert_eq!(kibibytes(text, "Pss_Shmem"), None);
    }
}
