//! The settings of this network namespace that decide who may bind or connect what, ip-sysctl in the kernel's documentation.

use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use nix::unistd::geteuid;

use crate::net::SocketOptions;
use crate::net::sharing_rule::Newcomer;

/// Longer in bytes than any value: every second port reserved.
const LONGEST: usize = 256 * 1024;

/// What sysctl(8) shows of them; a setting that cannot be read has the kernel's default.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `net.ipv4.ip_local_port_range`: the ports that the kernel picks from.
    pub port_range: RangeInclusive<u16>,
    /// `net.ipv4.ip_local_reserved_ports`: those of them that it passes over.
    pub reserved_ports: Vec<RangeInclusive<u16>>,
    /// `net.ipv4.ip_unprivileged_port_start`: lower ones take CAP_NET_BIND_SERVICE.
    pub unprivileged_port_start: u16,
    /// `net.ipv4.tcp_timestamps`: whether a new connection may replace one in TIME-WAIT.
    pub timestamps: bool,
    /// `net.ipv4.tcp_tw_reuse`: 0 off, 1 on, 2 on loopback alone.
    pub time_wait_reuse: u8,
    /// `net.ipv4.tcp_fin_timeout`: how long FIN-WAIT-2 lasts that no process has.
    pub fin_timeout: Duration,
    /// `net.ipv6.bindv6only`: whether IPV6_V6ONLY is set where nobody sets it.
    pub v6_only: bool,
    /// `net.ipv4.ip_nonlocal_bind`, and the same of IPv6.
    pub nonlocal_bind: [bool; 2],
    /// `net.ipv6.conf.all.disable_ipv6`: no interface has an IPv6 address, and lo neither.
    pub ipv6_off: bool,
}

impl Settings {
    /// Reads them.
    pub fn read() -> Self {
        let setting = |name: &str| setting(&format!("net.{name}")).unwrap_or_default();
        let range = setting("ipv4.ip_local_port_range");
        let mut ends = range.split_whitespace().filter_map(|end| end.parse().ok());
        let (lowest, highest) = (ends.next().unwrap_or(32_768), ends.next().unwrap_or(60_999));
        let on = |name| !["", "0"].contains(&setting(name).as_str());
        Self {
            port_range: lowest..=highest,
            reserved_ports: ranges(&setting("ipv4.ip_local_reserved_ports")),
            unprivileged_port_start: setting("ipv4.ip_unprivileged_port_start").parse().unwrap_or(1024),
            timestamps: on("ipv4.tcp_timestamps"),
            time_wait_reuse: setting("ipv4.tcp_tw_reuse").parse().unwrap_or(2),
            fin_timeout: Duration::from_secs(setting("ipv4.tcp_fin_timeout").parse().unwrap_or(60)),
            v6_only: on("ipv6.bindv6only"),
            nonlocal_bind: [on("ipv4.ip_nonlocal_bind"), on("ipv6.ip_nonlocal_bind")],
            ipv6_off: on("ipv6.conf.all.disable_ipv6"),
        }
    }

    /// What a socket of this user with these options asks for at this address.
    pub fn newcomer(&self, ip: IpAddr, options: &SocketOptions) -> Newcomer {
        Newcomer {
            ip,
            reuse_address: options.reuse_address,
            reuse_port: options.reuse_port,
            v6_only: options.v6_only.unwrap_or(self.v6_only),
            uid: geteuid().as_raw(),
        }
    }

    /// Whether the kernel never picks `port` by itself though its range has it.
    pub fn reserves(&self, port: u16) -> bool {
        self.reserved_ports.iter().any(|range| range.contains(&port))
    }

    /// Whether the kernel may pick `port` for a connection.
    pub fn picks(&self, port: u16) -> bool {
        self.port_range.contains(&port) && !self.reserves(port)
    }
}

/// Reads `3000,4000-4010`; what is no port is passed over.
fn ranges(list: &str) -> Vec<RangeInclusive<u16>> {
    let range = |item: &str| {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    list.split(',').filter_map(range).collect()
}

/// The value that a sysctl has now, for a setting under `net.` in this network; several numbers are apart by a blank.
pub fn setting(key: &str) -> Option<String> {
    let text = read_once(&format!("/proc/sys/{}", key.replace('.', "/"))).ok()?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_ports_are_single_ones_and_ranges() {
        assert_eq!(ranges("3000,4000-4010"), [3000..=3000, 4000..=4010]);
        assert!(ranges("").is_empty());
    }
}
