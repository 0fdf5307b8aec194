//! Which processes have a socket: from its inode to /proc, proc(5).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;

use procfs::ProcError;
use serde::Serialize;
use serde::ser::SerializeStruct;

use crate::kernel::open_files::{Slot, sockets_of};
use crate::kernel::rights;
use crate::kernel::supervisor::Supervisor;
use crate::text::{Escaped, few};

/// A process, by its number and the name it goes by.
///
/// Displays as `listener(4711)`, one word whatever the name is; serializes as `pid` and `name`, and `unit` or `container`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its number in the PID namespace of our /proc.
    pub pid: u32,
    /// Its name as /proc/PID/comm gives it, any bytes: the process chose them.
    pub name: Vec<u8>,
    /// What starts and stops it, where that is known and does not run us too.
    pub supervisor: Option<Supervisor>,
}

/// The processes that have each of the sockets of an inode.
pub(crate) type Owners = BTreeMap<u32, Vec<Process>>;

/// A socket that a process has open.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Descriptor {
    /// The socket, as the socket table and /proc/PID/fd number it.
    pub inode: u32,
    pub process: Process,
    pub slot: Slot,
}

/// What a look through all processes has found of some sockets.
#[derive(Default)]
pub(crate) struct Look {
    /// Where they are open, sorted by pid; of several places in one process one.
    pub found: Vec<Descriptor>,
    /// How many processes were looked into.
    looked_into: usize,
    /// The processes that may not be looked into.
    refused: Vec<u32>,
}

/// How far a look through all processes went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// How many processes were looked into.
    pub looked_into: usize,
    /// How many may have files open, and may not be looked into.
    pub refused: usize,
    /// Whether /proc may leave out others (`hidepid`).
    pub hides: bool,
}

impl Sight {
    /// Whether every process of this PID namespace was looked into.
    pub fn is_whole(&self) -> bool {
        self.refused == 0 && !self.hides
    }
}

impl Look {
    /// How far it went; takes some microseconds for each process that may not be looked into.
    pub(crate) fn sight(&self) -> Sight {
        Sight {
            looked_into: self.looked_into,
            refused: self.refused.iter().filter(|&&pid| may_have_files(pid)).count(),
            hides: rights::proc_hides(),
        }
    }
}

impl Process {
    /// The process `pid`, while there is one.
    pub(crate) fn running(pid: u32) -> Option<Self> {
        let mut name = fs::read(format!("/proc/{pid}/comm")).ok()?;
        name.pop_if(|byte| *byte == b'\n');
        let supervisor = Supervisor::of(pid, &name);
        Some(Self { pid, name, supervisor })
    }

    /// Its name as a word in which nothing stands that could be taken for what is around it.
    pub(crate) fn word(&self) -> String {
        let mut word = String::new();
        for character in Escaped(&self.name).to_string().chars() {
            match character {
                // A column ends at a blank, and the others hold a list of processes together.
                ' ' | '(' | ')' | ',' | '=' => word.push_str(&format!("\\x{:02x}", u32::from(character))),
                _ if character.is_whitespace() => {
                    word.push_str(&format!("\\u{{{:x}}}", u32::from(character)))
                }
                _ => word.push(character),
            }
        }
        word
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.word(), self.pid)
    }
}

impl Serialize for Process {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let supervisor = match &self.supervisor {
            Some(Supervisor::Service(unit, _)) => Some(("unit", unit)),
            Some(Supervisor::Container(_, id)) => Some(("container", id)),
            Some(Supervisor::Manager(_)) | None => None,
        };
        let mut object = serializer.serialize_struct("Process", 2 + usize::from(supervisor.is_some()))?;
        object.serialize_field("pid", &self.pid)?;
        object.serialize_field("name", &Escaped(&self.name).to_string())?;
        if let Some((key, value)) = supervisor {
            object.serialize_field(key, value)?;
        }
        object.end()
    }
}

/// Processes in a sentence: `pid 4711 (nginx) and pid 4712 (nginx) of nginx.service`; of many some.
pub(crate) struct ProcessList<'a>(pub &'a [Process]);

impl fmt::Display for ProcessList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, more) = few(self.0);
        for (index, process) in shown.iter().enumerate() {
            let lead = match index {
                0 => "",
                _ if index + 1 == self.0.len() => " and ",
                _ => ", ",
            };
            write!(f, "{lead}pid {} ({})", process.pid, process.word())?;
        }
        if more > 0 {
            write!(f, " and {more} more")?;
        }
        of_supervisor(self.0, f)
    }
}

/// Says what all of these processes are of, if they are of one.
pub(crate) fn of_supervisor(processes: &[Process], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut all = processes.iter().map(|process| process.supervisor.as_ref());
    match all.next().flatten() {
        // It is systemd, and goes by that name.
        Some(Supervisor::Manager(_)) | None => Ok(()),
        Some(first) if all.all(|other| other == Some(first)) => write!(f, " of {first}"),
        Some(_) => Ok(()),
    }
}

/// The processes that have a socket of `inodes` open, sorted by pid.
///
/// Which are known and which are not is said at [`descriptors`].
pub(crate) fn owners(inodes: &BTreeSet<u32>) -> Owners {
    let mut owners = Owners::new();
    for Descriptor { inode, process, .. } in descriptors(inodes).found {
        owners.entry(inode).or_default().push(process);
    }
    owners
}

/// Looks where the sockets of `inodes` are open.
///
/// A process that we may not look into (another user's, without CAP_SYS_PTRACE) and one that ends meanwhile are passed
/// over, so a socket may have more owners than are known, or none. Every process is looked at, since many may share one
/// socket.
pub(crate) fn descriptors(inodes: &BTreeSet<u32>) -> Look {
    let mut look = Look::default();
    if inodes.iter().all(|&inode| inode == 0) {
        return look;
    }
    for pid in pids() {
        let mut held = match sockets_of(pid) {
            Ok(held) => held,
            Err(error) => {
                let is_refused = error.kind() == io::ErrorKind::PermissionDenied;
                look.refused.extend(is_refused.then_some(pid));
                continue;
            }
        };
        look.looked_into += 1;
        held.retain(|inode, _| inodes.contains(inode));
        if held.is_empty() {
            continue;
        }
        let Some(process) = Process::running(pid) else { continue };
        look.found.extend(held.into_iter().map(|(inode, slot)| Descriptor {
            inode,
            process: process.clone(),
            slot,
        }));
    }
    look
}

/// The processes that run, in the order of their numbers.
pub(crate) fn pids() -> BTreeSet<u32> {
    let names = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.to_str()?.parse().ok()).collect()
}

/// Whether a process may have files open, for all that is known: a thread of the kernel and one that has ended have none.
pub(crate) fn may_have_files(pid: u32) -> bool {
    // `PF_KTHREAD` of linux/sched.h.
    const KERNEL_THREAD: u32 = 0x0020_0000;
    match procfs::process::Process::new(pid.cast_signed()).and_then(|process| process.stat()) {
        // The first thread may have ended, and others run on.
        Ok(stat) => stat.flags & KERNEL_THREAD == 0 && (stat.state != 'Z' || stat.num_threads > 1),
        Err(ProcError::NotFound(_)) => false,
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::{AsFd, OwnedFd};
    use std::os::unix::net::UnixStream;
    use std::process::{Command, Stdio};

    use super::*;

    fn process(pid: u32, name: &[u8]) -> Process {
        Process { pid, name: name.to_owned(), supervisor: None }
    }

    fn inode(socket: impl AsFd) -> u32 {
        nix::sys::stat::fstat(socket).unwrap().st_ino.try_into().unwrap()
    }

    #[test]
    fn a_name_of_any_bytes_is_one_word_and_cannot_forge_a_second_process() {
        let mut process = process(5, b"a b(1),\xc2\xa0\x1b\xff) pid=1");
        assert_eq!(process.to_string(), r"a\x20b\x281\x29\x2c\u{a0}\x1b\xff\x29\x20pid\x3d1(5)");
        assert_eq!(
            ProcessList(&[process.clone()]).to_string(),
            r"pid 5 (a\x20b\x281\x29\x2c\u{a0}\x1b\xff\x29\x20pid\x3d1)"
        );
        process.name = b"a b(1),\xc2\xa0\x1b\xff".to_vec();
        assert_eq!(
            serde_json::to_string(&process).unwrap(),
            "{\"pid\":5,\"name\":\"a b(1),\u{a0}\\\\x1b\\\\xff\"}"
        );
        process.supervisor = Some(Supervisor::Service("web.service".to_owned(), None));
        assert!(serde_json::to_string(&process).unwrap().ends_with(",\"unit\":\"web.service\"}"));
    }

    #[test]
    fn many_processes_are_some_and_a_number() {
        let mut all: Vec<Process> = (1..=300).map(|pid| process(pid, b"a")).collect();
        assert_eq!(ProcessList(&all[..1]).to_string(), "pid 1 (a)");
        assert_eq!(ProcessList(&all[..3]).to_string(), "pid 1 (a), pid 2 (a) and pid 3 (a)");
        let many = "pid 1 (a), pid 2 (a), pid 3 (a), pid 4 (a), pid 5 (a) and 295 more";
        assert_eq!(ProcessList(&all).to_string(), many);
        let service = Some(Supervisor::Service("web.service".to_owned(), None));
        all.iter_mut().for_each(|process| process.supervisor.clone_from(&service));
        assert_eq!(ProcessList(&all).to_string(), format!("{many} of web.service"));
        all[299].supervisor = None;
        assert_eq!(ProcessList(&all).to_string(), many);
    }

    #[test]
    fn a_process_that_has_ended_has_no_files_and_ours_has() {
        assert!(may_have_files(std::process::id()));
        let mut child = Command::new("true").spawn().unwrap();
        let pid = child.id();
        let is_zombie = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") Z ");
        while !is_zombie() {
            std::thread::yield_now();
        }
        assert!(!may_have_files(pid));
        child.wait().unwrap();
        assert!(!may_have_files(pid));
    }

    #[test]
    fn a_newline_in_a_name_stays_and_the_one_behind_it_goes() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let inode = inode(&theirs);
        let mut child = Command::new("sh")
            .args(["-c", r"printf 'a\nb' >/proc/$$/comm; echo; read _"])
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
        let owners = owners(&BTreeSet::from([inode]));
        drop(ours);
        child.wait().unwrap();
        let found: Vec<(u32, &[u8])> =
            owners[&inode].iter().map(|owner| (owner.pid, &owner.name[..])).collect();
        assert!(found.contains(&(child.id(), b"a\nb")), "{found:?}");
    }

    #[test]
    fn a_socket_without_an_inode_hides_no_other() {
        let (socket, _other) = UnixStream::pair().unwrap();
        let inode = inode(&socket);
        assert!(owners(&BTreeSet::from([0, inode])).contains_key(&inode));
    }
}
