//! The rule that Linux follows, in three sentences: what each cell should be.

use nix::errno::Errno;

use super::cell::{Cell, State, User};
use super::outcome::{Failing, Outcome};

/// What the rule asks of a cell, part by part (`inet_bind_conflict` in net/ipv4/inet_connection_sock.c).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// There is an address that both have. If not, nothing else matters.
    pub overlap: bool,
    /// Both have SO_REUSEADDR.
    pub reuse_address: bool,
    /// The first one listens, so SO_REUSEADDR does not help.
    pub listens: bool,
    /// Both have SO_REUSEPORT.
    pub reuse_port: bool,
    /// SO_REUSEPORT helps them: they have one user, or the first is in TIME-WAIT.
    pub one_user: bool,
}

impl Rule {
    /// The rule applied to `cell`.
    pub fn from_cell(cell: Cell) -> Self {
        Self {
            overlap: cell.pair.overlaps(),
            reuse_address: cell.first.reuse_address() && cell.second.reuse_address(),
            listens: cell.state == State::Listen,
            reuse_port: cell.first.reuse_port() && cell.second.reuse_port(),
            one_user: cell.user == User::Same || cell.state == State::TimeWait,
        }
    }

    /// What the second one's bind is to be.
    pub fn expected(cell: Cell) -> Outcome {
        let rule = Self::from_cell(cell);
        if !rule.overlap || (rule.reuse_port && rule.one_user) {
            return Outcome::Ok;
        }
        let failing = match cell.state {
            _ if !rule.reuse_address || rule.listens => Failing::Bind,
            // Both are bound; the second listens then, and the first has that one before it.
            State::Bound => Failing::FirstListen,
            _ => return Outcome::Ok,
        };
        Outcome::Failed(failing, Errno::EADDRINUSE)
    }
}
