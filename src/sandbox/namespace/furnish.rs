//! What a new place needs before a command can use it: its own /proc, lo up, sysctls pinned.

use nix::mount::{MsFlags, mount};

use super::enter::Ground;
use super::{Sysctl, interfaces, refusal, sysctl};
use crate::error::{Error, Result};
use crate::report::say;

/// Called by the first process of the PID namespace: a /proc shows the processes of the one that mounts it.
pub(super) fn furnish(ground: Ground) -> Result<()> {
    let Ground::Own { sysctls, mounts } = ground else { return Ok(()) };
    if let Err(error) = mounts.and_then(|()| mount_proc()) {
        say(&format!(
            "isolate: {}",
            error.note("so /proc shows the processes outside, under the pids they have there")
        ));
    }
    furnish_network(sysctls).map_err(refusal::or_this_network)
}

/// What a new network needs alone.
pub(super) fn furnish_network(sysctls: &[Sysctl]) -> Result<()> {
    interfaces::bring_up()?;
    sysctl::pin()?;
    sysctls.iter().try_for_each(Sysctl::write)
}

fn mount_proc() -> Result<()> {
    // As root the mount would otherwise reach the caller's namespace, which shares its mounts with ours.
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
        .map_err(|errno| Error::new("mount", "/", errno))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>)
        .map_err(|errno| Error::new("mount", "/proc", errno))
}
