//! The addresses of both sockets.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::named::named;
use crate::net::sharing_rule::overlap;

named! {
    /// The address of the first socket and that of the second one, with one port.
    Pair, "a pair of addresses" {
        /// 127.0.0.1 twice.
        Same = "same",
        /// 0.0.0.0, then 127.0.0.1.
        WildcardSpecific = "wildcard-specific",
        /// 127.0.0.1, then 0.0.0.0.
        SpecificWildcard = "specific-wildcard",
        /// 0.0.0.0 twice.
        Wildcards = "wildcards",
        /// 127.0.0.1, then 127.0.0.2.
        Specifics = "specifics",
        /// The IPv6 wildcard that takes IPv4 too, then 0.0.0.0.
        DualWildcard = "dual-wildcard",
        /// The other way round.
        WildcardDual = "wildcard-dual",
        /// The IPv6 wildcard that takes IPv4 too, then 127.0.0.1.
        DualSpecific = "dual-specific",
        /// The other way round.
        SpecificDual = "specific-dual",
        /// The IPv6 wildcard with IPV6_V6ONLY, then 0.0.0.0.
        V6OnlyWildcard = "v6only-wildcard",
        /// The other way round.
        WildcardV6Only = "wildcard-v6only",
        /// The IPv6 wildcard with IPV6_V6ONLY, then 127.0.0.1.
        V6OnlySpecific = "v6only-specific",
        /// The other way round.
        SpecificV6Only = "specific-v6only",
        /// 127.0.0.1 as IPv6 has it, then 127.0.0.1.
        MappedSpecific = "mapped-specific",
        /// The other way round.
        SpecificMapped = "specific-mapped",
    }
}

/// Where a socket is bound, but for its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindAddress {
    /// Its address.
    pub ip: IpAddr,
    /// IPV6_V6ONLY, of an IPv6 socket.
    pub v6_only: Option<bool>,
}

impl BindAddress {
    const ONE: Self = Self::v4(Ipv4Addr::LOCALHOST);
    const OTHER: Self = Self::v4(Ipv4Addr::new(127, 0, 0, 2));
    const WILDCARD: Self = Self::v4(Ipv4Addr::UNSPECIFIED);
    const DUAL: Self = Self::v6(Ipv6Addr::UNSPECIFIED, false);
    const V6_ONLY: Self = Self::v6(Ipv6Addr::UNSPECIFIED, true);
    const MAPPED: Self = Self::v6(Ipv4Addr::LOCALHOST.to_ipv6_mapped(), false);

    const fn v4(ip: Ipv4Addr) -> Self {
        Self { ip: IpAddr::V4(ip), v6_only: None }
    }

    const fn v6(ip: Ipv6Addr, only: bool) -> Self {
        Self { ip: IpAddr::V6(ip), v6_only: Some(only) }
    }

    pub(super) fn port(self, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip, port)
    }

    /// An address of this host by which a segment reaches a socket here: of IPv4, where it has that.
    pub(super) fn reached_at(self) -> IpAddr {
        match (self.v6_only, self.ip) {
            (Some(true), _) => Ipv6Addr::LOCALHOST.into(),
            (None, ip) if !ip.is_unspecified() => ip,
            _ => Ipv4Addr::LOCALHOST.into(),
        }
    }
}

impl fmt::Display for BindAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.v6_only {
            Some(true) => write!(f, "[{}] with IPV6_V6ONLY", self.ip),
            Some(false) => write!(f, "[{}]", self.ip),
            None => write!(f, "{}", self.ip),
        }
    }
}

impl Pair {
    /// Where the first socket is bound, and where the second.
    pub fn places(self) -> [BindAddress; 2] {
        use BindAddress as P;
        match self {
            Self::Same => [P::ONE, P::ONE],
            Self::WildcardSpecific => [P::WILDCARD, P::ONE],
            Self::SpecificWildcard => [P::ONE, P::WILDCARD],
            Self::Wildcards => [P::WILDCARD, P::WILDCARD],
            Self::Specifics => [P::ONE, P::OTHER],
            Self::DualWildcard => [P::DUAL, P::WILDCARD],
            Self::WildcardDual => [P::WILDCARD, P::DUAL],
            Self::DualSpecific => [P::DUAL, P::ONE],
            Self::SpecificDual => [P::ONE, P::DUAL],
            Self::V6OnlyWildcard => [P::V6_ONLY, P::WILDCARD],
            Self::WildcardV6Only => [P::WILDCARD, P::V6_ONLY],
            Self::V6OnlySpecific => [P::V6_ONLY, P::ONE],
            Self::SpecificV6Only => [P::ONE, P::V6_ONLY],
            Self::MappedSpecific => [P::MAPPED, P::ONE],
            Self::SpecificMapped => [P::ONE, P::MAPPED],
        }
    }

    /// Whether one of the two is an IPv6 socket.
    pub fn has_ipv6(self) -> bool {
        self.places().iter().any(|place| place.ip.is_ipv6())
    }

    /// Whether there is an address that both have.
    pub fn overlaps(self) -> bool {
        let [first, second] = self.places();
        overlap(second.ip, second.v6_only == Some(true), first.ip, first.v6_only).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_overlap_unless_they_differ_or_ipv6_keeps_to_itself() {
        let apart: Vec<Pair> = Pair::ALL.into_iter().filter(|pair| !pair.overlaps()).collect();
        let expected = [
            Pair::Specifics,
            Pair::V6OnlyWildcard,
            Pair::WildcardV6Only,
            Pair::V6OnlySpecific,
            Pair::SpecificV6Only,
        ];
        assert_eq!(apart, expected);
    }
}
