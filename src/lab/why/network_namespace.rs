//! Another network namespace of this host: how it is named, entered and looked into.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::{fmt, io, slice, thread};

use nix::sched::{CloneFlags, setns};

use crate::error::{Error, Result};
use crate::kernel::holders::Holder;
use crate::kernel::owners::{Process, ProcessList, Sight, may_have_files, pids};
use crate::kernel::rights::proc_hides;
use crate::sandbox::namespace;
use crate::text::Escaped;

/// Another network namespace.
///
/// Displays as `the network namespace of pid 4711 (nginx)`, or of the name that ip-netns(8) gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkNamespace {
    path: PathBuf,
    member: Member,
}

/// By what a namespace is found again.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Member {
    Process(Process),
    Name(Vec<u8>),
}

impl NetworkNamespace {
    /// The command before which a command runs there.
    pub fn command(&self) -> String {
        match &self.member {
            Member::Process(process) => format!("nsenter -t {} -n", process.pid),
            Member::Name(name) => format!("ip netns exec {}", Escaped(name)),
        }
    }

    /// The same, by a process that has the socket where one is known.
    pub(super) fn named_by(&self, holder: &Holder) -> Self {
        let member = holder.processes.first().cloned().map(Member::Process);
        Self { member: member.unwrap_or_else(|| self.member.clone()), ..self.clone() }
    }

    /// What `look` sees there: this thread stays where it is, another one goes.
    ///
    /// # Errors
    ///
    /// `EPERM` from `setns` without CAP_SYS_ADMIN here and there; `EAGAIN` from `clone`.
    pub(super) fn visit<T: Send>(&self, look: impl FnOnce() -> T + Send) -> Result<T> {
        let failed = |call| move |error| Error::new(call, self.path.display(), error);
        let namespace = File::open(&self.path).map_err(failed("open"))?;
        thread::scope(|scope| {
            let visit = || {
                setns(&namespace, CloneFlags::CLONE_NEWNET).map_err(|errno| failed("setns")(errno.into()))?;
                Ok(look())
            };
            let visitor = thread::Builder::new().spawn_scoped(scope, visit).map_err(failed("clone"))?;
            visitor.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl fmt::Display for NetworkNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.member {
            Member::Process(process) => {
                write!(f, "the network namespace of {}", ProcessList(slice::from_ref(process)))
            }
            Member::Name(name) => write!(f, "the network namespace {}", Escaped(name)),
        }
    }
}

/// The namespaces besides this one, by the first process that is in each or by name; and how far the look went.
pub(super) fn other_namespaces() -> (Vec<NetworkNamespace>, Sight) {
    let (mut found, mut sight) = (BTreeMap::new(), Sight::default());
    let own = identity(Path::new("/proc/thread-self/ns/net")).ok();
    for pid in pids() {
        let path = PathBuf::from(format!("/proc/{pid}/ns/net"));
        match identity(&path) {
            Ok(identity) => {
                sight.looked_into += 1;
                if Some(identity) != own
                    && let Entry::Vacant(entry) = found.entry(identity)
                    && let Some(process) = Process::running(pid)
                {
                    entry.insert(NetworkNamespace { path, member: Member::Process(process) });
                }
            }
            // Of one that has ended there is nothing to see, and no right that shows it.
            Err(error) => {
                let is_refused = error.kind() == io::ErrorKind::PermissionDenied && may_have_files(pid);
                sight.refused += usize::from(is_refused);
            }
        }
    }
    for entry in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name().as_encoded_bytes().to_owned());
        if let Ok(identity) = identity(&path)
            && Some(identity) != own
        {
            found.entry(identity).or_insert(NetworkNamespace { path, member: Member::Name(name) });
        }
    }
    sight.hides = proc_hides();
    (found.into_values().collect(), sight)
}

/// What tells a namespace from another.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    namespace::identity(&File::open(path)?).map_err(io::Error::other)
}
