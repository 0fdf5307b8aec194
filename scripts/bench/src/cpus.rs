//! Processors: who runs where, and how much of them goes to somebody else.

use std::fs;
use std::time::Instant;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Pid, SysconfVar, sysconf};

use crate::error::Result;

/// Where a process may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the last processor, with which the load has nothing to do.
    Server,
    /// On the first.
    Load,
    /// Wherever the kernel likes.
    Anywhere,
}

/// The processors that this process may use.
pub struct Cpus {
    all: CpuSet,
    numbers: Vec<usize>,
}

impl Cpus {
    /// All that this process was given.
    pub fn given() -> Result<Self> {
        let all = sched_getaffinity(Pid::from_raw(0))?;
        let numbers = (0..CpuSet::count()).filter(|&cpu| all.is_set(cpu).unwrap_or_default()).collect();
        Ok(Self { all, numbers })
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.numbers.len()
    }

    /// Runs `start` at `place`; a process that it starts stays there.
    pub fn at<T>(&self, place: Place, start: impl FnOnce() -> Result<T>) -> Result<T> {
        let chosen = match place {
            Place::Server => self.numbers.last(),
            Place::Load => self.numbers.first(),
            Place::Anywhere => None,
        };
        let Some(&cpu) = chosen else { return start() };
        let mut one = CpuSet::new();
        one.set(cpu)?;
        sched_setaffinity(Pid::from_raw(0), &one)?;
        let started = start();
        sched_setaffinity(Pid::from_raw(0), &self.all)?;
        started
    }
}

/// What all processors have done up to a moment.
struct Account {
    at: Instant,
    /// Seconds that they had nothing to do.
    idle: f64,
    /// Seconds that this process, its ended children and the given processes have run.
    ours: f64,
}

/// Tells from time to time what others had.
pub struct Watch(Account);

impl Watch {
    /// Begins now.
    pub fn begin() -> Result<Self> {
        Ok(Self(Account::now(&[])?))
    }

    /// The share of all processors that went to others since this was last asked: to processes that are not ours, to
    /// the kernel's own work, and to the host of a virtual machine. `servers` run for us.
    pub fn others(&mut self, servers: &[u32]) -> Result<f64> {
        let now = Account::now(servers)?;
        let all = online()? * (now.at - self.0.at).as_secs_f64();
        let rest = all - (now.idle - self.0.idle) - (now.ours - self.0.ours);
        self.0 = now;
        Ok((rest / all).max(0.0))
    }
}

impl Account {
    /// As of now; `servers` are processes that run for us.
    fn now(servers: &[u32]) -> Result<Self> {
        let servers: f64 = servers.iter().map(|&pid| cpu_seconds(pid).unwrap_or_default()).sum();
        Ok(Self { at: Instant::now(), idle: idle_seconds()?, ours: servers + own_seconds()? })
    }
}

/// What a process has run so far, all threads together, the ended ones too.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(i32::try_from(pid)?))?;
    Ok(clock_gettime(clock)?.num_nanoseconds() as f64 / 1e9)
}

fn own_seconds() -> Result<f64> {
    let mut seconds = 0.0;
    for who in [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN] {
        let usage = getrusage(who)?;
        seconds += (usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e6;
    }
    Ok(seconds)
}

/// Idle time of all processors, and what they waited for a disk: proc_stat(5), in ticks.
fn idle_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let first = stat.lines().next().unwrap_or_default();
    let ticks: f64 =
        first.split_whitespace().skip(4).take(2).map_while(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks / sysconf(SysconfVar::CLK_TCK)?.unwrap_or(100) as f64)
}

fn online() -> Result<f64> {
    Ok(sysconf(SysconfVar::_NPROCESSORS_ONLN)?.unwrap_or(1) as f64)
}
