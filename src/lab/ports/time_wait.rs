//! How long TIME-WAIT keeps a port from the next connection.

use std::net::IpAddr;
use std::time::Duration;

use super::method::PortChoice;
use crate::kernel::settings::{Settings, setting};

/// How long Linux keeps a connection in TIME-WAIT (`TCP_TIMEWAIT_LEN` in include/net/tcp.h).
pub(super) const LENGTH: Duration = Duration::from_secs(60);

/// When a four-tuple may be used again out of TIME-WAIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeWait {
    timestamps: bool,
    reuse: Reuse,
    /// How old it has to be for connect(2) to pick it.
    delay: Duration,
}

/// Where connect(2) picks a port whose four-tuple is in TIME-WAIT: `net.ipv4.tcp_tw_reuse`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reuse {
    Never,
    Always,
    Loopback,
}

impl TimeWait {
    /// As this network's settings have it.
    pub(super) fn of(settings: &Settings) -> Self {
        let reuse = match settings.time_wait_reuse {
            0 => Reuse::Never,
            1 => Reuse::Always,
            _ => Reuse::Loopback,
        };
        // The setting is Linux 6.14's; before, it was one second.
        let delay = setting("net.ipv4.tcp_tw_reuse_delay").and_then(|delay| delay.parse().ok());
        let delay = Duration::from_millis(delay.unwrap_or(1000));
        Self { timestamps: settings.timestamps, reuse, delay }
    }

    /// For how long after its begin a connection in TIME-WAIT that would last `length` is in the way of the next one
    /// from `source` to `remote`, where the remote side has timestamps too.
    pub(super) fn hold(
        &self,
        choice: PortChoice,
        source: IpAddr,
        remote: IpAddr,
        length: Duration,
    ) -> Duration {
        let loopback = [source, remote].iter().any(|ip| ip.to_canonical().is_loopback());
        match (choice, self.reuse) {
            (PortChoice::Bind, _) => length,
            (PortChoice::Program, _) if self.timestamps => Duration::ZERO,
            (PortChoice::Connect, Reuse::Always) if self.timestamps => self.delay.min(length),
            (PortChoice::Connect, Reuse::Loopback) if self.timestamps && loopback => self.delay.min(length),
            _ => length,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_wait_holds_a_port_as_the_settings_and_the_way_to_choose_it_have_it() {
        let (loopback, other) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([192, 0, 2, 1]));
        let delay = Duration::from_secs(1);
        for (choice, timestamps, reuse, remote, held) in [
            (PortChoice::Bind, true, Reuse::Always, loopback, LENGTH),
            (PortChoice::Program, true, Reuse::Never, other, Duration::ZERO),
            (PortChoice::Program, false, Reuse::Always, other, LENGTH),
            (PortChoice::Connect, true, Reuse::Always, other, delay),
            (PortChoice::Connect, false, Reuse::Always, other, LENGTH),
            (PortChoice::Connect, true, Reuse::Loopback, loopback, delay),
            (PortChoice::Connect, true, Reuse::Loopback, other, LENGTH),
            (PortChoice::Connect, false, Reuse::Loopback, loopback, LENGTH),
            (PortChoice::Connect, true, Reuse::Never, loopback, LENGTH),
        ] {
            let time_wait = TimeWait { timestamps, reuse, delay };
            let found = time_wait.hold(choice, other, remote, LENGTH);
            assert_eq!(found, held, "{choice:?} {timestamps} {reuse:?} {remote}");
            let short = Duration::from_millis(1);
            assert_eq!(time_wait.hold(choice, other, remote, short), held.min(short));
        }
    }
}
