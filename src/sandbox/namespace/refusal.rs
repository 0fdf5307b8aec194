//! What stands in the way where a system refuses namespaces, and the command that allows them.

use std::fs;

use nix::errno::Errno;
use procfs::process::Process;

use crate::error::Error;
use crate::text::Setting;

const CONTAINER: &str = "docker run --cap-add SYS_ADMIN --cap-add NET_ADMIN --security-opt seccomp=unconfined \
                         --security-opt apparmor=unconfined --security-opt systempaths=unconfined …";

/// One thing that refuses, and the command that makes it allow.
#[derive(Debug, PartialEq, Eq)]
struct Obstacle {
    fact: String,
    remedy: String,
}

/// What this system says of itself.
#[derive(Default)]
struct System {
    /// `kernel.apparmor_restrict_unprivileged_userns`, Ubuntu's.
    apparmor_restricts: bool,
    /// `kernel.unprivileged_userns_clone`, Debian's.
    clone_denied: bool,
    /// A seccomp filter is in force, such as a container's.
    seccomp: bool,
}

impl System {
    fn asked() -> Self {
        let reads = |path: &str, value: &str| fs::read_to_string(path).is_ok_and(|text| text.trim() == value);
        let status = Process::myself().and_then(|process| process.status());
        Self {
            apparmor_restricts: reads("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"),
            clone_denied: reads("/proc/sys/kernel/unprivileged_userns_clone", "0"),
            seccomp: status.is_ok_and(|status| status.seccomp == Some(2)),
        }
    }

    fn obstacles(&self) -> Vec<Obstacle> {
        let sysctl = |name: &str, value, effect: &str, cure| Obstacle {
            fact: format!("{name}={value} {effect}"),
            remedy: format!("sudo sysctl {name}={cure}"),
        };
        let mut found = Vec::new();
        if self.apparmor_restricts {
            let name = "kernel.apparmor_restrict_unprivileged_userns";
            found.push(sysctl(name, 1, "leaves an ordinary user no rights in a user namespace", 0));
        }
        if self.clone_denied {
            let name = "kernel.unprivileged_userns_clone";
            found.push(sysctl(name, 0, "keeps user namespaces for root", 1));
        }
        if self.seccomp {
            let fact = "a seccomp filter is in force, as in a container (Seccomp: 2 in /proc/self/status)";
            found.push(Obstacle { fact: fact.to_owned(), remedy: CONTAINER.to_owned() });
        }
        found
    }
}

/// The refusal of `unshare` to leave the caller's namespace, named as its flag is.
pub(super) fn of_unshare(flag: &'static str, errno: Errno) -> Error {
    let error = Error::new("unshare", flag, errno);
    if errno == Errno::ENOSPC { with(error, vec![limit(flag)]) } else { explained(error) }
}

/// Adds what is known to cause the refusal, and how to go on.
pub(super) fn explained(error: Error) -> Error {
    explained_on(error, &System::asked())
}

fn explained_on(error: Error, system: &System) -> Error {
    match error.errno() {
        Some(Errno::EPERM | Errno::EACCES | Errno::ENOSYS) => with(error, system.obstacles()),
        Some(Errno::EROFS) => {
            let fact = "/proc/sys is read-only here, as in a container".to_owned();
            with(error, vec![Obstacle { fact, remedy: CONTAINER.to_owned() }])
        }
        _ => with(error, vec![]),
    }
}

/// The bound on how many namespaces of a kind there may be; 0 forbids them (namespaces(7)).
fn limit(flag: &str) -> Obstacle {
    let name = match flag {
        "CLONE_NEWUSER" => "user.max_user_namespaces",
        "CLONE_NEWNET" => "user.max_net_namespaces",
        "CLONE_NEWPID" => "user.max_pid_namespaces",
        _ => "user.max_mnt_namespaces",
    };
    Obstacle { fact: format!("{name} allows no further one"), remedy: format!("sudo sysctl {name}=10000") }
}

fn with(error: Error, obstacles: Vec<Obstacle>) -> Error {
    obstacles.into_iter().fold(error, |error, obstacle| error.note(obstacle.fact).or_hint(obstacle.remedy))
}

/// Adds to a refusal the way around that an experiment has.
pub(super) fn or_this_network(error: Error) -> Error {
    match error.errno() {
        Some(Errno::ENOENT | Errno::EINVAL | Errno::ERANGE) | None => error,
        _ => error.or_hint(format_args!("{} runs it in this network itself", Setting::ExperimentHere)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(system: &System) -> String {
        explained_on(Error::new("write", "/proc/self/uid_map", Errno::EPERM), system).to_string()
    }

    #[test]
    fn apparmors_restriction_is_named_with_the_command_that_lifts_it() {
        let said = refused(&System { apparmor_restricts: true, ..System::default() });
        assert!(said.contains("\nkernel.apparmor_restrict_unprivileged_userns=1 "), "{said}");
        assert!(
            said.ends_with("\nhint: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"),
            "{said}"
        );
    }

    #[test]
    fn every_obstacle_that_stands_is_named() {
        let said = refused(&System { clone_denied: true, seccomp: true, ..System::default() });
        assert!(said.contains("sudo sysctl kernel.unprivileged_userns_clone=1; or docker run "), "{said}");
        assert!(said.contains("Seccomp: 2"), "{said}");
    }

    #[test]
    fn a_spent_limit_is_named_by_its_sysctl() {
        let said = of_unshare("CLONE_NEWNET", Errno::ENOSPC).to_string();
        assert!(said.contains("sudo sysctl user.max_net_namespaces="), "{said}");
    }

    #[test]
    fn without_a_known_cause_an_experiments_way_around_stands_alone() {
        let error = Error::new("write", "/proc/self/uid_map", Errno::EPERM);
        let said = or_this_network(explained_on(error, &System::default())).to_string();
        let hint = format!("\nhint: {} runs it in this network itself", Setting::ExperimentHere);
        assert!(said.ends_with(&hint), "{said}");
    }
}
