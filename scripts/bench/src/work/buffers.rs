//! Where the buffers begin that servers read into.

use super::strace::strace;
use crate::error::{Error, Result};

/// A read of so many bytes is one in bulk.
const BULK: u64 = 4096;
/// What a copy likes a buffer to begin at a multiple of.
const ALIGNED: u64 = 32;

/// The share of a process's reads in bulk, during `work`, into a buffer at a multiple of 32 bytes.
pub fn aligned(pid: u32, work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let report = strace(pid, &["-e", "trace=read,recvfrom", "-e", "raw=read,recvfrom"], work)?;
    let reads: Vec<u64> = report.lines().filter_map(bulk_read).collect();
    match reads.len() {
        0 => Err(Error::unable("nothing was read in bulk")),
        count => Ok(reads.iter().filter(|&&address| address % ALIGNED == 0).count() as f64 / count as f64),
    }
}

/// The address in a line such as `7 recvfrom(0x9, 0x7f0000001000, 0x40000, 0, 0, 0) = 0x10000`, if so much was read.
fn bulk_read(line: &str) -> Option<u64> {
    let (call, outcome) = line.rsplit_once(" = ")?;
    let number = |word: &str| u64::from_str_radix(word.trim().strip_prefix("0x")?, 16).ok();
    let address = number(call.split_once('(')?.1.split(',').nth(1)?)?;
    (number(outcome)? >= BULK).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_in_bulk_count_and_no_other_line_does() {
        assert_eq!(
            bulk_read("7 recvfrom(0x9, 0x7f0000001010, 0x40000, 0, 0, 0) = 0x10000"),
            Some(0x7f00_0000_1010)
        );
        assert_eq!(bulk_read("7 read(0x9, 0x5000, 0x1000) = 0x1000"), Some(0x5000));
        for line in [
            "7 read(0x9, 0x5000, 0x1000) = 0x40",
            "7 read(0x9, 0x5000, 0x1000) = -1 EAGAIN (Resource temporarily unavailable)",
            "7 read(0x9, 0x5000, 0x1000) = 0",
            "7 recvfrom(0x9, 0x5000, 0x1000 <unfinished ...>",
            "7 --- SIGINT {si_signo=SIGINT} ---",
        ] {
            assert_eq!(bulk_read(line), None, "{line}");
        }
    }
}
