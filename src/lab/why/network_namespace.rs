//! Another network namespace of this host: how it is named, entered and looked into.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::{fmt, thread};

use nix::sched::{CloneFlags, setns};

use crate::error::{Error, Result};
use crate::kernel::holders::Holder;
use crate::kernel::owners::pids;
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
    Process(u32, Vec<u8>),
    Name(Vec<u8>),
}

impl NetworkNamespace {
    /// The command before which a command runs there.
    pub fn command(&self) -> String {
        match &self.member {
            Member::Process(pid, _) => format!("nsenter -t {pid} -n"),
            Member::Name(name) => format!("ip netns exec {}", Escaped(name)),
        }
    }

    /// The same, by a process that has the socket where one is known.
    pub(super) fn named_by(&self, holder: &Holder) -> Self {
        let own = holder.processes.first();
        let member = own.map(|process| Member::Process(process.pid, process.name.clone()));
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
            Member::Process(pid, name) => {
                write!(f, "the network namespace of pid {pid} ({})", Escaped(name))
            }
            Member::Name(name) => write!(f, "the network namespace {}", Escaped(name)),
        }
    }
}

/// The namespaces besides this one, by the first process that is in each or by name; and whether there may be more.
pub(super) fn other_namespaces() -> (Vec<NetworkNamespace>, bool) {
    let identity = |path: &Path| namespace::identity(&File::open(path).ok()?).ok();
    let Some(own) = identity(Path::new("/proc/thread-self/ns/net")) else { return (Vec::new(), true) };
    let mut found = BTreeMap::new();
    let mut hidden = false;
    let mut add = |path: PathBuf, member: &dyn Fn() -> Member| match identity(&path) {
        Some(identity) if identity == own => {}
        Some(identity) => {
            found.entry(identity).or_insert_with(|| NetworkNamespace { path, member: member() });
        }
        None => hidden = true,
    };
    for pid in pids() {
        let comm = || fs::read(format!("/proc/{pid}/comm")).unwrap_or_default().trim_ascii_end().to_owned();
        add(PathBuf::from(format!("/proc/{pid}/ns/net")), &|| Member::Process(pid, comm()));
    }
    for entry in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        add(entry.path(), &|| Member::Name(entry.file_name().as_encoded_bytes().to_owned()));
    }
    (found.into_values().collect(), hidden)
}
