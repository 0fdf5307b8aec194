//! The users whose sockets may be met here.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::kernel::inet_diag::SocketRow;
use crate::kernel::owners::pids;

/// Those who have a name, a process or one of these sockets.
pub(crate) fn users(rows: &[SocketRow]) -> BTreeSet<u32> {
    let names = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = names.lines().filter_map(|line| line.split(':').nth(2)?.parse().ok());
    let running = pids().into_iter().filter_map(|pid| Some(fs::metadata(format!("/proc/{pid}")).ok()?.uid()));
    named.chain(running).chain(rows.iter().map(|row| row.uid)).collect()
}

/// Whether this user namespace has a single user, as that of an ordinary user has: user_namespaces(7).
pub(crate) fn are_one() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let counts = map.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok());
    counts.sum::<u64>() == 1
}
