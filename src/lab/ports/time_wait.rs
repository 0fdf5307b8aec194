//! How long TIME-WAIT keeps a port from the next connection.

use std::net::IpAddr;
use std::time::Duration;

use super::method::PortChoice;
use crate::kernel::time_wait::Reuse;

/// For how long after its begin a connection in TIME-WAIT that would last `length` is in the way of the next one
/// from the first to the second of `addresses`, where the remote side has timestamps too.
pub(super) fn hold(reuse: Reuse, choice: PortChoice, addresses: [IpAddr; 2], length: Duration) -> Duration {
    let [source, remote] = addresses;
    match choice {
        PortChoice::Program if reuse.timestamps => Duration::ZERO,
        PortChoice::Connect if reuse.may_pick(source, remote) => reuse.delay.min(length),
        _ => length,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::time_wait::{Picks, TIME_WAIT};

    #[test]
    fn time_wait_holds_a_port_as_the_settings_and_the_way_to_choose_it_have_it() {
        let (loopback, other) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([192, 0, 2, 1]));
        let delay = Duration::from_secs(1);
        for (choice, timestamps, picks, remote, held) in [
            (PortChoice::Bind, true, Picks::Always, loopback, TIME_WAIT),
            (PortChoice::Program, true, Picks::Never, other, Duration::ZERO),
            (PortChoice::Program, false, Picks::Always, other, TIME_WAIT),
            (PortChoice::Connect, true, Picks::Always, other, delay),
            (PortChoice::Connect, false, Picks::Always, other, TIME_WAIT),
            (PortChoice::Connect, true, Picks::Loopback, loopback, delay),
            (PortChoice::Connect, true, Picks::Loopback, other, TIME_WAIT),
            (PortChoice::Connect, false, Picks::Loopback, loopback, TIME_WAIT),
            (PortChoice::Connect, true, Picks::Never, loopback, TIME_WAIT),
        ] {
            let reuse = Reuse { timestamps, picks, delay };
            let found = hold(reuse, choice, [other, remote], TIME_WAIT);
            assert_eq!(found, held, "{choice:?} {timestamps} {picks:?} {remote}");
            let short = Duration::from_millis(1);
            assert_eq!(hold(reuse, choice, [other, remote], short), held.min(short));
        }
    }
}
