//! Enters namespaces, new ones or those of a process that runs.

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{Gid, Pid, Uid, getegid, geteuid};
use procfs::process::Process;

use super::command::Namespaces;
use super::refusal;
use super::sysctl::Sysctl;
use crate::error::{Error, Result};
use crate::text::Escaped;

/// Where the calling process then stands; its next child is the first process of a new PID namespace.
pub(super) enum Ground<'a> {
    /// In new namespaces, yet to be furnished.
    Own {
        sysctls: &'a [Sysctl],
        /// Whether a mount namespace was allowed too.
        mounts: Result<()>,
    },
    /// In those of a process that runs.
    Joined,
}

pub(super) fn enter(place: &Namespaces) -> Result<Ground<'_>> {
    match place {
        Namespaces::Own(sysctls) => {
            let mounts = enter_own().map_err(refusal::or_this_network)?;
            Ok(Ground::Own { sysctls, mounts })
        }
        Namespaces::Of(pid) => join(*pid).map(|()| Ground::Joined),
    }
}

fn enter_own() -> Result<Result<()>> {
    enter_network()?;
    leave(CloneFlags::CLONE_NEWPID, "CLONE_NEWPID")?;
    Ok(leave(CloneFlags::CLONE_NEWNS, "CLONE_NEWNS"))
}

/// Enters a network namespace alone, and the user namespace that it takes.
pub(super) fn enter_network() -> Result<()> {
    if !administers_network() {
        enter_user_namespace()?;
    }
    leave(CloneFlags::CLONE_NEWNET, "CLONE_NEWNET")
}

/// Whether this process has CAP_SYS_ADMIN for the namespaces and CAP_NET_ADMIN for what is in them (capabilities(7)).
fn administers_network() -> bool {
    const NEEDED: u64 = 1 << 21 | 1 << 12;
    match Process::myself().and_then(|process| process.status()) {
        Ok(status) => status.capeff & NEEDED == NEEDED,
        Err(_) => geteuid().is_root(),
    }
}

/// Enters a user namespace whose root is the caller (user_namespaces(7)). In the networks of before it has no rights.
///
/// # Errors
///
/// `EPERM`, `EACCES` and `ENOSPC` where the system refuses them.
pub(crate) fn enter_user_namespace() -> Result<()> {
    let (user, group) = (geteuid(), getegid());
    leave(CloneFlags::CLONE_NEWUSER, "CLONE_NEWUSER")?;
    map_root(user, group)
}

fn map_root(user: Uid, group: Gid) -> Result<()> {
    // Without privilege a group may be mapped only after setgroups(2) is given up.
    write("/proc/self/setgroups", "deny")?;
    write("/proc/self/uid_map", &format!("0 {user} 1"))?;
    write("/proc/self/gid_map", &format!("0 {group} 1"))
}

fn write(path: &'static str, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|error| refusal::explained(Error::new("write", path, error)))
}

fn leave(kind: CloneFlags, name: &'static str) -> Result<()> {
    unshare(kind).map_err(|errno| refusal::of_unshare(name, errno))
}

/// Enters those namespaces of the process that are not the caller's already.
///
/// The user namespace comes first: it gives the rights that the others ask for.
fn join(pid: Pid) -> Result<()> {
    let directory = env::current_dir().map_err(|error| Error::new("getcwd", "", error))?;
    let kinds = [
        ("user", CloneFlags::CLONE_NEWUSER),
        ("mnt", CloneFlags::CLONE_NEWNS),
        ("net", CloneFlags::CLONE_NEWNET),
        // Also right for the process outside, whose children alone are in the PID namespace.
        ("pid_for_children", CloneFlags::CLONE_NEWPID),
    ];
    // All are opened first: after the mount namespace has changed, /proc is another.
    let mut differing = Vec::new();
    for (name, kind) in kinds {
        let path = format!("/proc/{pid}/ns/{name}");
        let theirs =
            File::open(&path).map_err(|error| out_of_reach(pid, Error::new("open", &path, error)))?;
        if identity(&theirs)? != identity(&open_own(name)?)? {
            differing.push((path, kind, theirs));
        }
    }
    for (path, kind, theirs) in differing {
        setns(theirs, kind).map_err(|errno| out_of_reach(pid, Error::new("setns", path, errno)))?;
    }
    // setns(2) into a mount namespace leaves us at its root.
    env::set_current_dir(&directory)
        .map_err(|error| Error::new("chdir", Escaped(directory.as_os_str().as_encoded_bytes()), error))
}

fn open_own(name: &str) -> Result<File> {
    let path = format!("/proc/self/ns/{name}");
    File::open(&path).map_err(|error| Error::new("open", path, error))
}

/// What tells one namespace from another: the device and inode of its file (namespaces(7)).
///
/// # Errors
///
/// What fstat(2) answers.
pub(crate) fn identity(namespace: &File) -> Result<(u64, u64)> {
    let found = namespace.metadata().map_err(|error| Error::new("fstat", "namespace", error))?;
    Ok((found.dev(), found.ino()))
}

fn out_of_reach(pid: Pid, error: Error) -> Error {
    match error.errno() {
        Some(Errno::ENOENT) => error.note(format_args!("no process {pid} runs here")),
        Some(Errno::EACCES | Errno::EPERM) => error
            .note(format_args!("the namespaces of process {pid} belong to another user"))
            .hint("as that user, or as root"),
        _ => error,
    }
}
