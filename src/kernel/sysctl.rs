//! One setting of the kernel, as sysctl(8) shows it.

use std::fs::File;
use std::io::{self, Read};

/// Longer in bytes than any value: every second port reserved.
const LONGEST: usize = 256 * 1024;

/// The value that a sysctl has now, for a setting under `net.` in this network; several numbers are apart by a blank.
///
/// A dot within a name is written as a slash, sysctl(8): `net.ipv6.conf.eth0/7.disable_ipv6`.
pub(crate) fn setting(key: &str) -> Option<String> {
    let swapped = |character| match character {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    let path: String = key.chars().map(swapped).collect();
    let text = read_once(&format!("/proc/sys/{path}")).ok()?;
    Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Reads a value by one call: of `ip_local_reserved_ports` the kernel gives the second one nothing, however little the
/// first one took.
fn read_once(path: &str) -> io::Result<String> {
    let mut value = vec![0; LONGEST];
    let length = File::open(path)?.read(&mut value)?;
    value.truncate(length);
    String::from_utf8(value).map_err(io::Error::other)
}
