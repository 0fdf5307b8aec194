//! Which processes have a socket: from its inode to /proc/PID/fd, proc(5).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::path::Path;

use nix::fcntl::readlinkat;
use serde::Serialize;
use serde::ser::SerializeStruct;

use crate::text::Escaped;

/// A process, by its number and the name it goes by.
///
/// Displays as `listener(4711)`, one word whatever the name is; serializes as `pid` and `name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its number in the PID namespace of our /proc.
    pub pid: u32,
    /// Its name as /proc/PID/comm gives it, any bytes: the process chose them.
    pub name: Vec<u8>,
}

/// The processes that have each of the sockets of an inode.
pub(crate) type Owners = BTreeMap<u32, Vec<Process>>;

/// A socket in a process's table of open files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Descriptor {
    /// The socket, as the socket table and /proc/PID/fd number it.
    pub inode: u32,
    pub process: Process,
    pub number: i32,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in Escaped(&self.name).to_string().chars() {
            match character {
                // A column ends at a blank, and these three hold a list of processes together.
                ' ' | '(' | ')' | ',' => write!(f, "\\x{:02x}", u32::from(character))?,
                _ if character.is_whitespace() => write!(f, "\\u{{{:x}}}", u32::from(character))?,
                _ => write!(f, "{character}")?,
            }
        }
        write!(f, "({})", self.pid)
    }
}

impl Serialize for Process {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Process", 2)?;
        object.serialize_field("pid", &self.pid)?;
        object.serialize_field("name", &Escaped(&self.name).to_string())?;
        object.end()
    }
}

/// The processes that have a socket of `inodes` open, sorted by pid.
///
/// Which are known and which are not is said at [`descriptors`].
pub(crate) fn owners(inodes: &BTreeSet<u32>) -> Owners {
    let mut owners = Owners::new();
    for Descriptor { inode, process, .. } in descriptors(inodes) {
        owners.entry(inode).or_default().push(process);
    }
    owners
}

/// Where the sockets of `inodes` are open, sorted by pid; of several in one process one.
///
/// Descriptors are only named, never opened. A process that we may not look into (another user's,
/// without CAP_SYS_PTRACE) and one that ends meanwhile are passed over, so a socket may have more
/// owners than are known, or none. Every process is looked at, since many may share one socket.
pub(crate) fn descriptors(inodes: &BTreeSet<u32>) -> Vec<Descriptor> {
    let mut found = Vec::new();
    if inodes.iter().all(|&inode| inode == 0) {
        return found;
    }
    for pid in pids() {
        let directory = format!("/proc/{pid}");
        let directory = Path::new(&directory);
        let mut held = sockets_of(directory);
        held.retain(|inode, _| inodes.contains(inode));
        if held.is_empty() {
            continue;
        }
        let Ok(mut name) = fs::read(directory.join("comm")) else { continue };
        name.pop_if(|byte| *byte == b'\n');
        let process = Process { pid, name };
        found.extend(held.into_iter().map(|(inode, number)| Descriptor {
            inode,
            process: process.clone(),
            number,
        }));
    }
    found
}

/// The processes that run, in the order of their numbers.
pub(crate) fn pids() -> BTreeSet<u32> {
    let names = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.to_str()?.parse().ok()).collect()
}

/// The inodes of the sockets that a process has open, each with one of its descriptors.
pub(crate) fn sockets_of(process: &Path) -> BTreeMap<u32, i32> {
    let path = process.join("fd");
    // From the directory: a whole path would be walked, and its rights checked, for each descriptor.
    let Ok(directory) = File::open(&path) else { return BTreeMap::new() };
    let descriptors = fs::read_dir(path).into_iter().flatten().flatten();
    let socket = |descriptor: fs::DirEntry| {
        let name = descriptor.file_name();
        let inode = socket_inode(Path::new(&readlinkat(&directory, name.as_os_str()).ok()?))?;
        Some((inode, name.to_str()?.parse().ok()?))
    };
    descriptors.filter_map(socket).collect()
}

/// `socket:[4711]` names the socket 4711.
fn socket_inode(link: &Path) -> Option<u32> {
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok().filter(|&inode| inode != 0)
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
    fn a_name_of_any_bytes_is_one_word_and_cannot_forge_a_second_process() {
        let process = Process { pid: 5, name: b"a b(1),\xc2\xa0\x1b\xff".to_vec() };
        assert_eq!(process.to_string(), r"a\x20b\x281\x29\x2c\u{a0}\x1b\xff(5)");
        assert_eq!(
            serde_json::to_string(&process).unwrap(),
            "{\"pid\":5,\"name\":\"a b(1),\u{a0}\\\\x1b\\\\xff\"}"
        );
    }
}
