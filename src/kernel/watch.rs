//! How sockets change state: the kernel's table, sampled.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::Result;
use crate::kernel::inet_diag::{SocketRow, sockets};
use crate::kernel::owners::{Process, owners};
use crate::net::{Device, TcpState};

/// A change of one socket between two samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// When the sample that showed it was complete, since the Unix epoch.
    pub time: Duration,
    /// The state it was last seen in; `None` at first sight.
    pub from: Option<TcpState>,
    /// The state it is in; `None` where the table has it no more.
    pub to: Option<TcpState>,
    /// Its own address.
    pub local: SocketAddr,
    /// The other end's address, or the wildcard address and port 0 where there is none.
    pub remote: SocketAddr,
    /// The interface that it is bound to.
    pub device: Option<Device>,
    /// Its number in sockfs as it was last known, for one that is closed or in TIME-WAIT too; 0 where none was seen.
    pub inode: u32,
    /// The user who created it, known and kept as the inode is.
    pub uid: u32,
    /// Who had it open when its inode was first seen; empty where none was seen or none is known.
    pub processes: Vec<Process>,
    /// The kernel's number of the socket, which it keeps from the first state to the last.
    cookie: u64,
}

/// Watches all TCP sockets of this network namespace.
///
/// ```
/// use fourtuple::{SocketOptions, TcpState, Watch, bind};
///
/// let mut watch = Watch::default();
/// let listening = bind("127.0.0.1:0".parse().unwrap(), &SocketOptions::default())?.listen(1)?;
/// let local = listening.local_addr().unwrap().as_socket().unwrap();
/// let changes = watch.sample(&|row| row.local == local)?;
/// assert_eq!((changes[0].from, changes[0].to), (None, Some(TcpState::Listen)));
/// drop(listening);
/// assert_eq!(watch.sample(&|_| false)?[0].to, None);
/// # Ok::<(), fourtuple::Error>(())
/// ```
#[derive(Default)]
pub struct Watch(BTreeMap<u64, Seen>);

/// A socket as it was last seen.
struct Seen {
    row: SocketRow,
    /// Asked for once, as soon as there is an inode to ask by.
    processes: Option<Vec<Process>>,
    /// The first sample that did not have it, until a second agrees.
    missing: Option<Duration>,
}

impl Watch {
    /// Samples the table: the changes since the last sample, of sockets that were `wanted` at first sight.
    ///
    /// # Errors
    ///
    /// Those of [`sockets`].
    pub fn sample(&mut self, wanted: &dyn Fn(&SocketRow) -> bool) -> Result<Vec<Transition>> {
        // The time after the look: whoever has to wait for the processor between the two must not seem to have seen a
        // state before the segment that brought it about.
        let rows = sockets()?;
        let mut changes = self.observe(now(), rows, wanted);
        if self.0.values().any(|seen| seen.missing.is_some()) {
            // A socket that moves within the table while it is read may be passed over.
            let rows = sockets()?;
            changes.extend(self.observe(now(), rows, wanted));
        }
        // One that is gone makes room for the next with its four-tuple.
        changes.sort_by_key(|change| (change.time, change.to.is_some()));
        self.find_processes(&mut changes);
        Ok(changes)
    }

    fn observe(
        &mut self,
        time: Duration,
        rows: Vec<SocketRow>,
        wanted: &dyn Fn(&SocketRow) -> bool,
    ) -> Vec<Transition> {
        let mut changes = Vec::new();
        // Of two rows of one socket, which was caught while it moved, the later is the one of a connection.
        let rows: BTreeMap<u64, SocketRow> = rows.into_iter().map(|row| (row.cookie, row)).collect();
        let missing: Vec<u64> = self.0.keys().filter(|cookie| !rows.contains_key(cookie)).copied().collect();
        for cookie in missing {
            changes.extend(self.miss(time, cookie));
        }
        for (cookie, row) in rows {
            if self.0.contains_key(&cookie) || wanted(&row) {
                changes.extend(self.see(time, cookie, row));
            }
        }
        changes
    }

    /// Tells of a socket that two samples in a row do not have.
    fn miss(&mut self, time: Duration, cookie: u64) -> Option<Transition> {
        let seen = self.0.get_mut(&cookie)?;
        let Some(first) = seen.missing else {
            seen.missing = Some(time);
            return None;
        };
        let seen = self.0.remove(&cookie)?;
        Some(seen.transition(first, Some(seen.row.state), None))
    }

    fn see(&mut self, time: Duration, cookie: u64, mut row: SocketRow) -> Option<Transition> {
        let Some(seen) = self.0.get_mut(&cookie) else {
            let seen = self.0.entry(cookie).or_insert(Seen { row, processes: None, missing: None });
            return Some(seen.transition(time, None, Some(seen.row.state)));
        };
        if row.inode == 0 {
            (row.inode, row.uid) = (seen.row.inode, seen.row.uid);
        }
        seen.missing = None;
        let from = std::mem::replace(&mut seen.row, row).state;
        (from != seen.row.state).then(|| seen.transition(time, Some(from), Some(seen.row.state)))
    }

    /// Looks for the processes of the sockets that have got an inode; whoever closed it meanwhile is not found.
    fn find_processes(&mut self, changes: &mut [Transition]) {
        let without = |seen: &&mut Seen| seen.processes.is_none() && seen.row.inode != 0;
        let inodes: BTreeSet<u32> = self.0.values_mut().filter(without).map(|seen| seen.row.inode).collect();
        if inodes.is_empty() {
            return;
        }
        let mut owners = owners(&inodes);
        for seen in self.0.values_mut().filter(without) {
            let processes = owners.remove(&seen.row.inode).unwrap_or_default();
            for change in changes.iter_mut().filter(|change| change.cookie == seen.row.cookie) {
                change.processes.clone_from(&processes);
            }
            seen.processes = Some(processes);
        }
    }
}

impl Seen {
    fn transition(&self, time: Duration, from: Option<TcpState>, to: Option<TcpState>) -> Transition {
        let SocketRow { local, remote, device, inode, uid, cookie, .. } = self.row;
        let processes = self.processes.clone().unwrap_or_default();
        Transition { time, from, to, local, remote, device, inode, uid, processes, cookie }
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cookie: u64, state: TcpState, inode: u32) -> SocketRow {
        let uid = if inode == 0 { 0 } else { 1000 };
        SocketRow { uid, inode, cookie, ..SocketRow::example(state, "127.0.0.1:3001", "127.0.0.1:3000") }
    }

    /// What each of the samples changes, as `cookie from to inode at`.
    fn changes(samples: &[&[SocketRow]]) -> Vec<String> {
        let mut watch = Watch::default();
        let mut shown = Vec::new();
        for (second, rows) in (0..).zip(samples) {
            let changes = watch.observe(Duration::from_secs(second), rows.to_vec(), &|_| true);
            shown.extend(changes.into_iter().map(|change| {
                let name = |state: Option<TcpState>| state.map_or("-", TcpState::name);
                let (from, to, at) = (name(change.from), name(change.to), change.time.as_secs());
                format!("{} {from} {to} {} at {at}", change.cookie, change.inode)
            }));
        }
        shown
    }

    #[test]
    fn a_socket_is_told_at_first_sight_at_every_change_and_when_it_is_gone() {
        use TcpState::{Established, SynSent, TimeWait};
        let samples: [&[SocketRow]; 6] = [
            &[row(7, SynSent, 5)],
            &[row(7, Established, 5)],
            &[row(7, Established, 5)],
            &[row(7, TimeWait, 0)],
            &[],
            &[],
        ];
        assert_eq!(
            changes(&samples),
            [
                "7 - SYN-SENT 5 at 0",
                "7 SYN-SENT ESTABLISHED 5 at 1",
                "7 ESTABLISHED TIME-WAIT 5 at 3",
                "7 TIME-WAIT - 5 at 4"
            ]
        );
    }

    #[test]
    fn a_socket_that_one_sample_passed_over_is_not_gone() {
        let established = [row(7, TcpState::Established, 5)];
        let samples: [&[SocketRow]; 3] = [&established, &[], &established];
        assert_eq!(changes(&samples), ["7 - ESTABLISHED 5 at 0"]);
    }

    #[test]
    fn a_socket_that_samples_passed_over_now_and_then_is_not_gone() {
        let established = [row(7, TcpState::Established, 5)];
        let samples: [&[SocketRow]; 5] = [&established, &[], &established, &[], &established];
        assert_eq!(changes(&samples), ["7 - ESTABLISHED 5 at 0"]);
    }

    #[test]
    fn a_socket_that_has_no_inode_any_more_keeps_its_user() {
        let mut watch = Watch::default();
        watch.observe(Duration::ZERO, vec![row(7, TcpState::Established, 5)], &|_| true);
        let changes = watch.observe(Duration::ZERO, vec![row(7, TcpState::TimeWait, 0)], &|_| true);
        assert_eq!((changes[0].inode, changes[0].uid), (5, 1000));
    }

    #[test]
    fn a_four_tuple_used_again_is_another_socket() {
        use TcpState::{Established, TimeWait};
        let samples: [&[SocketRow]; 3] =
            [&[row(7, TimeWait, 5)], &[row(8, Established, 6)], &[row(8, Established, 6)]];
        assert_eq!(
            changes(&samples),
            ["7 - TIME-WAIT 5 at 0", "8 - ESTABLISHED 6 at 1", "7 TIME-WAIT - 5 at 1"]
        );
    }

    #[test]
    fn a_socket_caught_while_it_moved_is_told_once_in_its_later_state() {
        use TcpState::{BoundInactive, SynSent};
        let samples: [&[SocketRow]; 1] = [&[row(7, BoundInactive, 5), row(7, SynSent, 5)]];
        assert_eq!(changes(&samples), ["7 - SYN-SENT 5 at 0"]);
    }

    #[test]
    fn what_was_not_wanted_is_not_watched_and_what_was_is_watched_to_its_end() {
        use TcpState::{Established, Listen, TimeWait};
        let wanted = |row: &SocketRow| row.state == Established;
        let mut watch = Watch::default();
        assert_eq!(watch.observe(Duration::ZERO, vec![row(1, Listen, 4)], &wanted), []);
        watch.observe(Duration::ZERO, vec![row(2, Established, 5)], &wanted);
        let changes = watch.observe(Duration::ZERO, vec![row(1, Listen, 4), row(2, TimeWait, 0)], &wanted);
        assert_eq!(changes.len(), 1);
        assert_eq!((changes[0].cookie, changes[0].to), (2, Some(TimeWait)));
    }
}
