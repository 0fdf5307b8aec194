//! The ports that the kernel may pick for a socket by itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use nix::errno::Errno;

use super::claim::{is_bound, is_request};
use super::{Doubt, Reason, Verdict};
use crate::error::Result;
use crate::kernel::holders::Holder;
use crate::kernel::inet_diag::SocketRow;
use crate::kernel::port_range::PortRange;
use crate::kernel::settings::Settings;
use crate::kernel::sysctl::setting;
use crate::kernel::table::{Table, table};
use crate::kernel::time_wait::TIME_WAIT;
use crate::net::sharing_rule::{Newcomer, Overlap, in_one_domain, meet, overlap};
use crate::net::{Device, FourTuple, SocketOptions, TcpState, hears, may_be_picked};

/// With fewer ports than that to pick from, what happens on one of them is likely enough to matter.
pub(super) const FEW: usize = 100;

/// The ports that a call may pick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pick {
    /// How many it looks at, taken or not.
    pub(super) choices: usize,
    /// Those that it may have: the call finds one of these, or a doubtful one.
    pub(super) free: Vec<u16>,
    /// Those of which it cannot be told, or which the search may overlook.
    pub(super) doubtful: Vec<u16>,
}

impl Pick {
    /// Whether the call may pick this port.
    pub(super) fn may_be(&self, port: u16) -> bool {
        self.free.contains(&port) || self.doubtful.contains(&port)
    }

    /// Whether it picks this port for sure.
    pub(super) fn is(&self, port: u16) -> bool {
        self.free == [port] && self.doubtful.is_empty()
    }

    /// How many it may come to.
    pub(super) fn count(&self) -> usize {
        self.free.len() + self.doubtful.len()
    }

    /// What comes of the call, which answers this where it finds no port.
    pub(super) fn verdict(&self, call: &'static str, errno: Errno) -> Verdict {
        match (self.free.len(), self.doubtful.len()) {
            (0, 0) => Verdict::fails(call, errno, Reason::NoPortLeft(self.choices)),
            (0, doubtful) => Verdict::may_fail(call, errno, Doubt::PortLeft(doubtful)),
            _ => Verdict::Works,
        }
    }
}

/// What is known of a port that sockets have; the greater one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PortUse {
    /// None to a call whose port the kernel leaves to connect(2), where bind(2) gave it to nobody.
    Elsewhere,
    /// A socket of which not enough can be read.
    Doubtful,
    Taken,
}

/// The range that a socket with these options is given a port of.
pub(super) fn range(options: &SocketOptions, settings: &Settings) -> PortRange {
    let range = &settings.ephemeral;
    options.local_port_range.map_or_else(|| range.clone(), |asked| range.within(asked))
}

/// The ports that bind(2) may pick for `new`: those on which no socket has the address, whatever its options
/// (`inet_csk_find_open_port`).
///
/// # Errors
///
/// As [`table`].
pub(super) fn by_bind(new: &Newcomer, options: &SocketOptions, settings: &Settings) -> Result<Pick> {
    let Table { mut rows, gap } = table()?;
    let mut search = Search::new(options, settings);
    if options.reuse_address {
        search.overlook_middle();
    }
    rows.retain(|row| search.range.contains(row.local.port()) && !is_request(row));
    // Of so many ports without a socket, sockets that are only bound do not have each unseen.
    let is_sure = gap.is_none() || search.ports.len() > FEW + rows.len();
    let is_free = |port| is_sure || kept_from_connect(SocketAddr::new(new.ip, port)) == Some(false);
    // With net.ipv4.ip_autobind_reuse it shares a port with SO_REUSEADDR where no other is left.
    let shares = options.reuse_address && setting("net.ipv4.ip_autobind_reuse").is_some_and(|on| on != "0");
    let pick = |rows: &[SocketRow]| {
        let uses = uses_at(new, rows);
        search.sort_out(|port| match uses.get(&port) {
            Some(PortUse::Taken) if !shares => Some(PortUse::Taken),
            Some(_) => Some(PortUse::Doubtful),
            None => (!is_free(port)).then_some(PortUse::Doubtful),
        })
    };
    let picked = pick(&rows);
    if !picked.free.is_empty() || picked.doubtful.is_empty() {
        return Ok(picked);
    }
    // What the table does not tell of a socket its process may.
    let told = |holder: Holder| SocketRow { v6_only: holder.sharing.v6_only, ..holder.row };
    Ok(pick(&Holder::of(rows).into_iter().map(told).collect::<Vec<_>>()))
}

/// What the sockets of each port are to one that is bound at `new`, whatever their options.
fn uses_at(new: &Newcomer, rows: &[SocketRow]) -> BTreeMap<u16, PortUse> {
    let mut uses = BTreeMap::new();
    for row in rows.iter().filter(|row| meet(new.device, row.device)) {
        let found = match overlap(new.ip, new.v6_only, row.local.ip(), row.v6_only) {
            None => continue,
            Some(Overlap::Connection) if row.v6_only.is_none() => PortUse::Doubtful,
            Some(_) => PortUse::Taken,
        };
        raise(&mut uses, row.local.port(), found);
    }
    uses
}

/// The ports that connect(2) may pick for this four-tuple, whose local port is yet to be known.
///
/// It passes over every port that bind(2) gave to a socket, and those with this four-tuple (`__inet_hash_connect`). Whether
/// bind(2) gave a port to those that have it no table tells: the kernel is asked, where no other port is left.
///
/// # Errors
///
/// As [`table`].
pub(super) fn by_connect(
    tuple: FourTuple,
    device: Option<Device>,
    is_local: bool,
    options: &SocketOptions,
    settings: &Settings,
) -> Result<Pick> {
    let Table { rows, gap } = table()?;
    let mut uses = BTreeMap::new();
    for row in rows.iter().filter(|row| in_one_domain(row.device, device)) {
        let found = match is_replaced(row, is_local, settings) {
            _ if is_bound(row) => PortUse::Taken,
            _ if !(is_like(row, tuple) && hears(row.device, device)) => PortUse::Elsewhere,
            Some(true) => PortUse::Elsewhere,
            Some(false) => PortUse::Taken,
            None => PortUse::Doubtful,
        };
        raise(&mut uses, row.local.port(), found);
    }
    let search = Search::new(options, settings);
    let is_unseen = gap.is_some() && search.ports.len() <= FEW + uses.len();
    let known = |port| match uses.get(&port) {
        None if is_unseen => Some(PortUse::Elsewhere),
        found => found.copied(),
    };
    let finds_one = !search.sort_out(known).free.is_empty();
    if finds_one && search.ports.len() > FEW {
        return Ok(search.sort_out(|port| known(port).map(|found| found.max(PortUse::Doubtful))));
    }
    Ok(search.sort_out(|port| match known(port)? {
        PortUse::Taken => Some(PortUse::Taken),
        found => match kept_from_connect(SocketAddr::new(tuple.local.ip(), port)) {
            Some(true) => Some(PortUse::Taken),
            Some(false) if found == PortUse::Elsewhere => None,
            _ => Some(PortUse::Doubtful),
        },
    }))
}

/// Whether bind(2) gave this port to a socket; nothing where the kernel cannot be asked.
pub(crate) fn kept_from_connect(local: SocketAddr) -> Option<bool> {
    may_be_picked(local).ok().map(|may| !may)
}

fn raise(uses: &mut BTreeMap<u16, PortUse>, port: u16, found: PortUse) {
    let known = uses.entry(port).or_insert(found);
    *known = found.max(*known);
}

fn is_like(row: &SocketRow, tuple: FourTuple) -> bool {
    row.remote.port() == tuple.remote.port()
        && row.remote.ip().to_canonical() == tuple.remote.ip().to_canonical()
        && row.local.ip().to_canonical() == tuple.local.ip().to_canonical()
}

/// Whether connect(2) may pick the four-tuple of this connection again: net.ipv4.tcp_tw_reuse.
///
/// It takes timestamps at both ends, and of a connection in TIME-WAIT nobody tells what the other end had.
fn is_replaced(row: &SocketRow, is_local: bool, settings: &Settings) -> Option<bool> {
    /// By how much the remaining time may be out.
    const TICK: Duration = Duration::from_millis(20);
    let Some(timer) = row.timer.filter(|_| row.state == TcpState::TimeWait) else { return Some(false) };
    if !settings.time_wait.may_pick(row.local.ip(), row.remote.ip()) {
        return Some(false);
    }
    let (age, delay) = (TIME_WAIT.saturating_sub(timer.remaining), settings.time_wait.delay);
    match age {
        age if age + TICK < delay => Some(false),
        age if age > delay + TICK && is_local => Some(true),
        _ => None,
    }
}

/// A search for a port, which looks at every second one, and then at the others.
struct Search {
    ports: Vec<u16>,
    overlooked: Vec<u16>,
    range: PortRange,
}

impl Search {
    fn new(options: &SocketOptions, settings: &Settings) -> Self {
        let range = range(options, settings);
        let ends = range.overlooked();
        // Of three it is always the third; where the socket has a range of its own, newer kernels overlook none.
        let never = ends.filter(|[low, high]| high - low == 2 && options.local_port_range.is_none());
        let never = never.map(|[_, high]| high);
        let ports = range.ports().filter(|&port| Some(port) != never).collect();
        let overlooked = ends.filter(|_| never.is_none()).into_iter().flatten().collect();
        Self { ports, overlooked, range }
    }

    /// With SO_REUSEADDR bind(2) searches the lower half, and then the upper one, unless there are fewer than four.
    fn overlook_middle(&mut self) {
        let count = u32::from(self.range.high().saturating_sub(self.range.low())) + 1;
        if self.range.overlooked().is_some() && count >= 4 {
            self.overlooked.extend(u16::try_from(u32::from(self.range.low()) + ((count >> 2) << 1)));
        }
    }

    fn sort_out(&self, use_of: impl Fn(u16) -> Option<PortUse>) -> Pick {
        let (mut free, mut doubtful) = (Vec::new(), Vec::new());
        for &port in &self.ports {
            match use_of(port) {
                Some(PortUse::Taken) => {}
                None if !self.overlooked.contains(&port) => free.push(port),
                _ => doubtful.push(port),
            }
        }
        Pick { choices: self.ports.len(), free, doubtful }
    }
}
