//! Sockets of another process, borrowed through pidfd_getfd(2).

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::libc;
use socket2::{Domain, Socket, Type};

use crate::error::{Error, Result};

/// A process that lends its sockets.
pub(crate) struct Lender {
    pid: i32,
    process: OwnedFd,
}

impl Lender {
    /// Whoever has the table of open files of this thread of the process `pid`; the first one's is the process's.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); `EINVAL` before Linux 6.9 for another thread.
    pub(crate) fn of_table(pid: u32, thread: u32) -> Result<Self> {
        match thread == pid {
            true => Self::open(pid.cast_signed()),
            // `PIDFD_THREAD` of linux/pidfd.h.
            false => Self::with(thread.cast_signed(), libc::O_EXCL),
        }
    }

    /// The process `pid`.
    ///
    /// # Errors
    ///
    /// `ESRCH` where there is no such process; `ENOSYS` before Linux 5.3.
    pub(crate) fn open(pid: i32) -> Result<Self> {
        Self::with(pid, 0)
    }

    fn with(pid: i32, flags: i32) -> Result<Self> {
        let process = descriptor(libc::SYS_pidfd_open, [pid, flags, 0])
            .map_err(|error| Error::new("pidfd_open", format_args!("of process {pid}"), error))?;
        Ok(Self { pid, process })
    }

    /// The socket that it has open as `number`, as a descriptor of our own: what is set on it is set for both.
    ///
    /// # Errors
    ///
    /// `EBADF` where it has no such descriptor; `EPERM` without the right to trace it (ptrace(2)); `ENOSYS` before
    /// Linux 5.6.
    pub(crate) fn socket(&self, number: i32) -> Result<Socket> {
        let borrowed = descriptor(libc::SYS_pidfd_getfd, [self.process.as_raw_fd(), number, 0]);
        borrowed.map(Socket::from).map_err(|error| self.failed("pidfd_getfd", error))
    }

    fn failed(&self, call: &'static str, error: io::Error) -> Error {
        Error::new(call, format_args!("of process {}", self.pid), error)
    }
}

/// The TCP sockets that process `pid` has open, as descriptors of our own: what is set on them is set for both.
///
/// # Errors
///
/// As [`Lender`]; `ENOENT` where there is no such process, `EACCES` where it may not be looked into.
pub(crate) fn tcp_sockets(pid: i32) -> Result<Vec<Socket>> {
    let lender = Lender::open(pid)?;
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).map_err(|error| lender.failed("open", error))?;
    let numbers = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let link = fs::read_link(entry.path()).ok()?;
        link.to_str()?.starts_with("socket:").then_some(())?;
        entry.file_name().to_str()?.parse().ok()
    });
    let mut sockets = Vec::new();
    for number in numbers {
        let socket = lender.socket(number)?;
        if is_tcp(&socket) {
            sockets.push(socket);
        }
    }
    Ok(sockets)
}

fn is_tcp(socket: &Socket) -> bool {
    let is_ip = socket.domain().is_ok_and(|domain| [Domain::IPV4, Domain::IPV6].contains(&domain));
    is_ip && socket.r#type().is_ok_and(|kind| kind == Type::STREAM)
}

/// Makes a call that takes three numbers and returns a new descriptor.
#[expect(unsafe_code, reason = "pidfd_open(2) and pidfd_getfd(2) have no safe wrapper")]
fn descriptor(call: libc::c_long, arguments: [i32; 3]) -> io::Result<OwnedFd> {
    let [first, second, third] = arguments;
    // SAFETY: both calls take three integers and no pointer.
    let number = unsafe { libc::syscall(call, first, second, third) };
    let number = Errno::result(number)? as RawFd;
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
