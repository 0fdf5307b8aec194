//! The ports that one method has for one destination, or for all where they share them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use nix::unistd::geteuid;

use super::method::PortChoice;
use super::situation::Situation;
use crate::kernel::holders::same_address;
use crate::kernel::inet_diag::SocketRow;
use crate::kernel::time_wait::TIME_WAIT;
use crate::lab::why::stage;
use crate::net::TcpState;
use crate::net::sharing_rule::{Claim, Newcomer, Sharing, conflict};

/// Ports, by what stands in their way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pool {
    pub(super) free: usize,
    /// Perhaps a socket of which the socket table does not tell enough.
    pub(super) unknown: usize,
    /// Of those, one may be overlooked by the kernel's search.
    pub(super) overlooked: usize,
    /// TIME-WAIT, for so long; the shortest first.
    pub(super) waiting: Vec<Duration>,
}

/// What stands in the way of a port; the greater one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PortObstacle {
    Nothing,
    Unknown,
    TimeWait(Duration),
    Taken,
}

impl Pool {
    /// The ports for connections from `local` to `remote`; where connect(2) does not choose, for all that are bound to
    /// `local`.
    ///
    /// `hold` is how long TIME-WAIT is in the way of connect(2).
    pub(super) fn new(
        situation: &Situation,
        choice: PortChoice,
        local: IpAddr,
        remote: SocketAddr,
        hold: Duration,
    ) -> Self {
        let mut obstacles = match choice {
            PortChoice::Connect => kept(situation),
            PortChoice::Bind | PortChoice::Program => {
                situation.unseen().map(|port| (port, PortObstacle::Unknown)).collect()
            }
        };
        let new = Newcomer {
            ip: local,
            device: None,
            reuse_address: false,
            reuse_port: false,
            v6_only: situation.v6_only,
            uid: geteuid().as_raw(),
        };
        for row in &situation.rows {
            let found = match choice {
                PortChoice::Connect => towards(row, local, remote, hold),
                PortChoice::Bind | PortChoice::Program => at(row, &new),
            };
            let obstacle = obstacles.entry(row.local.port()).or_insert(PortObstacle::Nothing);
            *obstacle = found.max(*obstacle);
        }
        Self::count(situation, choice, &obstacles)
    }

    fn count(situation: &Situation, choice: PortChoice, obstacles: &BTreeMap<u16, PortObstacle>) -> Self {
        let mut pool = Self::default();
        let obstacle = |port| obstacles.get(&port).copied().unwrap_or(PortObstacle::Nothing);
        for port in situation.range.ports() {
            match obstacle(port) {
                PortObstacle::Nothing => pool.free += 1,
                PortObstacle::Unknown => pool.unknown += 1,
                PortObstacle::TimeWait(left) => pool.waiting.push(left),
                PortObstacle::Taken => {}
            }
        }
        pool.waiting.sort_unstable();
        let ends = situation.range.overlooked().filter(|_| choice != PortChoice::Program);
        let free = |port| situation.range.contains(port) && obstacle(port) == PortObstacle::Nothing;
        pool.overlooked = ends.is_some_and(|ends| ends.into_iter().any(free)).into();
        pool
    }

    /// How many connections it allows: at least and at most.
    pub(super) fn capacity(&self) -> RangeInclusive<usize> {
        self.free - self.overlooked..=self.free + self.unknown
    }

    /// How many ports it has once TIME-WAIT is over, at least.
    pub(super) fn lasting(&self) -> usize {
        self.free - self.overlooked + self.waiting.len()
    }
}

/// What bind(2) keeps from connect(2).
fn kept(situation: &Situation) -> BTreeMap<u16, PortObstacle> {
    let obstacle = |kept: &Option<bool>| match kept {
        Some(true) => PortObstacle::Taken,
        Some(false) => PortObstacle::Nothing,
        None => PortObstacle::Unknown,
    };
    situation.kept.iter().map(|(port, kept)| (*port, obstacle(kept))).collect()
}

/// What `row` means for a port from which connect(2) is to go from `source` to `remote`.
fn towards(row: &SocketRow, source: IpAddr, remote: SocketAddr, hold: Duration) -> PortObstacle {
    let local = SocketAddr::new(source, row.local.port());
    // The kernel passes over what is bound to an interface for a socket that is bound to none.
    let same = row.device.is_none() && same_address(row.local, local) && same_address(row.remote, remote);
    if same { until_closed(row, hold) } else { PortObstacle::Nothing }
}

/// What `row` means for a port that is bound at `new`, without an option that would share it.
fn at(row: &SocketRow, new: &Newcomer) -> PortObstacle {
    let sharing = Sharing { v6_only: row.v6_only, ..Sharing::default() };
    let old = Claim { ip: row.local.ip(), device: row.device, sharing, uid: row.uid, stage: stage(row) };
    match conflict(new, &old) {
        None => PortObstacle::Nothing,
        Some(conflict) if conflict.is_certain() => until_closed(row, TIME_WAIT),
        Some(_) => PortObstacle::Unknown,
    }
}

fn until_closed(row: &SocketRow, hold: Duration) -> PortObstacle {
    let Some(timer) = row.timer.filter(|_| row.state == TcpState::TimeWait) else {
        return PortObstacle::Taken;
    };
    match (timer.remaining + hold).saturating_sub(TIME_WAIT) {
        Duration::ZERO => PortObstacle::Nothing,
        left => PortObstacle::TimeWait(left),
    }
}
