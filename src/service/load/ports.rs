//! Source ports, one after the other, round and round.

use std::ops::RangeInclusive;

use nix::errno::Errno;

use crate::error::Error;

/// Every `step`th port of a range, without end.
///
/// A chosen port spares connect(2) its search for a free one, which takes long where most are taken.
#[derive(Clone, Debug)]
pub(crate) struct SourcePorts {
    range: RangeInclusive<u16>,
    step: u16,
    next: u16,
}

impl SourcePorts {
    /// The `share`th of `shares` parts of the ports from `low` to `high`; no two parts have one in common.
    pub(crate) fn share((low, high): (u16, u16), share: u16, shares: u16) -> Self {
        let first = low.saturating_add(share).min(high);
        Self { range: first..=high, step: shares.max(1), next: first }
    }

    pub(crate) fn take(&mut self) -> u16 {
        let port = self.next;
        let after = port.checked_add(self.step).filter(|after| self.range.contains(after));
        self.next = after.unwrap_or(*self.range.start());
        port
    }
}

/// Whether an open failed for what another source port may mend.
pub(super) fn is_taken(error: &Error) -> bool {
    // EADDRNOTAVAIL from bind(2) is an address that is not this host's.
    matches!(
        (error.call(), error.errno()),
        ("bind", Some(Errno::EADDRINUSE)) | ("connect", Some(Errno::EADDRNOTAVAIL))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_no_port_in_common_and_all_are_used() {
        let mut all = Vec::new();
        for share in 0..3 {
            let mut ports = SourcePorts::share((65_529, 65_535), share, 3);
            let begins = ports.next;
            loop {
                all.push(ports.take());
                if ports.next == begins {
                    break;
                }
            }
        }
        all.sort_unstable();
        assert_eq!(all, (65_529..=65_535).collect::<Vec<u16>>());
    }
}
