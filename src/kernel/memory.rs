//! Memory: what the kernel has given to sockets, what a process has, what is left.

use std::fs;

use nix::unistd::{SysconfVar, sysconf};

use crate::error::{Error, Result};

/// Memory that the kernel itself uses, in bytes, of the whole system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct KernelMemory {
    /// Its own objects, sockets and open files among them: `Slab` in proc_meminfo(5).
    pub slab: u64,
    /// Bytes in TCP's buffers, in whole pages: `mem` in /proc/net/sockstat.
    pub buffers: u64,
}

impl KernelMemory {
    /// What it uses now.
    ///
    /// # Errors
    ///
    /// `ENOENT` from `open` where /proc is not there.
    pub(crate) fn now() -> Result<Self> {
        let sockstat = read("/proc/net/sockstat")?;
        let pages = sockstat.lines().find(|line| line.starts_with("TCP:")).and_then(|line| {
            let (_, rest) = line.split_once(" mem ")?;
            rest.split(' ').next()?.parse::<u64>().ok()
        });
        let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten().unwrap_or(4096);
        Ok(Self { slab: meminfo("Slab")?, buffers: pages.unwrap_or_default() * page.unsigned_abs() })
    }
}

/// Bytes that programs may still take without swapping: `MemAvailable` in proc_meminfo(5).
///
/// # Errors
///
/// `ENOENT` from `open` where /proc is not there.
pub(crate) fn available() -> Result<u64> {
    meminfo("MemAvailable")
}

/// Bytes that process `pid` has for itself alone: `RssAnon` in proc_pid_status(5).
///
/// # Errors
///
/// `ENOENT` from `open` where there is no such process.
pub(crate) fn of_process(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    Ok(kilobytes(&read(&path)?, "RssAnon"))
}

fn meminfo(key: &str) -> Result<u64> {
    Ok(kilobytes(&read("/proc/meminfo")?, key))
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).map_err(|error| Error::new("open", path, error))
}

/// The bytes that a line such as `Slab:   531288 kB` tells.
fn kilobytes(text: &str, key: &str) -> u64 {
    let value = |line: &str| {
        let rest = line.strip_prefix(key)?.strip_prefix(':')?;
        rest.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    text.lines().find_map(value).unwrap_or_default() * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_by_its_whole_name() {
        let text = "MemFree: 7 kB\nSlabs:  2 kB\nSlab:     531288 kB\nHugePages_Total:       0\n";
        assert_eq!(kilobytes(text, "Slab"), 531_288 * 1024);
        assert_eq!(kilobytes(text, "HugePages_Total"), 0);
    }

    #[test]
    fn what_a_process_takes_is_its_own() {
        let before = of_process(std::process::id()).unwrap();
        let taken = std::hint::black_box(vec![1_u8; 64 << 20]);
        let after = of_process(std::process::id()).unwrap();
        // Other tests of this process give memory back meanwhile.
        assert!(after > before + taken.len() as u64 / 2, "{before} {after}");
        assert!(available().unwrap() > 0 && KernelMemory::now().unwrap().slab > 0);
    }
}
