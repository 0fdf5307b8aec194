//! What this process is allowed to see of others: capabilities(7), user_namespaces(7), pid_namespaces(7), proc(5).

use std::fs;
use std::os::unix::fs::MetadataExt;

use nix::unistd::geteuid;
use procfs::process::Process;

/// The right to look into processes of others, `PTRACE_MODE_READ_FSCREDS` in ptrace(2): CAP_SYS_PTRACE, and where it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TraceRight {
    /// An ordinary user has none.
    Ordinary,
    /// Nor has root without the capability, as a container's is.
    BareRoot,
    /// It counts for the processes of this user namespace alone.
    OfUserNamespace,
    /// It counts everywhere.
    Whole,
}

impl TraceRight {
    pub(crate) fn read() -> Self {
        const CAP_SYS_PTRACE: u64 = 1 << 19;
        // Of /proc/self/status: uid 0 says nothing about capabilities.
        let status = Process::myself().and_then(|process| process.status());
        let has = status.is_ok_and(|status| status.capeff & CAP_SYS_PTRACE != 0);
        match (has, is_first("user", 0xefff_fffd)) {
            (true, true) => Self::Whole,
            (true, false) => Self::OfUserNamespace,
            (false, _) if geteuid().is_root() => Self::BareRoot,
            (false, _) => Self::Ordinary,
        }
    }
}

/// Whether there is no PID namespace outside this one, and so no process that it does not have.
pub(crate) fn in_first_pid_namespace() -> bool {
    is_first("pid", 0xefff_fffc)
}

/// Whether this process is in the namespace of this kind that the system began with: its number is fixed (linux/nsfs.h).
fn is_first(kind: &str, number: u64) -> bool {
    fs::metadata(format!("/proc/self/ns/{kind}")).is_ok_and(|namespace| namespace.ino() == number)
}

/// Whether /proc may leave out processes of other users.
pub(crate) fn proc_hides() -> bool {
    let mounts = fs::read("/proc/self/mountinfo").unwrap_or_default();
    is_mounted_hiding(&String::from_utf8_lossy(&mounts)) && TraceRight::read() != TraceRight::Whole
}

/// Whether the last mount on /proc has `hidepid` as `invisible` or `ptraceable`.
fn is_mounted_hiding(mountinfo: &str) -> bool {
    let mount = mountinfo.lines().rfind(|line| line.split(' ').nth(4) == Some("/proc"));
    let options = mount.and_then(|line| line.rsplit(' ').next()).unwrap_or_default();
    options
        .split(',')
        .filter_map(|option| option.strip_prefix("hidepid="))
        .any(|value| ["2", "invisible", "4", "ptraceable"].contains(&value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proc_that_hides_processes_is_known_by_its_last_mount() {
        let mount =
            |options: &str| format!("22 28 0:20 / /proc rw,nosuid shared:5 - proc proc rw{options}\n");
        for (options, hides) in [
            ("", false),
            (",hidepid=noaccess", false),
            (",hidepid=1", false),
            (",hidepid=2", true),
            (",gid=4,hidepid=invisible", true),
            (",hidepid=ptraceable,gid=4", true),
        ] {
            assert_eq!(is_mounted_hiding(&mount(options)), hides, "{options}");
        }
        let other = "30 22 0:33 / /proc/sys/fs/binfmt_misc rw - autofs systemd-1 rw,hidepid=2\n";
        assert!(!is_mounted_hiding(&(mount("") + other)));
        assert!(!is_mounted_hiding(&(mount(",hidepid=2") + &mount(""))));
        assert!(!is_mounted_hiding("\u{fffd} /proc\n\n"));
    }
}
