//! The ports that the kernel may pick from.

use std::fmt;
use std::ops::RangeInclusive;

use crate::kernel::settings::Settings;

/// The ephemeral ports: `net.ipv4.ip_local_port_range` less `net.ipv4.ip_local_reserved_ports`, for IPv6 too.
///
/// Displays as `32768-60999`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortRange {
    low: u16,
    high: u16,
    reserved: Vec<RangeInclusive<u16>>,
}

impl PortRange {
    /// That of this network.
    pub fn now() -> Self {
        Self::of(&Settings::read())
    }

    pub(super) fn of(settings: &Settings) -> Self {
        let (low, high) = (*settings.port_range.start(), *settings.port_range.end());
        Self { low, high, reserved: settings.reserved_ports.clone() }
    }

    /// The lowest port.
    pub fn low(&self) -> u16 {
        self.low
    }

    /// The highest port.
    pub fn high(&self) -> u16 {
        self.high
    }

    /// The ports that may be picked, the lowest first.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        (self.low..=self.high).filter(|&port| !self.is_reserved(port))
    }

    /// Whether this port may be picked.
    pub fn contains(&self, port: u16) -> bool {
        (self.low..=self.high).contains(&port) && !self.is_reserved(port)
    }

    /// How many ports of the range are reserved.
    pub fn reserved(&self) -> usize {
        (self.low..=self.high).filter(|&port| self.is_reserved(port)).count()
    }

    /// The two ports of which a search may overlook one: where the range is odd, its first and its last.
    ///
    /// The kernel looks at every second port, then at the others, and rounds the count down to an even one.
    pub fn overlooked(&self) -> Option<[u16; 2]> {
        let span = self.high.saturating_sub(self.low);
        (span > 0 && span.is_multiple_of(2)).then_some([self.low, self.high])
    }

    fn is_reserved(&self, port: u16) -> bool {
        self.reserved.iter().any(|range| range.contains(&port))
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.low, self.high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(low: u16, high: u16, reserved: &[RangeInclusive<u16>]) -> PortRange {
        PortRange { low, high, reserved: reserved.to_vec() }
    }

    #[test]
    fn reserved_ports_are_not_picked() {
        let reserved = [8080..=8080, 40_001..=40_001, 40_004..=40_006, 40_009..=50_000];
        let range = range(40_000, 40_009, &reserved);
        assert_eq!(range.ports().collect::<Vec<_>>(), [40_000, 40_002, 40_003, 40_007, 40_008]);
        assert_eq!(range.reserved(), 5);
        assert!(range.contains(40_000) && !range.contains(40_005) && !range.contains(8080));
        assert_eq!(range.to_string(), "40000-40009");
    }

    #[test]
    fn a_search_may_overlook_an_end_of_an_odd_range() {
        assert_eq!(range(40_000, 40_007, &[]).overlooked(), None);
        assert_eq!(range(40_000, 40_000, &[]).overlooked(), None);
        assert_eq!(range(40_000, 40_006, &[]).overlooked(), Some([40_000, 40_006]));
    }
}
