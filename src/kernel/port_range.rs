//! The ephemeral ports: those that the kernel may pick from.

use std::fmt;
use std::ops::RangeInclusive;

use super::sysctl::setting;

/// The ends of the range that the kernel begins with, of every network namespace: ip-sysctl.
pub(crate) const DEFAULT: [u16; 2] = [32_768, 60_999];

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
    /// That of this network; a setting that cannot be read has the kernel's default.
    pub fn now() -> Self {
        let range = setting("net.ipv4.ip_local_port_range").unwrap_or_default();
        let mut ends = range.split_whitespace().filter_map(|end| end.parse().ok());
        let [low, high] = DEFAULT.map(|default| ends.next().unwrap_or(default));
        Self { low, high, reserved: ranges(&setting("net.ipv4.ip_local_reserved_ports").unwrap_or_default()) }
    }

    /// The ports from `low` to `high`, none of them reserved.
    pub fn new(low: u16, high: u16) -> Self {
        Self { low, high, reserved: Vec::new() }
    }

    /// What a socket with this IP_LOCAL_PORT_RANGE may be given: both clamp, ip(7).
    pub fn within(&self, (low, high): (u16, u16)) -> Self {
        Self { low: self.low.max(low), high: self.high.min(high), reserved: self.reserved.clone() }
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
        self.spans(port) && !self.is_reserved(port)
    }

    /// Whether this port lies in the range, reserved or not.
    pub fn spans(&self, port: u16) -> bool {
        (self.low..=self.high).contains(&port)
    }

    /// How many ports of the range are reserved.
    pub fn reserved(&self) -> usize {
        (self.low..=self.high).filter(|&port| self.is_reserved(port)).count()
    }

    /// The value of `ip_local_reserved_ports` that reserves `port` besides.
    pub fn reserving(&self, port: u16) -> String {
        let ranges = self.reserved.iter().map(|range| match range.start() == range.end() {
            true => range.start().to_string(),
            false => format!("{}-{}", range.start(), range.end()),
        });
        ranges.chain([port.to_string()]).collect::<Vec<_>>().join(",")
    }

    /// The two ports of which a search may overlook one: where the range is odd, its first and its last.
    ///
    /// The kernel looks at every second port, then at the others, and rounds the count down to an even one.
    pub fn overlooked(&self) -> Option<[u16; 2]> {
        let span = self.high.saturating_sub(self.low);
        (span > 0 && span.is_multiple_of(2)).then_some([self.low, self.high])
    }

    /// Whether the kernel passes over this port where it picks one.
    pub fn is_reserved(&self, port: u16) -> bool {
        self.reserved.iter().any(|range| range.contains(&port))
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

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.low, self.high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(low: u16, high: u16, reserved: &str) -> PortRange {
        PortRange { low, high, reserved: ranges(reserved) }
    }

    #[test]
    fn reserved_ports_are_single_ones_and_ranges() {
        assert_eq!(ranges("3000,4000-4010"), [3000..=3000, 4000..=4010]);
        assert!(ranges("").is_empty());
        assert_eq!(range(40_000, 40_009, "3000,4000-4010").reserving(40_001), "3000,4000-4010,40001");
        assert_eq!(range(40_000, 40_009, "").reserving(40_001), "40001");
    }

    #[test]
    fn a_range_of_a_sockets_own_takes_nothing_outside_that_of_the_network() {
        let own = |asked| range(40_000, 40_009, "40004").within(asked).ports().collect::<Vec<_>>();
        assert_eq!(own((39_000, 40_001)), [40_000, 40_001]);
        assert_eq!(own((40_003, 40_005)), [40_003, 40_005]);
        assert!(own((41_000, 42_000)).is_empty());
    }

    #[test]
    fn reserved_ports_are_not_picked() {
        let range = range(40_000, 40_009, "8080,40001,40004-40006,40009-50000");
        assert_eq!(range.ports().collect::<Vec<_>>(), [40_000, 40_002, 40_003, 40_007, 40_008]);
        assert_eq!(range.reserved(), 5);
        assert!(range.contains(40_000) && !range.contains(40_005) && !range.contains(8080));
        assert_eq!(range.to_string(), "40000-40009");
    }

    #[test]
    fn a_search_may_overlook_an_end_of_an_odd_range() {
        assert_eq!(range(40_000, 40_007, "").overlooked(), None);
        assert_eq!(range(40_000, 40_000, "").overlooked(), None);
        assert_eq!(range(40_000, 40_006, "").overlooked(), Some([40_000, 40_006]));
    }
}
