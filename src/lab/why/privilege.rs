//! How a program gets CAP_NET_BIND_SERVICE, where it may: capabilities(7), prctl(2).

use nix::unistd::geteuid;

use crate::kernel::rights::has_no_new_privs;

/// What gives the right to a port below `net.ipv4.ip_unprivileged_port_start`.
pub(super) fn right_to(port: u16) -> String {
    words(port, geteuid().is_root(), has_no_new_privs())
}

fn words(port: u16, is_root: bool, no_new_privs: bool) -> String {
    let capability = match (is_root, no_new_privs) {
        (true, _) => "root lacks it for this network, as in a container without it or in a user namespace",
        (false, true) => {
            "neither setcap nor sudo gives it here, for no_new_privs is set; systemd's AmbientCapabilities= does, as the \
             program is started"
        }
        (false, false) => "`sudo setcap cap_net_bind_service=+ep PROGRAM`; or as root",
    };
    let sysctl = format!("sysctl net.ipv4.ip_unprivileged_port_start={port}`");
    match no_new_privs || is_root {
        true => format!("CAP_NET_BIND_SERVICE: {capability}; or, by root of this network, `{sysctl}"),
        false => format!("CAP_NET_BIND_SERVICE: {capability}; or `sudo {sysctl}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_give_the_capability_here_is_not_advised() {
        let said = words(80, false, false);
        assert!(
            said.contains("`sudo setcap cap_net_bind_service=+ep PROGRAM`; or as root; or `sudo sysctl "),
            "{said}"
        );
        for (is_root, no_new_privs) in [(false, true), (true, false), (true, true)] {
            let said = words(80, is_root, no_new_privs);
            assert!(!said.contains("`sudo ") && !said.contains("or as root"), "{said}");
            assert!(said.ends_with("`sysctl net.ipv4.ip_unprivileged_port_start=80`"), "{said}");
        }
    }
}
