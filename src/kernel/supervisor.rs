//! What starts and stops a process, where its control group tells: cgroups(7), systemd.unit(5).

use std::fmt;
use std::fs;

use nix::unistd::geteuid;

/// What starts and stops a process.
///
/// Displays as `nginx.service` or `docker container 0123456789ab`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Supervisor {
    /// A service of systemd, by its unit; of the manager of this user, or of the system's.
    Service(String, Option<u32>),
    /// A container, by the command of its engine, where that is known, and the beginning of its number.
    Container(Option<&'static str>, String),
    /// The process is systemd itself, which listens in place of services: the manager of this user, or of the system.
    Manager(Option<u32>),
}

impl Supervisor {
    /// What the control group says of process `pid`, which has this name; nothing where we are in the same service.
    pub(crate) fn of(pid: u32, name: &[u8]) -> Option<Self> {
        let groups = |process: &str| {
            let text = fs::read(format!("/proc/{process}/cgroup")).unwrap_or_default();
            String::from_utf8_lossy(&text).into_owned()
        };
        let theirs = groups(&pid.to_string());
        if name == b"systemd" && (pid == 1 || paths(&theirs).any(|path| path.ends_with("/init.scope"))) {
            return Some(Self::Manager(paths(&theirs).flat_map(|path| path.split('/')).find_map(user_of)));
        }
        let own = groups("self");
        let own: Vec<&str> = paths(&own).collect();
        paths(&theirs).find_map(|path| supervisor(path, &own))
    }

    /// The command that stops it for good, where there is one.
    pub(crate) fn stop_command(&self) -> Option<String> {
        match self {
            Self::Service(unit, user) => Some(format!("{} stop {unit}", systemctl(*user))),
            Self::Container(engine, id) => engine.map(|engine| format!("{engine} stop {id}")),
            Self::Manager(_) => None,
        }
    }
}

impl fmt::Display for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(unit, _) => f.write_str(unit),
            Self::Container(Some(engine), id) => write!(f, "{engine} container {id}"),
            Self::Container(None, id) => write!(f, "container {id}"),
            Self::Manager(_) => f.write_str("systemd"),
        }
    }
}

/// How the manager of the system, or that of a user, is told something: systemctl(1).
pub(crate) fn systemctl(user: Option<u32>) -> String {
    match user {
        None => "sudo systemctl".to_owned(),
        Some(user) if user == geteuid().as_raw() => "systemctl --user".to_owned(),
        Some(user) => format!("sudo systemctl --user -M {user}@"),
    }
}

/// The groups in the hierarchies that systemd keeps: `HIERARCHY:CONTROLLERS:PATH`, cgroups(7).
fn paths(cgroup: &str) -> impl Iterator<Item = &str> {
    let fields = cgroup.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    fields.filter(|(controllers, _)| ["", "name=systemd"].contains(controllers)).map(|(_, path)| path)
}

/// What is found in a group's path below what it shares with ours.
fn supervisor(path: &str, own: &[&str]) -> Option<Supervisor> {
    let shared = own.iter().map(|own| shared(path, own)).max().unwrap_or(0);
    let parts: Vec<&str> = path.split('/').collect();
    let container = || parts.iter().skip(shared).find_map(|part| container(part, path));
    let service = || {
        let index = parts.iter().rposition(|part| is_service(part)).filter(|&index| index >= shared)?;
        let (above, unit) = (parts.get(..index)?, *parts.get(index)?);
        Some(Supervisor::Service(unit.to_owned(), above.iter().find_map(|part| user_of(part))))
    };
    container().or_else(service)
}

/// How many of the first parts of two paths are the same.
fn shared(one: &str, other: &str) -> usize {
    one.split('/').zip(other.split('/')).take_while(|(one, other)| one == other).count()
}

/// The user whose manager is the service `user@1000.service`.
fn user_of(part: &str) -> Option<u32> {
    part.strip_prefix("user@")?.strip_suffix(".service")?.parse().ok()
}

/// A unit's name as systemd allows it. Users choose names of groups, so nothing else is shown or put into a command.
fn is_service(part: &str) -> bool {
    let allowed = |character: char| character.is_ascii_alphanumeric() || ":_.@-".contains(character);
    part.strip_suffix(".service").is_some_and(|name| !name.is_empty() && name.chars().all(allowed))
}

/// The container of a group such as `docker-NUMBER.scope`, `libpod-NUMBER`, or `NUMBER` below `docker`.
fn container(part: &str, path: &str) -> Option<Supervisor> {
    const SHOWN: usize = 12;
    let name = part.strip_suffix(".scope").unwrap_or(part);
    let (engine, id) = name.rsplit_once('-').unwrap_or(("", name));
    if id.len() != 64 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let engine = match engine {
        "docker" => Some("docker"),
        "libpod" => Some("podman"),
        "" if path.contains("/docker/") => Some("docker"),
        _ => None,
    };
    Some(Supervisor::Container(engine, id.get(..SHOWN)?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn found(path: &str, own: &str) -> Option<String> {
        let found = supervisor(path, &[own])?;
        Some(format!("{found}: {}", found.stop_command().unwrap_or_default()))
    }

    #[test]
    fn a_service_is_told_with_the_command_that_stops_it() {
        let session = "/user.slice/user-1000.slice/session-3.scope";
        let nginx = "nginx.service: sudo systemctl stop nginx.service";
        assert_eq!(found("/system.slice/nginx.service", session).unwrap(), nginx);
        assert_eq!(found("/system.slice/nginx.service/worker", "/").unwrap(), nginx);
        let of_user = "/user.slice/user-4294967294.slice/user@4294967294.service/app.slice/web.service";
        let expected = "web.service: sudo systemctl --user -M 4294967294@ stop web.service";
        assert_eq!(found(of_user, session).unwrap(), expected);
        let manager = found("/user.slice/user-7.slice/user@7.service/init.scope", session).unwrap();
        assert_eq!(manager, "user@7.service: sudo systemctl stop user@7.service");
        let beside = "/user.slice/user-4294967294.slice/user@4294967294.service/app.slice/term.scope";
        assert_eq!(found(of_user, beside).unwrap(), expected);
    }

    #[test]
    fn a_container_is_told_by_the_beginning_of_its_number() {
        let docker = Some("docker container 0123456789ab: docker stop 0123456789ab".to_owned());
        assert_eq!(found(&format!("/docker/{ID}"), "/"), docker);
        assert_eq!(found(&format!("/system.slice/docker-{ID}.scope/system.slice/a.service"), "/"), docker);
        let podman = found(&format!("/machine.slice/libpod-{ID}.scope/container"), "/");
        assert_eq!(podman.unwrap(), "podman container 0123456789ab: podman stop 0123456789ab");
        let pod = format!("/kubepods.slice/kubepods-pod7.slice/cri-containerd-{ID}.scope");
        assert_eq!(found(&pod, "/").unwrap(), "container 0123456789ab: ");
        // Seen from within, it is the one of a service there.
        let inner = format!("/docker/{ID}/system.slice/nginx.service");
        assert!(found(&inner, &format!("/docker/{ID}/init.scope")).unwrap().starts_with("nginx.service: "));
    }

    #[test]
    fn what_is_shared_with_us_or_is_no_unit_is_not_told() {
        for (path, own) in [
            ("/system.slice/runner.service", "/system.slice/runner.service"),
            ("/system.slice/runner.service/job", "/system.slice/runner.service/job2"),
            ("/user.slice/user-1000.slice/session-3.scope", "/"),
            ("/", "/"),
            ("", ""),
            ("/a/$(reboot).service", "/"),
            ("/.service", "/"),
            ("/docker/0123", "/"),
        ] {
            assert_eq!(found(path, own), None, "{path}");
        }
    }

    #[test]
    fn the_hierarchies_of_systemd_are_read_and_no_other() {
        let cgroup = "9:name=systemd:/a.service\n4:memory:/b.service\n0::/c:d.service\nnonsense\n::\n";
        assert_eq!(paths(cgroup).collect::<Vec<_>>(), ["/a.service", "/c:d.service", ""]);
        assert_eq!(["user@7.service", "user@.service", "init.scope"].map(user_of), [Some(7), None, None]);
    }
}
