//! Whether descriptors, ports and memory suffice, and what to change where they do not.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};

use crate::error::{Error, Result};
use crate::kernel::holders::{Holder, listeners_at};
use crate::kernel::memory::available;
use crate::kernel::table::table;
use crate::lab::explain::explain;
use crate::net::{SocketOptions, TcpState, bind};
use crate::service::load::{MOST_OWNERS, Spread};
use nix::sys::resource::{Resource, getrlimit};

/// Descriptors of a process that are no connections, with some to spare.
const OTHERS: u64 = 32;
/// The most processes that hold.
const MOST_PROCESSES: usize = 500;
/// What a connection costs in bytes: each end in the kernel, and in the program that has it.
const KERNEL: u64 = 4_400;
const USER: u64 = 250;
/// What a process costs in bytes before it holds anything.
const PROCESS: u64 = 3_000_000;

/// What the computation found.
pub(super) struct Preflight {
    /// Processes to start.
    pub processes: usize,
    /// The local processes that listen at the destinations, those that we may see.
    pub listeners: Vec<u32>,
}

/// The ports of the range that no socket at `source` has, TIME-WAIT apart; all of them where nobody can say.
pub(super) fn free_ports(source: IpAddr, (low, high): (u16, u16)) -> Vec<u16> {
    let rows = table().map(|table| table.rows).unwrap_or_default();
    let taken = rows.iter().filter(|row| {
        let ip = row.local.ip().to_canonical();
        row.state != TcpState::TimeWait && (ip == source || ip.is_unspecified() || source.is_unspecified())
    });
    let taken: BTreeSet<u16> = taken.map(|row| row.local.port()).collect();
    (low..=high).filter(|port| !taken.contains(port)).collect()
}

/// Computes whether so many connections can be held.
///
/// # Errors
///
/// What is missing, in words, and the next step.
pub(super) fn check(count: usize, spread: &Spread, range: (u16, u16)) -> Result<Preflight> {
    let any_port = SocketAddr::new(spread.source, 0);
    let options = SocketOptions::default();
    bind(any_port, &options).map_err(|error| explain(error, any_port, None, &options))?;
    let shortage = Shortage { count };
    shortage.of_families(spread)?;
    shortage.of_ports(spread, range)?;
    let processes = shortage.of_own_descriptors()?;
    let local = spread.remotes.iter().all(|remote| remote.ip().is_loopback());
    let ends = if local { 2 } else { 1 };
    shortage.of_all_descriptors(ends, &fs::read_to_string("/proc/sys/fs/file-nr").unwrap_or_default())?;
    shortage.of_memory(ends, processes, available().unwrap_or(u64::MAX))?;
    let listeners = listeners_at(&spread.remotes).unwrap_or_default();
    shortage.of_listeners(spread, local, &listeners)?;
    let pids = listeners.iter().flat_map(|listener| &listener.processes).map(|process| process.pid);
    Ok(Preflight { processes, listeners: pids.collect::<BTreeSet<u32>>().into_iter().collect() })
}

/// The words for what is missing.
struct Shortage {
    count: usize,
}

impl Shortage {
    fn error(&self, fact: impl Display, step: impl Display) -> Error {
        let fact = io::Error::other(fact.to_string());
        Error::new("hold", format_args!("{} connections", self.count), fact).hint(step)
    }

    fn of_families(&self, spread: &Spread) -> Result<()> {
        let strange = spread.remotes.iter().find(|remote| remote.is_ipv4() != spread.source.is_ipv4());
        strange.map_or(Ok(()), |remote| {
            let fact = format!("{} and {} are of two families", spread.source, remote.ip());
            Err(self.error(fact, "IPv4 addresses alone, or IPv6 addresses alone"))
        })
    }

    fn of_ports(&self, spread: &Spread, (low, high): (u16, u16)) -> Result<()> {
        let (ports, destinations, capacity) = (spread.ports.len(), spread.remotes.len(), spread.capacity());
        if self.count <= capacity {
            return Ok(());
        }
        let fact = format!(
            "{ports} free source ports from {low} to {high} and {destinations} destinations make {capacity} \
             four-tuples, {MOST_OWNERS} a port at most"
        );
        let needed = self.count.div_ceil(ports.max(1));
        let all_ports = usize::from(u16::MAX);
        let step = if needed <= MOST_OWNERS {
            format!("{needed} destinations (--remote): listeners on more ports or addresses")
        } else if self.count <= MOST_OWNERS * all_ports {
            format!("more ports (--source-ports), at least {}", self.count.div_ceil(MOST_OWNERS))
        } else {
            format!("{} connections at most, from all ports of one source address", MOST_OWNERS * all_ports)
        };
        Err(self.error(fact, step))
    }

    /// How many processes it takes.
    fn of_own_descriptors(&self) -> Result<usize> {
        let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(_, hard)| hard);
        let each = usize::try_from(limit.saturating_sub(OTHERS)).unwrap_or(usize::MAX);
        let processes = self.count.div_ceil(each.max(1));
        if each > 0 && processes <= MOST_PROCESSES {
            return Ok(processes);
        }
        let needed = self.count.div_ceil(MOST_PROCESSES) as u64 + OTHERS;
        Err(self.error(
            format_args!(
                "a process may open {limit} descriptors, and {MOST_PROCESSES} processes are the most"
            ),
            format_args!("a hard limit of {needed} at least: `ulimit -Hn {needed}` as root"),
        ))
    }

    /// `file_nr`, proc_sys_fs(5): how many files are open, a number unused, and how many may be.
    fn of_all_descriptors(&self, ends: u64, file_nr: &str) -> Result<()> {
        let numbers: Vec<u64> = file_nr.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        let [open, _, most] = numbers[..] else { return Ok(()) };
        let needed = open + self.count as u64 * ends + OTHERS;
        if needed <= most {
            return Ok(());
        }
        Err(self.error(
            format_args!("the system may have {most} files open, and {needed} are needed"),
            format_args!("`sysctl fs.file-max={needed}`"),
        ))
    }

    fn of_memory(&self, ends: u64, processes: usize, available: u64) -> Result<()> {
        let each = ends * (KERNEL + USER);
        let needed = self.count as u64 * each + processes as u64 * PROCESS;
        if needed <= available {
            return Ok(());
        }
        let (needed, free) = (needed >> 20, available >> 20);
        let fits = available.saturating_sub(processes as u64 * PROCESS) / each;
        Err(self.error(
            format_args!("about {needed} MiB of memory are needed, and {free} MiB are available"),
            format_args!("--count {fits}"),
        ))
    }

    /// Each destination gets an equal share, which its listeners must be able to open.
    fn of_listeners(&self, spread: &Spread, local: bool, listeners: &[Holder]) -> Result<()> {
        let share = self.count.div_ceil(spread.remotes.len().max(1)) as u64;
        for remote in &spread.remotes {
            let here: Vec<&Holder> = listeners.iter().filter(|holder| holder.covers(*remote)).collect();
            if local && here.is_empty() && !listeners.is_empty() {
                let (port, ip) = (remote.port(), remote.ip());
                let step = format!("`listener {port} {ip} --receive-timeout none` does");
                return Err(self.error(format_args!("nothing listens on {remote}"), step));
            }
            let processes = here.iter().flat_map(|holder| &holder.processes);
            let free: Vec<u64> = processes.filter_map(|process| free_descriptors(process.pid)).collect();
            let sum: u64 = free.iter().sum();
            if !free.is_empty() && sum < share {
                let enough = self.count.div_ceil(sum.max(1) as usize);
                return Err(self.error(
                    format_args!(
                        "{share} of them go to {remote}, whose listeners may open {sum} descriptors more"
                    ),
                    format_args!("{enough} destinations (--remote), each with a listener of its own"),
                ));
            }
        }
        Ok(())
    }
}

/// How many more a process may open, where we may see that.
fn free_descriptors(pid: u32) -> Option<u64> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let most: u64 = line.split_whitespace().next()?.parse().ok()?;
    let open = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
    Some(most.saturating_sub(open))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLION: Shortage = Shortage { count: 1_000_000 };

    #[test]
    fn a_million_pairs_do_not_fit_into_eight_gigabytes() {
        assert!(MILLION.of_memory(2, 51, 10_000_000_000).is_ok());
        let error = MILLION.of_memory(2, 51, 8_000_000_000).unwrap_err().to_string();
        assert!(
            error.starts_with("hold 1000000 connections: about 9015 MiB of memory are needed"),
            "{error}"
        );
        let fits = error.rsplit_once("hint: --count ").unwrap().1.parse().unwrap();
        assert!(Shortage { count: fits }.of_memory(2, 51, 8_000_000_000).is_ok());
        assert!(Shortage { count: fits + 1 }.of_memory(2, 51, 8_000_000_000).is_err());
    }

    #[test]
    fn both_ends_count_among_the_open_files_of_the_system() {
        assert!(MILLION.of_all_descriptors(2, "936\t0\t2466170\n").is_ok());
        assert!(MILLION.of_all_descriptors(1, "936\t0\t1466170\n").is_ok());
        let error = MILLION.of_all_descriptors(2, "936\t0\t1466170\n").unwrap_err().to_string();
        assert!(error.ends_with("hint: `sysctl fs.file-max=2000968`"), "{error}");
    }

    #[test]
    fn more_ports_are_told_where_more_destinations_would_have_too_many_owners() {
        let remote = |port| ([127, 0, 0, 1], port).into();
        let of = |count, ports| {
            let (ports, remotes) = ((20_000..20_000_u16 + ports).collect(), vec![remote(3000), remote(3001)]);
            let spread = Spread { source: [127, 0, 0, 1].into(), ports, remotes };
            Shortage { count }.of_ports(&spread, (20_000, 20_099))
        };
        assert!(of(20, 10).is_ok());
        let said = of(1000, 10).unwrap_err().to_string();
        assert!(said.contains("hint: 100 destinations (--remote)"), "{said}");
        let said = of(1001, 10).unwrap_err().to_string();
        assert!(said.contains("hint: more ports (--source-ports), at least 11"), "{said}");
    }
}
