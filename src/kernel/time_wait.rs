//! TIME-WAIT: how long it lasts, and when the kernel lets a new connection replace one.

use std::net::IpAddr;
use std::time::Duration;

use super::sysctl::setting;

/// How long Linux keeps a connection in TIME-WAIT (`TCP_TIMEWAIT_LEN` in include/net/tcp.h); no setting changes it.
pub const TIME_WAIT: Duration = Duration::from_secs(60);

/// When a four-tuple may be used again out of TIME-WAIT, where the remote side has timestamps too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reuse {
    /// `net.ipv4.tcp_timestamps`: whether it may at all; a port that bind(2) gave always may then (`tcp_twsk_unique`).
    pub timestamps: bool,
    /// Where connect(2) picks such a port by itself.
    pub picks: Picks,
    /// `net.ipv4.tcp_tw_reuse_delay`: how old it has to be for connect(2) to pick it.
    pub delay: Duration,
}

/// Where connect(2) picks a port whose four-tuple is in TIME-WAIT: `net.ipv4.tcp_tw_reuse`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picks {
    /// Nowhere: 0.
    Never,
    /// Everywhere: 1.
    Always,
    /// Where one of the addresses is loopback: 2, the default.
    Loopback,
}

impl Reuse {
    /// As this network's settings have it.
    pub fn now() -> Self {
        let setting = |name: &str| setting(&format!("net.ipv4.{name}")).unwrap_or_default();
        let picks = match setting("tcp_tw_reuse").as_str() {
            "0" => Picks::Never,
            "1" => Picks::Always,
            _ => Picks::Loopback,
        };
        // The setting is Linux 6.14's; before, it was one second.
        let delay = Duration::from_millis(setting("tcp_tw_reuse_delay").parse().unwrap_or(1000));
        Self { timestamps: !["", "0"].contains(&setting("tcp_timestamps").as_str()), picks, delay }
    }

    /// Whether connect(2) may pick a port whose connection between these is in TIME-WAIT, once it is old enough.
    pub fn may_pick(&self, local: IpAddr, remote: IpAddr) -> bool {
        let loopback = || [local, remote].iter().any(|ip| ip.to_canonical().is_loopback());
        self.timestamps
            && match self.picks {
                Picks::Never => false,
                Picks::Always => true,
                Picks::Loopback => loopback(),
            }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::time::Instant;

    use super::*;
    use crate::kernel::inet_diag::{SocketRow, sockets};
    use crate::net::TcpState;

    #[test]
    fn the_kernel_keeps_a_connection_in_time_wait_for_so_long() {
        let listening = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listening.local_addr().unwrap()).unwrap();
        let (server, remote) = listening.accept().unwrap();
        let begin = Instant::now();
        drop(client);
        drop(server);
        let waiting = |row: &SocketRow| row.state == TcpState::TimeWait && row.local == remote;
        let row = loop {
            if let Some(row) = sockets().unwrap().into_iter().find(waiting) {
                break row;
            }
            assert!(begin.elapsed() < TIME_WAIT, "it does not come to TIME-WAIT");
        };
        let left = row.timer.unwrap().remaining;
        // The kernel counts in jiffies.
        let passed = begin.elapsed() + Duration::from_millis(50);
        assert!(left <= TIME_WAIT && left + passed >= TIME_WAIT, "{left:?} left after {passed:?}");
    }
}
