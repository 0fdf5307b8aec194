//! The TCP sockets of this network: the kernel's own table, and what it leaves out.
//!
//! Before Linux 6.8 it has no row for a socket that is only bound. Such sockets are found by the descriptors of processes.
//! Where the kernel answers no sock_diag(7) at all, /proc/net/tcp has the others.

mod bound;
mod proc_net;

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU16;

use crate::error::Result;
use crate::kernel::inet_diag::{SocketRow, shows_bound, sockets, sockets_on, sorted};

pub(crate) use proc_net::udp_on;

/// What there is, as far as it can be seen.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// In the order of [`sockets`].
    pub(crate) rows: Vec<SocketRow>,
    /// What may be missing, if anything may.
    pub(crate) gap: Option<Gap>,
}

/// What a table may lack.
///
/// Displays as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    /// Sockets that are only bound, of processes that may not be looked into.
    Bound,
    /// The same, and all that /proc/net/tcp does not tell of the others; why the kernel did not list them.
    Unlisted(String),
}

/// All TCP sockets of this network namespace.
///
/// # Errors
///
/// As [`sockets`], where /proc/net/tcp cannot be read either.
pub(crate) fn table() -> Result<Table> {
    completed(sockets(), |_| true)
}

/// The same of one local port.
///
/// # Errors
///
/// As [`table`].
pub(crate) fn table_on(port: NonZeroU16) -> Result<Table> {
    let wanted = |row: &SocketRow| row.local.port() == port.get();
    // What the kernel leaves out is found by its being in no row, whatever the port.
    completed(if shows_bound() { sockets_on(port) } else { sockets() }, wanted)
}

fn completed(listed: Result<Vec<SocketRow>>, wanted: impl Fn(&SocketRow) -> bool) -> Result<Table> {
    let (mut rows, unlisted) = match listed {
        Ok(rows) if shows_bound() => return Ok(Table { rows, gap: None }),
        Ok(rows) => (rows, None),
        Err(error) => match proc_net::tcp() {
            Some(rows) => (rows, Some(Gap::Unlisted(first_line(&error.to_string())))),
            None => return Err(error),
        },
    };
    let inodes: BTreeSet<u32> = rows.iter().map(|row| row.inode).collect();
    let bound = bound::found(inodes);
    rows.extend(bound.rows);
    rows.retain(wanted);
    let gap = unlisted.or((!bound.is_whole).then_some(Gap::Bound));
    Ok(Table { rows: sorted(rows), gap })
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bound => f.write_str(
                "a socket that is only bound may be missing: this kernel lists none (Linux 6.8 does), and not every \
                 process may be looked into",
            ),
            Self::Unlisted(why) => write!(
                f,
                "the kernel does not list its sockets ({why}): these are those of /proc/net/tcp, and one that is only \
                 bound may be missing"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::inet_diag::pretend::{Lacking, without};
    use crate::net::{BoundSocket, SocketOptions, TcpState, bind};

    fn bound(local: &str) -> BoundSocket {
        bind(local.parse().unwrap(), &SocketOptions::default()).unwrap()
    }

    fn on(local: std::net::SocketAddr) -> Vec<SocketRow> {
        table_on(NonZeroU16::new(local.port()).unwrap()).unwrap().rows
    }

    #[test]
    fn a_bound_socket_that_the_kernel_does_not_list_is_found_with_the_same_row() {
        for local in ["127.0.0.1:0", "0.0.0.0:0", "[::]:0", "[::1]:0", "[::ffff:127.0.0.1]:0"] {
            let Ok(socket) = bind(local.parse().unwrap(), &SocketOptions::default()) else { continue };
            let found = without(Lacking::Bound, || on(socket.local()));
            let [row] = &found[..] else { panic!("{local}: {found:#?}") };
            assert_eq!((row.state, row.local), (TcpState::BoundInactive, socket.local()));
            if shows_bound() {
                assert_eq!(found, on(socket.local()), "{local}");
            }
        }
    }

    #[test]
    fn a_socket_that_listens_is_listed_once_and_one_without_a_port_never() {
        let listening = bound("127.0.0.1:0");
        let local = listening.local();
        let _listening = listening.listen(1).unwrap();
        let options = SocketOptions { bind_address_no_port: true, ..SocketOptions::default() };
        let _without_port = bind("127.0.0.1:0".parse().unwrap(), &options).unwrap();
        for lacking in [Lacking::Bound, Lacking::Protocol] {
            let found = without(lacking, || table().unwrap().rows);
            assert_eq!(found.iter().filter(|row| row.local == local).count(), 1);
            assert!(found.iter().all(|row| row.local.port() != 0));
        }
    }

    #[test]
    fn without_sock_diag_there_is_what_proc_net_has_and_that_is_said() {
        let bound = [bound("127.0.0.1:0"), bound("127.0.0.1:0")];
        let [listening, only_bound] = [bound[0].local(), bound[1].local()];
        let [socket, _only_bound] = bound;
        let _listening = socket.listen(7).unwrap();
        without(Lacking::Protocol, || {
            let table = table().unwrap();
            let state = |local| table.rows.iter().find(|row| row.local == local).map(|row| row.state);
            assert_eq!(state(listening), Some(TcpState::Listen));
            assert_eq!(state(only_bound), Some(TcpState::BoundInactive));
            let said = table.gap.unwrap().to_string();
            assert!(said.contains("EPROTONOSUPPORT") && said.contains("/proc/net/tcp"), "{said}");
        });
    }
}
