//! The settings of this network namespace that decide who may bind or connect what, ip-sysctl in the kernel's documentation.

use std::net::SocketAddr;
use std::time::Duration;

use nix::unistd::geteuid;

use super::device;
use super::port_range::PortRange;
use super::sysctl::setting;
use super::time_wait::Reuse;
use crate::net::SocketOptions;
use crate::net::sharing_rule::Newcomer;

/// What sysctl(8) shows of them; a setting that cannot be read has the kernel's default.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The ports that the kernel may pick from.
    pub ephemeral: PortRange,
    /// `net.ipv4.ip_unprivileged_port_start`: lower ones take CAP_NET_BIND_SERVICE.
    pub unprivileged_port_start: u16,
    /// When a new connection may replace one in TIME-WAIT.
    pub time_wait: Reuse,
    /// `net.ipv4.tcp_fin_timeout`: how long FIN-WAIT-2 lasts that no process has.
    pub fin_timeout: Duration,
    /// `net.ipv6.bindv6only`: whether IPV6_V6ONLY is set where nobody sets it.
    pub v6_only: bool,
    /// `net.ipv4.ip_nonlocal_bind`, and the same of IPv6.
    pub nonlocal_bind: [bool; 2],
}

impl Settings {
    pub(crate) fn read() -> Self {
        let setting = |name: &str| setting(&format!("net.{name}")).unwrap_or_default();
        let on = |name| !["", "0"].contains(&setting(name).as_str());
        Self {
            ephemeral: PortRange::now(),
            unprivileged_port_start: setting("ipv4.ip_unprivileged_port_start").parse().unwrap_or(1024),
            time_wait: Reuse::now(),
            fin_timeout: Duration::from_secs(setting("ipv4.tcp_fin_timeout").parse().unwrap_or(60)),
            v6_only: on("ipv6.bindv6only"),
            nonlocal_bind: [on("ipv4.ip_nonlocal_bind"), on("ipv6.ip_nonlocal_bind")],
        }
    }

    /// What a socket of this user with these options asks for at this address, whose zone has more say than SO_BINDTODEVICE.
    pub(crate) fn newcomer(&self, local: SocketAddr, options: &SocketOptions) -> Newcomer {
        Newcomer {
            ip: local.ip(),
            device: device::of_zone(local).or(options.device),
            reuse_address: options.reuse_address,
            reuse_port: options.reuse_port,
            v6_only: options.v6_only.unwrap_or(self.v6_only),
            uid: geteuid().as_raw(),
        }
    }
}
