//! Whether a process has a socket only because a process that is gone left it to it: fork(2), execve(2).

use std::fs;

use nix::libc::O_CLOEXEC;
use procfs::process::{Process, Stat};

use crate::kernel::open_files::{Slot, sockets_of};

/// Whether process `pid` may have this socket from one that has ended: its descriptor stays open over execve(2), and the
/// process that started it, or that led its process group, is gone.
///
/// A daemon that opened the socket itself can look the same.
pub(crate) fn may_be_inherited(pid: u32, inode: u32) -> bool {
    let Ok(sockets) = sockets_of(pid) else { return false };
    sockets.get(&inode).is_some_and(|slot| survives_exec(pid, slot)) && is_left_alone(pid)
}

fn survives_exec(pid: u32, slot: &Slot) -> bool {
    let path = format!("/proc/{pid}/task/{}/fdinfo/{}", slot.thread, slot.number);
    let fdinfo = fs::read(path).unwrap_or_default();
    flags(&String::from_utf8_lossy(&fdinfo)).is_some_and(|flags| flags & O_CLOEXEC == 0)
}

/// `flags: 02000002`, in octal.
fn flags(fdinfo: &str) -> Option<i32> {
    let value = fdinfo.lines().find_map(|line| line.strip_prefix("flags:"))?;
    i32::from_str_radix(value.trim(), 8).ok()
}

/// Whether the process that started this one has ended: who takes its children in is of another session, and leads no
/// group of theirs.
fn is_left_alone(pid: u32) -> bool {
    let Some(own) = stat(pid.cast_signed()) else { return false };
    let has_ended = |pid| stat(pid).is_none_or(|stat| stat.state == 'Z');
    let leads = |number: i32| number == own.pid || number == 0;
    let is_of_another_session = || stat(own.ppid).is_some_and(|parent| parent.session != own.session);
    !leads(own.pgrp) && has_ended(own.pgrp) || !leads(own.session) && is_of_another_session()
}

fn stat(pid: i32) -> Option<Stat> {
    Process::new(pid).and_then(|process| process.stat()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_of_a_descriptor_are_octal() {
        assert_eq!(flags("pos:\t0\nflags:\t02000002\nmnt_id:\t8\n"), Some(O_CLOEXEC | 2));
        for text in ["", "flags:\t9", "flags:", "xflags:\t02"] {
            assert_eq!(flags(text), None, "{text}");
        }
    }

    #[test]
    fn our_own_socket_is_not_inherited() {
        let socket = crate::net::bind("127.0.0.1:0".parse().unwrap(), &crate::net::SocketOptions::default());
        let socket = socket.unwrap().listen(1).unwrap();
        let inode = nix::sys::stat::fstat(&socket).unwrap().st_ino;
        assert!(!may_be_inherited(std::process::id(), inode.try_into().unwrap()));
    }
}
