//! The sockets that a process has open: in its table of open files, in those of threads that have one of their own, and
//! registered with an io_uring. proc(5), unshare(2), io_uring_register(2)

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process;

use nix::fcntl::readlinkat;
use nix::libc;

/// Where a process has a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot {
    /// The thread whose table it is in: the first one's is the process's.
    pub thread: u32,
    /// Its descriptor there, or that of the io_uring with which it is registered.
    pub number: i32,
}

/// The inodes of the sockets that a process has open, each with one place where it has it.
///
/// Descriptors are only named, never opened.
///
/// # Errors
///
/// `PermissionDenied` where we may not look into the process; another where it has ended.
pub(crate) fn sockets_of(pid: u32) -> io::Result<BTreeMap<u32, Slot>> {
    // Where the first thread has ended, it has no table any more, and root has the directory.
    let mut all = table(pid, pid);
    for thread in threads_apart(pid) {
        let Ok(found) = table(pid, thread) else { continue };
        match &mut all {
            Ok(all) => found.into_iter().for_each(|(inode, slot)| _ = all.entry(inode).or_insert(slot)),
            Err(_) => all = Ok(found),
        }
    }
    all
}

/// The sockets in the table of open files of one thread.
fn table(pid: u32, thread: u32) -> io::Result<BTreeMap<u32, Slot>> {
    let process = match thread == pid {
        true => format!("/proc/{pid}"),
        false => format!("/proc/{pid}/task/{thread}"),
    };
    let path = Path::new(&process).join("fd");
    // From the directory: a whole path would be walked, and its rights checked, for each descriptor.
    let directory = File::open(&path)?;
    let mut found = BTreeMap::new();
    for descriptor in fs::read_dir(path)?.flatten() {
        let name = descriptor.file_name();
        let link = match readlinkat(&directory, name.as_os_str()).map_err(io::Error::from) {
            Ok(link) => PathBuf::from(link),
            // Whoever may read any directory sees the numbers of descriptors, and not what they are.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
            Err(_) => continue,
        };
        let Some(number) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        let slot = Slot { thread, number };
        if let Some(inode) = socket_inode(&link) {
            found.insert(inode, slot);
        } else if link == Path::new("anon_inode:[io_uring]") {
            let ring = fs::read(format!("{process}/fdinfo/{number}")).unwrap_or_default();
            for inode in registered(&String::from_utf8_lossy(&ring)) {
                found.entry(inode).or_insert(slot);
            }
        }
    }
    Ok(found)
}

/// `socket:[4711]` names the socket 4711.
fn socket_inode(link: &Path) -> Option<u32> {
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok().filter(|&inode| inode != 0)
}

/// The sockets among the registered files that the fdinfo of an io_uring lists; older kernels list no inode.
fn registered(fdinfo: &str) -> impl Iterator<Item = u32> {
    let lines = fdinfo.lines().skip_while(|line| !line.starts_with("UserFiles:")).skip(1);
    let paths = lines.map_while(|line| line.split_once(": ").map(|(_, path)| path));
    paths.filter_map(|path| socket_inode(Path::new(path)))
}

/// The threads besides the first whose table of open files is another one, or may be.
fn threads_apart(pid: u32) -> Vec<u32> {
    let directory = format!("/proc/{pid}/task");
    // It has two links, and one for each thread. Most processes have one thread.
    if fs::metadata(&directory).is_ok_and(|found| found.nlink() == 3) {
        return Vec::new();
    }
    let names = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let threads = names.filter_map(|name| name.to_str()?.parse().ok());
    let comparable = is_numbered_as_here();
    threads.filter(|&thread| thread != pid && !(comparable && share_files(pid, thread))).collect()
}

/// Whether the numbers of processes in /proc are those of this PID namespace.
fn is_numbered_as_here() -> bool {
    fs::read_link("/proc/self").is_ok_and(|link| link == Path::new(&process::id().to_string()))
}

/// Whether two threads have one table of open files: kcmp(2). No, where it may not be asked.
#[expect(unsafe_code, reason = "kcmp(2) has no safe wrapper")]
fn share_files(one: u32, other: u32) -> bool {
    // `KCMP_FILES` of linux/kcmp.h, which takes no indices.
    const FILES: i32 = 2;
    let [one, other] = [one, other].map(u32::cast_signed);
    // SAFETY: the call takes five numbers and no pointer.
    unsafe { libc::syscall(libc::SYS_kcmp, one, other, FILES, 0, 0) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_a_socket_gives_its_inode_and_any_other_none() {
        assert_eq!(socket_inode(Path::new("socket:[4711]")), Some(4711));
        for link in
            ["pipe:[4711]", "/tmp/socket:[1]", "socket:[", "socket:[-1]", "socket:[0]", "socket:[4294967296]"]
        {
            assert_eq!(socket_inode(Path::new(link)), None, "{link}");
        }
    }

    #[test]
    fn the_registered_sockets_of_an_io_uring_are_read_from_its_fdinfo() {
        let fdinfo = "pos:\t0\nSqThread:\t-1\nUserFiles:\t4\n    0: socket:[4711]\n    1: /tmp/socket:[1]\n    \
                      2: socket:[4712]\n    3: TCP\nUserBufs:\t0\nPollList:\n    9: socket:[5]\n";
        assert_eq!(registered(fdinfo).collect::<Vec<_>>(), [4711, 4712]);
        for fdinfo in ["", "UserFiles:\t1", "UserFiles:\t1\n0: ", "    0: socket:[1]\n"] {
            assert_eq!(registered(fdinfo).count(), 0, "{fdinfo}");
        }
    }

    #[test]
    fn threads_that_share_the_table_are_passed_over() {
        let me = process::id();
        let (ended, end) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || end.recv());
        assert!(fs::metadata("/proc/self/task").unwrap().nlink() > 3);
        let apart = threads_apart(me);
        assert!(apart.is_empty() || !share_files(me, me), "{apart:?}");
        drop(ended);
        other.join().unwrap().unwrap_err();
    }
}
