//! What a cell of the matrix is: the first socket, the second one, their addresses and their users.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::named::named;
use super::pair::{BindAddress, Pair};
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

    /// Those of them that `others` has too.
    pub(super) fn and(self, others: Self) -> Self {
        match (self.reuse_address() && others.reuse_address(), self.reuse_port() && others.reuse_port()) {
            (false, false) => Self::Neither,
            (true, false) => Self::ReuseAddress,
            (false, true) => Self::ReusePort,
            (true, true) => Self::Both,
        }
    }

    pub(super) fn at(self, place: BindAddress) -> SocketOptions {
        SocketOptions {
            reuse_address: self.reuse_address(),
            reuse_port: self.reuse_port(),
            v6_only: place.v6_only,
            ..SocketOptions::default()
        }
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
}
