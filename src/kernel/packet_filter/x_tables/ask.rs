//! getsockopt(2) for tables of iptables (linux/netfilter_ipv4/ip_tables.h, linux/netfilter_ipv6/ip6_tables.h).

use std::io;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc;
use socket2::{Domain, Socket, Type};

use super::entry::TableInfo;

/// `IPT_SO_GET_INFO` and `IPT_SO_GET_ENTRIES`, and the same of IPv6.
const INFO: i32 = 64;
const ENTRIES: i32 = 65;
/// How long the name of a table may be, with its zero.
const NAME: usize = 32;
/// Where the entries begin in `struct ipt_get_entries`: they hold numbers of eight bytes.
const FIRST: usize = (NAME + 4).next_multiple_of(align_of::<u64>());
/// More than the kernel would ever need for one table, in bytes.
const MOST: usize = 1 << 30;

/// A socket that asks for tables of one address family; it sends nothing.
pub(super) struct TableSocket {
    socket: Socket,
    level: i32,
}

impl TableSocket {
    pub(super) fn open(is_ipv6: bool) -> io::Result<Self> {
        let (domain, level) =
            if is_ipv6 { (Domain::IPV6, libc::IPPROTO_IPV6) } else { (Domain::IPV4, libc::IPPROTO_IP) };
        Ok(Self { socket: Socket::new(domain, Type::DGRAM, None)?, level })
    }

    /// `struct ipt_getinfo` of the table.
    ///
    /// # Errors
    ///
    /// `EPERM` without CAP_NET_ADMIN; `ENOENT` where there is no such table.
    pub(super) fn info(&self, table: &str) -> io::Result<Vec<u8>> {
        let mut buffer = named(table, TableInfo::LENGTH);
        self.get(INFO, &mut buffer)?;
        Ok(buffer)
    }

    /// All entries of the table, `size` bytes.
    ///
    /// # Errors
    ///
    /// `EAGAIN` where they are not that long any more.
    pub(super) fn entries(&self, table: &str, size: u32) -> io::Result<Vec<u8>> {
        let length = FIRST + usize::try_from(size).unwrap_or(MOST);
        if length > MOST {
            return Err(Errno::EFBIG.into());
        }
        let mut buffer = named(table, length);
        if let Some(place) = buffer.get_mut(NAME..NAME + 4) {
            place.copy_from_slice(&size.to_ne_bytes());
        }
        self.get(ENTRIES, &mut buffer)?;
        Ok(buffer.split_off(FIRST))
    }

    #[expect(unsafe_code, reason = "these options have no safe wrapper")]
    fn get(&self, option: i32, buffer: &mut [u8]) -> io::Result<()> {
        let mut length = buffer.len() as libc::socklen_t;
        // SAFETY: the kernel writes at most `length` bytes, which is how long the buffer is.
        let outcome = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                self.level,
                option,
                buffer.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        Errno::result(outcome)?;
        Ok(())
    }
}

/// Zeros of this length that begin with the name.
fn named(table: &str, length: usize) -> Vec<u8> {
    let mut buffer = table.as_bytes().to_vec();
    buffer.truncate(NAME - 1);
    buffer.resize(length, 0);
    buffer
}
