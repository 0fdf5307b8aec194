//! Rows as text: columns for a reader at a terminal, columns for a script.

use crate::kernel::holders::Holder;
use crate::net::sharing_rule::Sharing;
use crate::text::Commas;

use crate::commands::columns;

const COLUMNS: usize = 10;
const HEADER: [&str; COLUMNS] =
    ["STATE", "LOCAL", "REMOTE", "RECV-Q", "SEND-Q", "TIMER", "UID", "INODE", "REUSE", "PROCESSES"];

type TableRow = [String; COLUMNS];

/// The rows; on a terminal that is too narrow, addresses, timers and processes go over several lines.
///
/// Elsewhere columns separated by blanks, none of them empty or with a blank in it.
pub(super) fn shown(entries: &[Holder], header: bool) -> String {
    columns::shown(lines(entries, header), break_cells)
}

/// Puts the port, the remaining time and each process on a line of its own.
fn break_cells(
    [state, local, remote, received, sent, timer, uid, inode, reuse, processes]: TableRow,
) -> TableRow {
    let broken = |address: String| match address.rsplit_once(':') {
        Some((ip, port)) => format!("{ip}\n:{port}"),
        None => address,
    };
    let (timer, processes) = (timer.replacen('/', "\n/", 1), processes.replace(',', "\n"));
    [state, broken(local), broken(remote), received, sent, timer, uid, inode, reuse, processes]
}

fn lines(entries: &[Holder], header: bool) -> Vec<TableRow> {
    let header = header.then(|| HEADER.map(str::to_owned));
    header.into_iter().chain(entries.iter().map(cells)).collect()
}

fn cells(Holder { row, processes, sharing, .. }: &Holder) -> TableRow {
    [
        row.state.to_string(),
        row.local_end().to_string(),
        row.remote_end().to_string(),
        row.receive_queue.to_string(),
        row.send_queue.to_string(),
        row.timer.map_or_else(|| "-".to_owned(), |timer| timer.to_string()),
        row.uid.to_string(),
        row.inode.to_string(),
        reuse(sharing).to_owned(),
        Commas(processes).to_string(),
    ]
}

fn reuse(sharing: &Sharing) -> &'static str {
    match (sharing.reuse_address, sharing.reuse_port) {
        (Some(true), Some(true)) => "address+port",
        (Some(true), Some(false)) => "address",
        (Some(false), Some(true)) => "port",
        (Some(false), Some(false)) => "none",
        _ => "-",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::kernel::holders::Source;
    use crate::kernel::inet_diag::{SocketRow, SocketTimer, TimerKind};
    use crate::kernel::owners::{Process, Sight};
    use crate::net::TcpState;

    use super::*;

    fn plain(entries: &[Holder], header: bool) -> String {
        columns::aligned(&lines(entries, header))
    }

    fn fitted(entries: &[Holder], header: bool, width: u16) -> String {
        columns::fitted(lines(entries, header), break_cells, width)
    }

    fn entry() -> Holder {
        let timer = SocketTimer {
            kind: TimerKind::Retransmit,
            remaining: Duration::from_millis(200),
            retransmissions: 2,
        };
        let row = SocketRow {
            send_queue: 1,
            timer: Some(timer),
            inode: 4711,
            ..SocketRow::example(TcpState::FinWait1, "[fe80:1234:5678:9abc::1]:3001", "127.0.0.1:3000")
        };
        let process = |pid, name: &[u8]| Process { pid, name: name.to_owned(), supervisor: None };
        let sharing = Sharing { reuse_address: Some(true), reuse_port: Some(true), v6_only: None };
        let processes = vec![process(4711, b"listener"), process(4712, b"n c")];
        Holder { row, processes, sight: Sight::default(), sharing, source: Source::Read }
    }

    #[test]
    fn plain_columns_hold_one_word_each() {
        let text = plain(&[entry()], true);
        let [header, line] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
        assert_eq!(header.split_whitespace().collect::<Vec<_>>(), HEADER);
        assert_eq!(
            line.split_whitespace().collect::<Vec<_>>(),
            [
                "FIN-WAIT-1",
                "[fe80:1234:5678:9abc::1]:3001",
                "127.0.0.1:3000",
                "0",
                "1",
                "retransmit/200ms/2",
                "1000",
                "4711",
                "address+port",
                r"listener(4711),n\x20c(4712)"
            ]
        );
        assert_eq!(header.find("REMOTE"), line.find("127.0.0.1"));
        assert_eq!(plain(&[], false), "");
    }

    #[test]
    fn a_table_fits_the_terminal() {
        assert_eq!(fitted(&[entry()], true, 200), plain(&[entry()], true));
        for width in [40, 80, 100, 120] {
            let table = fitted(&[entry()], true, width);
            assert!(table.lines().all(|line| line.chars().count() <= width.into()), "{table}");
        }
        assert!(fitted(&[entry()], false, 100).lines().nth(1).unwrap().contains(":3000"));
        assert_eq!(fitted(&[], false, 80), "");
    }
}
