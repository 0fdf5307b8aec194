//! What a cell of the matrix is: the first socket, the second one, their addresses and their users.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::named::named;
use crate::net::SocketOptions;

named! {
    /// What the first socket is when the second one comes.
    State, "a state of the first socket" {
        /// Bound, and neither listening nor connected. It listens after the second one does.
        Bound = "BOUND",
        /// Listening.
        Listen = "LISTEN",
        /// Connected from its address to another port.
        Established = "ESTABLISHED",
        /// Accepted by a listener that is closed since.
        Accepted = "ACCEPTED",
        /// Connected, and it has sent FIN.
        FinWait2 = "FIN-WAIT-2",
        /// Connected, and the other side has sent FIN.
        CloseWait = "CLOSE-WAIT",
        /// Closed first; no process has it any more.
        TimeWait = "TIME-WAIT",
    }
}

named! {
    /// The options that a socket has when it is bound.
    Options, "options" {
        /// Neither.
        Neither = "none",
        /// SO_REUSEADDR.
        ReuseAddress = "RA",
        /// SO_REUSEPORT.
        ReusePort = "RP",
        /// Both.
        Both = "RA+RP",
    }
}

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

named! {
    /// Whose the second socket is.
    User, "a user" {
        /// The first one's.
        Same = "same-user",
        /// Somebody else's.
        Other = "other-user",
    }
}

/// Two sockets that may or may not coexist.
///
/// Displays as `LISTEN,RA,RP,same`, with `,other-user` at its end where that is so; reads the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cell {
    /// The state of the first one.
    pub state: State,
    /// The options of the first one.
    pub first: Options,
    /// The options of the second one.
    pub second: Options,
    /// Their addresses.
    pub pair: Pair,
    /// Their users.
    pub user: User,
}

impl Cell {
    /// Every cell of these states, pairs and users.
    pub fn all(states: &[State], pairs: &[Pair], users: &[User]) -> Vec<Self> {
        let mut cells = Vec::new();
        for &user in users {
            for &state in states {
                for &pair in pairs {
                    cells.extend(Options::grid().map(|(first, second)| Self {
                        state,
                        first,
                        second,
                        pair,
                        user,
                    }));
                }
            }
        }
        cells
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { state, first, second, pair, user } = self;
        write!(f, "{state},{first},{second},{pair}")?;
        if *user == User::Other { write!(f, ",{user}") } else { Ok(()) }
    }
}

impl FromStr for Cell {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split(',').map(str::trim).collect();
        let (state, first, second, pair, user) = match *words {
            [state, first, second, pair] => (state, first, second, pair, User::Same),
            [state, first, second, pair, user] => (state, first, second, pair, user.parse()?),
            _ => return Err("expected STATE,OPTIONS,OPTIONS,PAIR, such as LISTEN,RA,RP,same".to_owned()),
        };
        Ok(Self {
            state: state.parse()?,
            first: first.parse()?,
            second: second.parse()?,
            pair: pair.parse()?,
            user,
        })
    }
}

impl Options {
    /// The options of the first one and of the second, in the order of a table's rows.
    pub fn grid() -> impl Iterator<Item = (Self, Self)> {
        Self::ALL.into_iter().flat_map(|first| Self::ALL.into_iter().map(move |second| (first, second)))
    }

    /// Whether SO_REUSEADDR is among them.
    pub fn reuse_address(self) -> bool {
        matches!(self, Self::ReuseAddress | Self::Both)
    }

    /// Whether SO_REUSEPORT is among them.
    pub fn reuse_port(self) -> bool {
        matches!(self, Self::ReusePort | Self::Both)
    }

    pub(super) fn at(self, place: Place) -> SocketOptions {
        SocketOptions {
            reuse_address: self.reuse_address(),
            reuse_port: self.reuse_port(),
            v6_only: place.v6_only,
            ..SocketOptions::default()
        }
    }
}

/// Where a socket is bound, but for its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its address.
    pub ip: IpAddr,
    /// IPV6_V6ONLY, of an IPv6 socket.
    pub v6_only: Option<bool>,
}

impl Place {
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

    fn has_ipv4(self) -> bool {
        self.v6_only != Some(true)
    }
}

impl fmt::Display for Place {
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
    pub fn places(self) -> [Place; 2] {
        use Place as P;
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
        let [one, other] = [first, second].map(|place| place.ip.to_canonical());
        // No pair is of two IPv6 sockets.
        first.has_ipv4()
            && second.has_ipv4()
            && (one == other || one.is_unspecified() || other.is_unspecified())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_reads_as_it_is_written() {
        let cells = Cell::all(&State::ALL, &Pair::ALL, &User::ALL);
        assert_eq!(cells.len(), 7 * 4 * 4 * 15 * 2);
        for cell in cells {
            assert_eq!(cell.to_string().parse(), Ok(cell));
        }
        assert_eq!("time-wait, ra ,rp,SAME".parse::<Cell>().unwrap().to_string(), "TIME-WAIT,RA,RP,same");
    }

    #[test]
    fn what_is_no_cell_is_answered_with_what_is_one() {
        for (text, said) in [
            ("LISTEN", "such as LISTEN,RA,RP,same"),
            ("LISTENING,RA,RP,same", "one of BOUND, LISTEN, "),
            ("LISTEN,RA,REUSE,same", "one of none, RA, RP, RA+RP"),
            ("LISTEN,RA,RP,equal", "one of same, wildcard-specific, "),
            ("LISTEN,RA,RP,same,root", "one of same-user, other-user"),
            ("LISTEN,RA,RP,same,other-user,more", "such as LISTEN"),
        ] {
            let error = text.parse::<Cell>().unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

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
