//! How a program here comes by the right to a privileged port: capabilities(7), `PR_SET_NO_NEW_PRIVS` in prctl(2).

use procfs::process::Process;

/// CAP_NET_BIND_SERVICE of this process, and whether execve(2) may give it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rights {
    /// It is in force: in the user namespace of this process, which may not be the one that owns the network.
    effective: bool,
    /// It may be put in force: capset(2).
    permitted: bool,
    /// A program may be given it by its file, or by being root's.
    bounding: bool,
    /// execve(2) gives no program more than there is: neither by file capabilities nor by set-user-ID.
    no_new_privs: bool,
}

impl Rights {
    /// What /proc/self/status says; where it cannot be read, that nothing is in the way.
    pub(super) fn read() -> Self {
        const CAP_NET_BIND_SERVICE: u64 = 1 << 10;
        let has = |set: u64| set & CAP_NET_BIND_SERVICE != 0;
        let status = Process::myself().and_then(|process| process.status());
        status.map_or(Self { bounding: true, ..Self::default() }, |status| Self {
            effective: has(status.capeff),
            permitted: has(status.capprm),
            bounding: status.capbnd.is_none_or(has),
            no_new_privs: status.nonewprivs == Some(1),
        })
    }

    /// What gives the right to bind this port.
    pub(super) fn words(self, port: u16) -> String {
        let sysctl = format!("sysctl net.ipv4.ip_unprivileged_port_start={port}");
        if self.effective {
            return format!(
                "CAP_NET_BIND_SERVICE is in force here: this network belongs to another user namespace, where it does not \
                 count (there, `{sysctl}` allows it), or a security policy forbids the port"
            );
        }
        if self.permitted {
            return format!(
                "put CAP_NET_BIND_SERVICE in force: this process has it as permitted (capset(2)); or `sudo {sysctl}`"
            );
        }
        let starter = match (self.no_new_privs, self.bounding) {
            (false, true) => {
                return format!(
                    "CAP_NET_BIND_SERVICE: `sudo setcap cap_net_bind_service=+ep PROGRAM`; or as root; or `sudo {sysctl}`"
                );
            }
            (true, true) => {
                "no_new_privs is set here, under which setcap and sudo give nothing: `AmbientCapabilities=`"
            }
            (_, false) => {
                "the bounding set here lacks it, so that neither setcap nor sudo gives it: `CapabilityBoundingSet=` and \
                 `AmbientCapabilities=`"
            }
        };
        format!(
            "CAP_NET_BIND_SERVICE from who starts the program ({starter} of a systemd unit); or, outside, `{sysctl}`"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDINARY: Rights =
        Rights { effective: false, permitted: false, bounding: true, no_new_privs: false };

    #[test]
    fn setcap_and_sudo_are_advised_only_where_they_can_help() {
        for (rights, helps, word) in [
            (ORDINARY, true, "or as root"),
            (Rights { no_new_privs: true, ..ORDINARY }, false, "no_new_privs is set here"),
            (Rights { bounding: false, ..ORDINARY }, false, "the bounding set here lacks it"),
            (Rights { permitted: true, ..ORDINARY }, false, "capset(2)"),
            (
                Rights { effective: true, permitted: true, ..ORDINARY },
                false,
                "belongs to another user namespace",
            ),
        ] {
            let words = rights.words(80);
            assert_eq!(words.contains("`sudo setcap"), helps, "{words}");
            assert!(
                words.contains(word) && words.contains("sysctl net.ipv4.ip_unprivileged_port_start=80`"),
                "{words}"
            );
        }
    }

    #[test]
    fn what_the_kernel_says_of_this_process_is_read() {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line =
            |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
        let has = |name| u64::from_str_radix(&line(name), 16).unwrap() & 1 << 10 != 0;
        let rights = Rights::read();
        assert_eq!((rights.effective, rights.bounding), (has("CapEff:"), has("CapBnd:")));
        assert_eq!(rights.no_new_privs, line("NoNewPrivs:") == "1");
    }
}
