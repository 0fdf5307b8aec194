//! Connections that were closed, and whose other end has not acknowledged all of it: no process has them.

use std::collections::BTreeSet;

use super::remedy::Remedy;
use crate::kernel::holders::{Holder, same_address};
use crate::kernel::inet_diag::connection;
use crate::kernel::owners::{Process, ProcessList};
use crate::net::{FourTuple, TcpState};

/// What ends those among these sockets.
pub(super) fn end<'a>(holders: impl Iterator<Item = &'a Holder>) -> Option<Remedy> {
    let orphans: Vec<(FourTuple, TcpState)> = holders
        .filter(|holder| holder.is_closed() && is_unacknowledged(holder.row.state))
        .filter_map(|holder| Some((holder.four_tuple()?, holder.row.state)))
        .collect();
    let others = other_ends(&orphans)?;
    Some(Remedy::Elsewhere(format!(
        "have {others} read or close; or `sudo ss -K {}`; or wait: the kernel gives up after net.ipv4.tcp_orphan_retries",
        filter(&orphans)?
    )))
}

/// TIME-WAIT comes when the other side has acknowledged all of it, and FIN-WAIT-2 when it has yet to close.
fn is_unacknowledged(state: TcpState) -> bool {
    matches!(state, TcpState::FinWait1 | TcpState::Closing | TcpState::LastAck)
}

/// Who is to acknowledge: processes of this host where they are known, else an address.
fn other_ends(orphans: &[(FourTuple, TcpState)]) -> Option<String> {
    let ((first, _), more) = (orphans.first()?, orphans.len() - 1);
    let row = |tuple: &FourTuple| {
        let row = connection(FourTuple { local: tuple.remote, remote: tuple.local }).ok()??;
        // Where there is no such connection, the kernel gives a listener.
        (same_address(row.local, tuple.remote) && same_address(row.remote, tuple.local)).then_some(row)
    };
    let ends = Holder::of(orphans.iter().filter_map(|(tuple, _)| row(tuple)).collect());
    let processes: BTreeSet<Process> = ends.into_iter().flat_map(|end| end.processes).collect();
    let processes: Vec<Process> = processes.into_iter().collect();
    Some(match (processes.is_empty(), more) {
        (false, _) => format!("the other end, {},", ProcessList(&processes)),
        (true, 0) => format!("the other end, {},", first.remote),
        (true, _) => format!("the other ends, {} and {more} more,", first.remote),
    })
}

/// Which sockets ss(8) is to end.
fn filter(orphans: &[(FourTuple, TcpState)]) -> Option<String> {
    if let [(FourTuple { local, remote }, _)] = orphans {
        return Some(format!("src {local} dst {remote}"));
    }
    let ((first, _), states) = (orphans.first()?, orphans.iter().map(|(_, state)| *state));
    let names: BTreeSet<String> =
        states.map(|state| format!("state {} ", state.name().to_lowercase())).collect();
    Some(format!("{}sport = :{}", names.into_iter().collect::<String>(), first.local.port()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::inet_diag::SocketRow;

    fn words(states: &[(TcpState, u32)]) -> Option<String> {
        let row = |(index, &(state, inode)): (usize, &(TcpState, u32))| {
            let remote = format!("192.0.2.7:{}", 5000 + index);
            SocketRow { inode, ..SocketRow::example(state, "192.0.2.1:3000", &remote) }
        };
        let holders = Holder::of(states.iter().enumerate().map(row).collect());
        end(holders.iter()).map(|remedy| remedy.to_string())
    }

    #[test]
    fn an_unacknowledged_end_is_ended_by_the_other_side_by_root_or_by_time() {
        let one = words(&[(TcpState::FinWait1, 0)]).unwrap();
        assert!(
            one.starts_with("have the other end, 192.0.2.7:5000, read or close; or `sudo ss -K "),
            "{one}"
        );
        assert!(one.contains(" -K src 192.0.2.1:3000 dst 192.0.2.7:5000`; or wait: "), "{one}");
        let several = [(TcpState::FinWait1, 0), (TcpState::LastAck, 0), (TcpState::FinWait1, 0)];
        let all = words(&several).unwrap();
        assert!(all.starts_with("have the other ends, 192.0.2.7:5000 and 2 more, read or close; "), "{all}");
        assert!(all.contains(" -K state fin-wait-1 state last-ack sport = :3000`"), "{all}");
    }

    #[test]
    fn what_a_process_has_or_time_ends_is_none() {
        for state in [TcpState::TimeWait, TcpState::FinWait2, TcpState::Established, TcpState::CloseWait] {
            assert_eq!(words(&[(state, 0)]), None, "{state}");
        }
        assert_eq!(words(&[(TcpState::FinWait1, u32::MAX)]), None);
    }
}
