//! Processes that are not to be stopped by their number, though they have the socket.

use std::net::SocketAddr;

use crate::kernel::owners::{Process, ProcessList};
use crate::kernel::rights::in_first_pid_namespace;
use crate::kernel::socket_unit::socket_units;
use crate::kernel::supervisor::{Supervisor, systemctl};

/// What is done in place of stopping one of these, which has `local`: systemd, the first process, a container's proxy.
pub(super) fn other_way(processes: &[Process], local: SocketAddr) -> Option<String> {
    processes.iter().find_map(|process| match (&process.supervisor, process.pid, &process.name[..]) {
        (Some(Supervisor::Manager(user)), ..) => Some(socket_unit(processes, *user, local)),
        (_, 1, _) => Some(first_process(process)),
        (_, _, b"docker-proxy") => Some(format!(
            "stop the container that publishes the port: `docker ps -f publish={}` names it",
            local.port()
        )),
        _ => None,
    })
}

/// systemd listens for a .socket unit, and may have started its service, which then has the socket too.
fn socket_unit(processes: &[Process], user: Option<u32>, local: SocketAddr) -> String {
    let systemctl = systemctl(user);
    let services = processes.iter().filter_map(|process| match &process.supervisor {
        Some(Supervisor::Service(unit, of)) if *of == user => Some(format!(" {unit}")),
        _ => None,
    });
    let mut services: Vec<String> = services.collect();
    services.dedup();
    let services = services.concat();
    let units: Vec<String> = match user {
        None => socket_units(local).into_iter().collect(),
        Some(_) => Vec::new(),
    };
    match &units[..] {
        [unit] => format!(
            "stop the unit for which systemd listens: `{systemctl} stop {unit}{services}`, if `{systemctl} list-sockets` \
             agrees with the unit's file, which names this port"
        ),
        _ => format!(
            "stop the unit for which systemd listens: `{systemctl} list-sockets` names it, and `{systemctl} stop \
             NAME.socket{services}` stops it"
        ),
    }
}

fn first_process(process: &Process) -> String {
    let named = format!("{} is the first process", ProcessList(std::slice::from_ref(process)));
    match in_first_pid_namespace() {
        true => format!("have it close the socket: {named} of this host, which ends with it"),
        false => format!("stop the container: {named} here, and all others end with it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, name: &[u8], supervisor: Option<Supervisor>) -> Process {
        Process { pid, name: name.to_owned(), supervisor }
    }

    fn way(processes: &[Process]) -> Option<String> {
        other_way(processes, "127.0.0.1:1".parse().unwrap())
    }

    #[test]
    fn systemd_is_not_stopped_but_its_unit_and_what_that_has_started() {
        let systemd = process(1, b"systemd", Some(Supervisor::Manager(None)));
        let said = way(std::slice::from_ref(&systemd)).unwrap();
        assert!(said.ends_with("`sudo systemctl stop NAME.socket` stops it"), "{said}");
        let sshd = Some(Supervisor::Service("ssh.service".to_owned(), None));
        let said = way(&[systemd, process(7, b"sshd", sshd.clone()), process(8, b"sshd", sshd)]).unwrap();
        assert!(said.contains("`sudo systemctl stop NAME.socket ssh.service`"), "{said}");
        let of_user = process(700, b"systemd", Some(Supervisor::Manager(Some(4_294_967_294))));
        let said = way(&[of_user]).unwrap();
        assert!(said.contains("`sudo systemctl --user -M 4294967294@ list-sockets`"), "{said}");
    }

    #[test]
    fn the_first_process_and_a_proxy_of_docker_are_not_stopped_and_others_are() {
        assert!(way(&[process(1, b"nginx", None)]).unwrap().contains("pid 1 (nginx) is the first process"));
        let docker = Some(Supervisor::Service("docker.service".to_owned(), None));
        let said = way(&[process(9, b"docker-proxy", docker)]).unwrap();
        assert!(said.contains("`docker ps -f publish=1`"), "{said}");
        assert_eq!(way(&[process(9, b"nginx", None)]), None);
        assert_eq!(way(&[]), None);
    }
}
