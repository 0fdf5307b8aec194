//! The exchange over netlink(7): one request, replies in many datagrams, an end or an error.

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;

use netlink_packet_core::NLM_F_DUMP;
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use nix::errno::Errno;

use super::parse::malformed;
use super::row::SocketRow;
use crate::buffer::Buffer;
use crate::error::{Error, Result};
use crate::kernel::{device, netlink};

/// Asks for TCP sockets, and answers with them (linux/inet_diag.h).
const TCPDIAG_GETSOCK: u16 = 18;
/// Asks for one TCP socket or for many, and answers with them (linux/sock_diag.h).
pub(super) const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// How often a table that changed while it was read is asked for again.
const ATTEMPTS: usize = 8;

/// Which sockets are asked for.
#[derive(Clone, Copy)]
pub(super) enum Wanted {
    All,
    /// Those with this local port.
    On(u16),
    /// Those that listen on this port.
    ListeningOn(u16),
    /// Those that are bound, and neither listen nor are connected.
    Bound,
}

/// TCP sockets of both address families.
pub(super) fn dump(wanted: Wanted) -> Result<Vec<SocketRow>> {
    #[cfg(test)]
    if let Some(pretended) = super::pretend::dump(wanted) {
        return pretended;
    }
    dump_patiently(wanted)
}

pub(super) fn dump_patiently(wanted: Wanted) -> Result<Vec<SocketRow>> {
    let mut outcome = dump_once(wanted);
    for _ in 1..ATTEMPTS {
        match &outcome {
            Err(error) if matches!(error.errno(), Some(Errno::EINTR | Errno::ENOBUFS)) => {
                outcome = dump_once(wanted);
            }
            _ => break,
        }
    }
    let mut rows = outcome?;
    name_devices(&mut rows);
    Ok(rows)
}

/// Has each interface be told by its name too: of many sockets on one it is asked for once.
pub(super) fn name_devices(rows: &mut [SocketRow]) {
    let mut known = BTreeMap::new();
    for device in rows.iter_mut().filter_map(|row| row.device.as_mut()) {
        *device = *known.entry(device.index).or_insert_with_key(|&index| device::device(index));
    }
}

fn failed(call: &'static str) -> impl Fn(io::Error) -> Error {
    move |error| Error::new(call, "NETLINK_SOCK_DIAG", error)
}

fn dump_once(wanted: Wanted) -> Result<Vec<SocketRow>> {
    let socket = netlink::open(NETLINK_SOCK_DIAG).map_err(failed("socket")).map_err(without_protocol)?;
    let request = netlink::message(TCPDIAG_GETSOCK, NLM_F_DUMP, &request(wanted));
    socket.send(&request, 0).map_err(failed("send"))?;
    let mut buffer = Buffer::zeroed(netlink::DATAGRAM);
    let mut rows = Vec::new();
    loop {
        let datagram = netlink::receive(&socket, &mut buffer).map_err(failed("recv"))?;
        if read_datagram(datagram, &mut rows).map_err(refused)?.is_break() {
            return Ok(rows);
        }
    }
}

/// `struct inet_diag_req`, which asks for no attributes and bounds the local port unless it is 0.
///
/// The newer request, `SOCK_DIAG_BY_FAMILY`, takes one family. The kernel walks hundreds of thousands of buckets for
/// each request, so both families are had for half the time. Listening sockets have a table of their own: where they alone
/// are asked for, it walks no other.
fn request(wanted: Wanted) -> Vec<u8> {
    // Bit 13 asks for bound sockets (Linux 6.8), and unknown bits do no harm.
    const EVERY_STATE: u32 = !0;
    const BOUND: u32 = 1 << 13;
    const LISTEN: u32 = 1 << 10;
    let (port, states) = match wanted {
        Wanted::All => (0, EVERY_STATE),
        Wanted::On(port) => (port, EVERY_STATE),
        Wanted::ListeningOn(port) => (port, LISTEN),
        Wanted::Bound => (0, BOUND),
    };
    const LENGTH: usize = 60;
    /// Where `id.idiag_sport` stands.
    const PORT: usize = 4;
    /// Where `idiag_states` stands.
    const STATES: usize = 52;
    let mut message = vec![0; PORT];
    message.extend(port.to_be_bytes());
    message.resize(STATES, 0);
    message.extend(states.to_ne_bytes());
    message.resize(LENGTH, 0);
    message
}

/// Adds the rows of one datagram; breaks at the end of the dump.
fn read_datagram(bytes: &[u8], rows: &mut Vec<SocketRow>) -> io::Result<ControlFlow<()>> {
    netlink::read_all(bytes, |kind, payload| match kind {
        TCPDIAG_GETSOCK => {
            rows.push(SocketRow::parse(payload)?);
            Ok(())
        }
        other => Err(malformed(format_args!("message type {other}"))),
    })
}

/// Where the kernel has no such protocol, or a filter of system calls keeps it from this process.
pub(super) fn without_protocol(error: Error) -> Error {
    match error.errno() {
        Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM) | None => error,
        Some(_) => error
            .note("this kernel (gVisor, WSL 1) or a seccomp filter has no NETLINK_SOCK_DIAG")
            .hint("/proc/net/tcp and /proc/net/tcp6 may list the sockets; or ask outside the sandbox"),
    }
}

fn refused(error: io::Error) -> Error {
    let error = Error::new("sock_diag", "TCP sockets", error);
    match error.errno() {
        Some(Errno::ENOENT) => error
            .note("this kernel cannot list TCP sockets, or may not load the module for it")
            .hint("modprobe -a inet_diag tcp_diag"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::{NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR, NLMSG_NOOP, NLMSG_OVERRUN};

    use super::*;

    /// A message as it stands among others, its length rounded up.
    fn message(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = netlink::message(kind, flags, payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn read(bytes: &[u8]) -> io::Result<(usize, bool)> {
        let mut rows = Vec::new();
        let end = read_datagram(bytes, &mut rows)?.is_break();
        Ok((rows.len(), end))
    }

    fn errno(bytes: &[u8]) -> Option<Errno> {
        read(bytes).unwrap_err().raw_os_error().map(Errno::from_raw)
    }

    fn row() -> Vec<u8> {
        message(TCPDIAG_GETSOCK, 2, &super::super::parse::tests::established())
    }

    #[test]
    fn a_dump_goes_on_until_it_is_done() {
        let two = [row(), message(NLMSG_NOOP, 0, &[]), row()].concat();
        assert_eq!(read(&two).unwrap(), (2, false));
        assert_eq!(read(&[row(), message(NLMSG_DONE, 2, &[0; 4])].concat()).unwrap(), (1, true));
        assert_eq!(read(&message(NLMSG_DONE, 2, &[])).unwrap(), (0, true));
    }

    #[test]
    fn a_message_begins_where_the_length_of_the_one_before_is_rounded_up_to() {
        assert_eq!(read(&[message(NLMSG_NOOP, 0, &[0; 5]), row()].concat()).unwrap(), (1, false));
    }

    #[test]
    fn an_error_in_either_kind_of_end_is_the_errno_the_kernel_means() {
        let code = (-(Errno::ENOENT as i32)).to_ne_bytes();
        assert_eq!(errno(&message(NLMSG_ERROR, 0, &code)), Some(Errno::ENOENT));
        assert_eq!(errno(&message(NLMSG_DONE, 2, &code)), Some(Errno::ENOENT));
        assert!(refused(Errno::ENOENT.into()).to_string().ends_with("hint: modprobe -a inet_diag tcp_diag"));
    }

    #[test]
    fn an_inconsistent_or_overrun_dump_is_never_taken_for_a_table() {
        assert_eq!(
            errno(&[row(), message(NLMSG_DONE, NLM_F_DUMP_INTR, &[0; 4])].concat()),
            Some(Errno::EINTR)
        );
        assert_eq!(errno(&message(NLMSG_OVERRUN, 0, &[])), Some(Errno::ENOBUFS));
    }

    #[test]
    fn a_datagram_cut_anywhere_is_an_error_or_a_shorter_table() {
        let whole = [row(), row(), message(NLMSG_DONE, 2, &[0; 4])].concat();
        for length in 0..whole.len() {
            if let Ok((rows, end)) = read(&whole[..length]) {
                assert!(rows <= 2 && !end, "{length} bytes gave {rows} rows, end {end}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn no_reply_makes_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = read(&bytes);
            let _ = read(&message(TCPDIAG_GETSOCK, 2, &bytes));
        }
    }
}
