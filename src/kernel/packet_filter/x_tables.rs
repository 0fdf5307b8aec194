//! The rules of iptables-legacy and ip6tables-legacy, which the kernel gives through getsockopt(2).

mod ask;
mod entry;

use std::fs;
use std::io;

use super::rule::FilterTable;
use ask::TableSocket;
use entry::TableInfo;

/// How often a table that changed while it was read is asked for again.
const ATTEMPTS: usize = 8;

/// The tables of one address family; of one that is not there already nothing is asked, since to ask would make it.
///
/// # Errors
///
/// `EACCES` and `EPERM` without CAP_NET_ADMIN over this network namespace; none where this kernel has no such tables.
pub(super) fn tables(is_ipv6: bool) -> io::Result<Vec<FilterTable>> {
    let names = match fs::read_to_string(list(is_ipv6)) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let socket = TableSocket::open(is_ipv6)?;
    names.lines().map(|name| table(&socket, name, is_ipv6)).collect()
}

/// The file that lists the names of the tables there are.
pub(super) fn list(is_ipv6: bool) -> &'static str {
    if is_ipv6 { "/proc/net/ip6_tables_names" } else { "/proc/net/ip_tables_names" }
}

fn table(socket: &TableSocket, name: &str, is_ipv6: bool) -> io::Result<FilterTable> {
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "malformed table of iptables");
    let mut attempt = 1;
    loop {
        let info = TableInfo::read(&socket.info(name)?).ok_or_else(malformed)?;
        match socket.entries(name, info.size) {
            // It has another size by now.
            Err(_) if attempt < ATTEMPTS => attempt += 1,
            entries => return entry::table(name, is_ipv6, &info, &entries?).ok_or_else(malformed),
        }
    }
}

/// Reads bytes as a table, whatever they are.
pub(super) fn read_any(bytes: &[u8]) -> Option<FilterTable> {
    let (info, entries) = bytes.split_at_checked(TableInfo::LENGTH)?;
    entry::table("filter", !bytes.len().is_multiple_of(2), &TableInfo::read(info)?, entries)
}
