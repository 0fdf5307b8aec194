//! Another network namespace of this host: how it is named, entered and looked into.

use std::fs::File;
use std::path::PathBuf;
use std::{fmt, thread};

use nix::sched::{CloneFlags, setns};

use crate::error::{Error, Result};
use crate::kernel::holders::Holder;
use crate::text::Escaped;

/// Another network namespace.
///
/// Displays as `the network namespace of pid 4711 (nginx)`, or of the name that ip-netns(8) gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkNamespace {
    pub(super) path: PathBuf,
    pub(super) member: Member,
}

/// By what a namespace is found again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Member {
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
    pub(super) fn of(&self, holder: &Holder) -> Self {
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
