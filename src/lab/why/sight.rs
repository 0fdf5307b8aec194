//! What is said where a process or a network namespace was not seen: what was looked at, and what that leaves open.

use std::collections::BTreeSet;

use crate::kernel::holders::{Holder, Ownership};
use crate::kernel::owners::{ProcessList, Sight};
use crate::kernel::rights::{TraceRight, in_first_pid_namespace};

/// Of the sockets whose processes are not all known: who was looked for.
pub(super) fn remarks(holders: &[&Holder]) -> Vec<String> {
    let remark = |wanted| {
        let holders: Vec<_> = holders.iter().filter(|holder| holder.ownership() == wanted).collect();
        let users: BTreeSet<u32> = holders.iter().map(|holder| holder.row.uid).collect();
        let users = users.iter().map(u32::to_string).collect::<Vec<_>>().join(" and ");
        let sight = &holders.first()?.sight;
        match wanted {
            Ownership::KnownInPart => Some(part_words(&users, sight)),
            Ownership::Unseen => Some(unseen_words(&users, sight)),
            Ownership::NotFound => Some(missing_words(&users, sight)),
            Ownership::Known | Ownership::Nobody => None,
        }
    };
    [Ownership::KnownInPart, Ownership::Unseen, Ownership::NotFound].into_iter().filter_map(remark).collect()
}

fn part_words(users: &str, sight: &Sight) -> String {
    format!("other processes may have the socket of uid {users} too: {}; {}", closed(sight), right())
}

fn unseen_words(users: &str, sight: &Sight) -> String {
    format!(
        "which process has the socket of uid {users}, and with which options, was not seen: {}; {}",
        closed(sight),
        right()
    )
}

/// No process was found, and all were looked into: where else a socket may be.
fn missing_words(users: &str, sight: &Sight) -> String {
    let outside = match in_first_pid_namespace() {
        true => "",
        false => "a process outside this PID namespace has it, or ",
    };
    format!(
        "none of the {} processes that /proc shows has the socket of uid {users}: {outside}it is on its way over a UNIX \
         socket (SCM_RIGHTS), in an io_uring that does not list it, or the kernel's own",
        sight.looked_into
    )
}

/// Why not every process was looked into.
fn closed(sight: &Sight) -> String {
    let refused = match sight.refused {
        0 => return "/proc may leave out processes (hidepid)".to_owned(),
        1 => "1 process may not be looked into".to_owned(),
        count => format!("{count} processes may not be looked into"),
    };
    if sight.hides { format!("{refused}, and /proc may leave out others (hidepid)") } else { refused }
}

/// What it takes to look into the processes of others, and who has that.
fn right() -> &'static str {
    match TraceRight::read() {
        TraceRight::Ordinary => "that takes CAP_SYS_PTRACE, as root of the host has it",
        TraceRight::BareRoot => {
            "root lacks CAP_SYS_PTRACE here, as in a container that was not started with `--cap-add SYS_PTRACE`"
        }
        TraceRight::OfUserNamespace => "CAP_SYS_PTRACE counts for the processes of this user namespace alone",
        TraceRight::Whole => "a security policy may forbid it, such as SELinux's or AppArmor's",
    }
}

/// How a socket is had closed whose processes are not all known; nothing where they are.
pub(super) fn stop(holder: &Holder) -> Option<String> {
    match holder.ownership() {
        Ownership::Known | Ownership::Nobody => None,
        Ownership::KnownInPart => {
            let known = ProcessList(&holder.processes);
            Some(format!("stop {known}, and any other process that has the socket: {}", right()))
        }
        Ownership::Unseen => Some(format!("stop the process that has it, which was not seen: {}", right())),
        Ownership::NotFound => Some("stop what has it: no process that /proc shows here does".to_owned()),
    }
}

/// Of the other network namespaces: which were not looked into, where `denied` were found and not entered.
pub(super) fn namespaces(sight: &Sight, denied: usize) -> Option<String> {
    let closed = (!sight.is_whole()).then(|| format!("{}; {}", closed(sight), right()));
    let denied =
        (denied > 0).then(|| format!("{denied} may not be entered, which takes CAP_SYS_ADMIN there"));
    let reasons: Vec<String> = denied.into_iter().chain(closed).collect();
    (!reasons.is_empty()).then(|| {
        format!(
            "not every other network namespace was looked into, such as a container's: {}",
            reasons.join("; ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::holders::Source;
    use crate::kernel::inet_diag::SocketRow;
    use crate::net::TcpState;
    use crate::net::sharing_rule::Sharing;

    fn holder(refused: usize, hides: bool) -> Holder {
        Holder {
            row: SocketRow::example(TcpState::Listen, "127.0.0.1:3001", "0.0.0.0:0"),
            processes: Vec::new(),
            sight: Sight { looked_into: 7, refused, hides },
            sharing: Sharing::default(),
            source: Source::Unknown,
        }
    }

    #[test]
    fn who_was_looked_for_is_said_and_what_that_leaves_open() {
        for (refused, hides, words) in [
            (1, false, "was not seen: 1 process may not be looked into; "),
            (9, false, "was not seen: 9 processes may not be looked into; "),
            (9, true, "9 processes may not be looked into, and /proc may leave out others (hidepid); "),
            (0, true, "was not seen: /proc may leave out processes (hidepid); "),
            (0, false, "none of the 7 processes that /proc shows has the socket of uid 1000: "),
        ] {
            let said = remarks(&[&holder(refused, hides)]);
            assert!(said.len() == 1 && said[0].contains(words), "{said:?}");
        }
        let mut known = holder(0, false);
        known.row.inode = 0;
        assert_eq!(remarks(&[&known]), Vec::<String>::new());
        assert_eq!(namespaces(&Sight::default(), 0), None);
    }
}
