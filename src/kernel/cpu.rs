//! What a process has spent of the processor's time.

use std::fs;
use std::ops::Sub;
use std::time::Duration;

use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Pid, SysconfVar, sysconf};

use crate::error::{Error, Result};

/// Time that a process and those that it started have run so far, all threads together, the ended ones too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// All of it, to the nanosecond; of children that were waited for to the clock tick, 10 ms.
    pub total: Duration,
    /// Ticks in user mode and in the kernel.
    user: u64,
    system: u64,
}

impl CpuTime {
    /// That of process `pid`.
    ///
    /// # Errors
    ///
    /// `ENOENT` from `open` where there is no such process; `ESRCH` where it ends now.
    pub fn of(pid: u32) -> Result<Self> {
        let stat = Stat::of(pid)?;
        let own = clock(pid)?;
        let sum = Self { total: own + ticks(stat.children), user: stat.user, system: stat.system };
        // One that has ended meanwhile is among those waited for at the next look.
        let children = children(pid).into_iter().filter_map(|child| Self::of(child).ok());
        Ok(children.fold(sum, |sum, child| Self {
            total: sum.total + child.total,
            user: sum.user + child.user,
            system: sum.system + child.system,
        }))
    }

    /// The total's parts in user mode and in the kernel, in the proportion of the ticks counted in each.
    pub fn split(self) -> (Duration, Duration) {
        let user = match self.user + self.system {
            0 => Duration::ZERO,
            ticks => self.total.mul_f64(self.user as f64 / ticks as f64),
        };
        (user, self.total.saturating_sub(user))
    }
}

impl Sub for CpuTime {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            total: self.total.saturating_sub(earlier.total),
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }
}

/// clock_getcpuclockid(3): what all its threads have run.
fn clock(pid: u32) -> Result<Duration> {
    let failed = |errno| Error::new("clock_getcpuclockid", format_args!("process {pid}"), errno);
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(pid as i32)).map_err(failed)?;
    let time = clock_gettime(clock).map_err(failed)?;
    Ok(Duration::from_nanos(time.num_nanoseconds().unsigned_abs()))
}

/// A part of /proc/PID/stat, proc_pid_stat(5), in clock ticks.
struct Stat {
    user: u64,
    system: u64,
    /// Children that have ended and were waited for, and theirs.
    children: u64,
}

impl Stat {
    fn of(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/stat");
        let text = fs::read_to_string(&path).map_err(|error| {
            Error::new("open", &path, error).note(format_args!("there is no process {pid}"))
        })?;
        // The second field is a name of any characters, in parentheses.
        let rest = text.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let field = |number: usize| -> u64 {
            rest.split(' ').nth(number - 3).and_then(|text| text.parse().ok()).unwrap_or_default()
        };
        let (user, system) = (field(14) + field(16), field(15) + field(17));
        Ok(Self { user, system, children: field(16) + field(17) })
    }
}

fn ticks(ticks: u64) -> Duration {
    let a_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
    Duration::from_secs_f64(ticks as f64 / a_second as f64)
}

/// The processes that the threads of `pid` have started and that run.
fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, id};
    use std::time::Instant;

    fn spin(duration: Duration) {
        let start = Instant::now();
        while start.elapsed() < duration {}
    }

    #[test]
    fn a_thread_that_has_ended_still_counts() {
        let before = CpuTime::of(id()).unwrap();
        let spin = || {
            let start = CpuTime::of(id()).unwrap().total;
            while CpuTime::of(id()).unwrap().total < start + Duration::from_millis(20) {}
        };
        std::thread::spawn(spin).join().unwrap();
        let spent = CpuTime::of(id()).unwrap() - before;
        assert!(spent.total >= Duration::from_millis(20), "{spent:?}");
        let (user, system) = spent.split();
        assert_eq!(user + system, spent.total);
    }

    #[test]
    fn a_child_counts_while_it_runs_and_after_it_was_waited_for() {
        let before = CpuTime::of(id()).unwrap().total;
        // It ends by itself where this test fails first.
        let mut child = Command::new("sh").args(["-c", "ulimit -t 5; while :; do :; done"]).spawn().unwrap();
        spin(Duration::from_millis(1));
        let deadline = Instant::now() + Duration::from_secs(10);
        let busy = |time: Duration| time > before + Duration::from_millis(200);
        while !busy(CpuTime::of(child.id()).unwrap().total + before) {
            assert!(Instant::now() < deadline);
        }
        assert!(busy(CpuTime::of(id()).unwrap().total));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(busy(CpuTime::of(id()).unwrap().total));
    }

    #[test]
    fn a_process_that_is_not_there_is_named() {
        let error = CpuTime::of(u32::MAX / 2).unwrap_err();
        assert!(error.to_string().ends_with("there is no process 2147483647"), "{error}");
    }
}
