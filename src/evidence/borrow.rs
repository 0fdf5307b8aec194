//! Sockets of another process, borrowed through pidfd_getfd(2).

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::libc;
use socket2::{Domain, Socket, Type};

use crate::error::{Error, Result};

/// The TCP sockets that process `pid` has open, as descriptors of our own: what is set on them is set for both.
///
/// # Errors
///
/// `ESRCH` and `ENOENT` where there is no such process; `EPERM` and `EACCES` without the right to trace it (ptrace(2));
/// `ENOSYS` before Linux 5.6.
pub fn tcp_sockets(pid: i32) -> Result<Vec<Socket>> {
    let failed = |call| move |error| Error::new(call, format_args!("of process {pid}"), error);
    let process = descriptor(libc::SYS_pidfd_open, [pid, 0, 0]).map_err(failed("pidfd_open"))?;
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).map_err(failed("open"))?;
    let numbers = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let link = fs::read_link(entry.path()).ok()?;
        link.to_str()?.starts_with("socket:").then_some(())?;
        entry.file_name().to_str()?.parse().ok()
    });
    let mut sockets = Vec::new();
    for number in numbers {
        let borrowed = descriptor(libc::SYS_pidfd_getfd, [process.as_raw_fd(), number, 0]);
        let socket = Socket::from(borrowed.map_err(failed("pidfd_getfd"))?);
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
