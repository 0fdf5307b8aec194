//! Sockets that are only bound and that no table lists: the descriptors of processes, asked for their addresses.
//!
//! Each descriptor of a socket is borrowed for a moment, pidfd_getfd(2), and asked where it is bound, getsockname(2).

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::getsockopt;
use nix::sys::stat::fstat;
use nix::{getsockopt_impl, libc, sockopt_impl};
use socket2::{Domain, Protocol, Socket};

use crate::kernel::borrow::Lender;
use crate::kernel::device::{named, of_zone};
use crate::kernel::inet_diag::SocketRow;
use crate::kernel::open_files::{Slot, sockets_of};
use crate::kernel::owners::pids;
use crate::kernel::rights::in_first_pid_namespace;
use crate::net::{self, TcpState, any_local, local_address, may_be_picked, state_of, was_connected};

/// From asm-generic/socket.h, since Linux 5.14.
const SO_NETNS_COOKIE: i32 = 71;

sockopt_impl!(
    /// Which network a socket is in.
    NetworkCookie,
    GetOnly,
    libc::SOL_SOCKET,
    SO_NETNS_COOKIE,
    u64
);

/// What was found.
pub(super) struct Bound {
    pub(super) rows: Vec<SocketRow>,
    /// Whether every process could be looked into, and each of its sockets.
    pub(super) is_whole: bool,
}

/// The sockets of this network that are only bound, those with one of these inodes apart.
pub(super) fn found(listed: BTreeSet<u32>) -> Bound {
    let pids = pids();
    // A process that is not shown may have any socket: of another PID namespace, or hidden (proc(5), hidepid).
    let is_whole = pids.contains(&1) && in_first_pid_namespace();
    let mut looked =
        Looked { own: Network::of_this_thread(), seen: listed, bound: Bound { rows: Vec::new(), is_whole } };
    pids.into_iter().for_each(|pid| looked.look_into(pid));
    looked.bound
}

/// What has been looked at so far.
struct Looked {
    own: Network,
    /// The inodes of the sockets of which all is known.
    seen: BTreeSet<u32>,
    bound: Bound,
}

impl Looked {
    fn look_into(&mut self, pid: u32) {
        let process = PathBuf::from(format!("/proc/{pid}"));
        let sockets = match sockets_of(pid) {
            Ok(sockets) => sockets,
            Err(error) => {
                self.bound.is_whole &= error.kind() != ErrorKind::PermissionDenied;
                return;
            }
        };
        let is_new = |(inode, _): &(u32, Slot)| !self.seen.contains(inode);
        let mut unknown: Vec<(u32, Slot)> = sockets.into_iter().filter(is_new).collect();
        unknown.sort_by_key(|(_, slot)| *slot);
        for of_one_table in unknown.chunk_by(|(_, one), (_, other)| one.thread == other.thread) {
            let Some((_, first)) = of_one_table.first() else { continue };
            match Lender::of_table(pid, first.thread) {
                Ok(lender) => of_one_table.iter().for_each(|of| self.borrow(&lender, of, &process)),
                Err(error) => self.note_failure(error.errno()),
            }
        }
    }

    fn borrow(&mut self, lender: &Lender, &(inode, slot): &(u32, Slot), process: &Path) {
        match lender.socket(slot.number) {
            Ok(socket) if fstat(&socket).is_ok_and(|found| found.st_ino == u64::from(inode)) => {
                self.seen.insert(inode);
                self.look_at(&socket, process);
            }
            // The io_uring with which it is registered, or another file by now.
            Ok(_) => self.bound.is_whole = false,
            Err(error) => self.note_failure(error.errno()),
        }
    }

    /// What is gone by now has no socket any more.
    fn note_failure(&mut self, errno: Option<Errno>) {
        self.bound.is_whole &= matches!(errno, Some(Errno::ESRCH | Errno::EBADF));
    }

    fn look_at(&mut self, socket: &Socket, process: &Path) {
        let is_tcp = socket.protocol().is_ok_and(|protocol| protocol == Some(Protocol::TCP));
        let is_idle = || state_of(socket).is_ok_and(|state| state == TcpState::Closed);
        if !is_tcp || !is_idle() || !self.own.has(socket, process) {
            return;
        }
        match row(socket) {
            Ok(row) if row.local.port() == 0 => {}
            // After its connection a socket has the port on if bind(2) gave it, and else shows it all the same.
            Ok(row) if was_connected(socket) => {
                self.bound.is_whole &= may_be_picked(row.local).unwrap_or(false);
            }
            Ok(row) => self.bound.rows.push(row),
            Err(_) => self.bound.is_whole = false,
        }
    }
}

/// The row that the kernel would have for it.
fn row(socket: &Socket) -> io::Result<SocketRow> {
    let file = fstat(socket)?;
    let local = local_address(socket).map_err(io::Error::other)?;
    let name = socket.device()?;
    let bound_device = name.and_then(|name| named(&String::from_utf8_lossy(&name))).map(|link| link.device);
    Ok(SocketRow {
        state: TcpState::BoundInactive,
        local,
        remote: any_local(local),
        device: of_zone(local).or(bound_device),
        v6_only: (socket.domain()? == Domain::IPV6).then(|| socket.only_v6()).transpose()?,
        receive_queue: 0,
        send_queue: 0,
        timer: None,
        uid: file.st_uid,
        inode: u32::try_from(file.st_ino).map_err(io::Error::other)?,
        cookie: socket.cookie()?,
    })
}

/// The network that this thread is in.
enum Network {
    Cookie(u64),
    /// Before Linux 5.14: that of the process is taken for that of its sockets.
    Link(Option<PathBuf>),
}

impl Network {
    fn of_this_thread() -> Self {
        let cookie = net::socket(Domain::IPV4).ok().and_then(|own| getsockopt(&own, NetworkCookie).ok());
        cookie.map_or_else(|| Self::Link(fs::read_link("/proc/thread-self/ns/net").ok()), Self::Cookie)
    }

    fn has(&self, socket: &Socket, process: &Path) -> bool {
        match self {
            Self::Cookie(own) => getsockopt(socket, NetworkCookie).is_ok_and(|cookie| cookie == *own),
            Self::Link(own) => fs::read_link(process.join("ns/net")).ok() == *own,
        }
    }
}
