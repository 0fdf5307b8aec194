//! Requests of the kernel over netlink(7), and its replies.

use std::io;
use std::ops::ControlFlow;

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_ALIGNTO, NLMSG_DONE, NLMSG_ERROR, NLMSG_NOOP,
    NLMSG_OVERRUN, NetlinkBuffer,
};
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::libc::MSG_TRUNC;

use crate::buffer::Buffer;

/// The size of `struct nlmsghdr`.
const HEADER: usize = 16;
/// Larger than the reply to any request for one thing.
const REPLY: usize = 8192;
/// The kernel fills datagrams of at most 32 KiB in a dump (`netlink_dump` in net/netlink/af_netlink.c).
pub(crate) const DATAGRAM: usize = 64 * 1024;
/// How often a table that changed while it was read is asked for again.
const ATTEMPTS: usize = 8;

/// What the kernel says about one thing, or that it has done as it was told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NetlinkReply {
    /// The type of the message; `NLMSG_ERROR` where all went well and there is nothing else to say.
    pub(crate) kind: u16,
    pub(crate) payload: Vec<u8>,
}

/// A socket of this protocol that asks the kernel, and hears it alone.
///
/// # Errors
///
/// `EMFILE` and `ENFILE`; `EPROTONOSUPPORT` where this kernel lacks the protocol.
pub(crate) fn open(protocol: isize) -> io::Result<Socket> {
    let socket = Socket::new(protocol)?;
    // A connected netlink socket takes datagrams from the kernel alone.
    socket.connect(&SocketAddr::new(0, 0))?;
    Ok(socket)
}

/// `struct nlmsghdr`, in the byte order of the machine, and what follows it.
pub(crate) fn message(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER + payload.len());
    message.extend(((HEADER + payload.len()) as u32).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((NLM_F_REQUEST | flags).to_ne_bytes());
    message.extend([0; 8]); // sequence number, port
    message.extend(payload);
    message
}

/// Makes a request and returns the reply to it.
///
/// # Errors
///
/// As [`open`]; the errno that the kernel answers with; `InvalidData` for a reply that is none.
pub(crate) fn ask(protocol: isize, kind: u16, flags: u16, payload: &[u8]) -> io::Result<NetlinkReply> {
    let socket = open(protocol)?;
    socket.send(&message(kind, flags, payload), 0)?;
    let mut buffer = vec![0; REPLY];
    read(receive(&socket, &mut buffer)?)
}

/// Asks for all of one kind.
///
/// # Errors
///
/// As [`ask`]; `EINTR` where they change faster than they are read.
pub(crate) fn list(protocol: isize, kind: u16, payload: &[u8]) -> io::Result<Vec<NetlinkReply>> {
    let mut outcome = list_once(protocol, kind, payload);
    for _ in 1..ATTEMPTS {
        match &outcome {
            Err(error)
                if [Some(Errno::EINTR as i32), Some(Errno::ENOBUFS as i32)]
                    .contains(&error.raw_os_error()) =>
            {
                outcome = list_once(protocol, kind, payload);
            }
            _ => break,
        }
    }
    outcome
}

fn list_once(protocol: isize, kind: u16, payload: &[u8]) -> io::Result<Vec<NetlinkReply>> {
    let socket = open(protocol)?;
    socket.send(&message(kind, NLM_F_DUMP, payload), 0)?;
    let mut buffer = Buffer::zeroed(DATAGRAM);
    let mut replies = Vec::new();
    let mut take = |kind, payload: &[u8]| {
        replies.push(NetlinkReply { kind, payload: payload.to_vec() });
        Ok(())
    };
    while read_all(receive(&socket, &mut buffer)?, &mut take)?.is_continue() {}
    Ok(replies)
}

/// Reads a datagram of many messages, each by its type and payload; breaks at the end of the dump.
///
/// # Errors
///
/// The errno that the kernel answers with; `EINTR` where what is listed has changed meanwhile, `ENOBUFS` where some is
/// lost; `InvalidData` for a message that is none.
pub(crate) fn read_all(
    mut datagram: &[u8],
    mut take: impl FnMut(u16, &[u8]) -> io::Result<()>,
) -> io::Result<ControlFlow<()>> {
    while !datagram.is_empty() {
        let message = NetlinkBuffer::new_checked(datagram).map_err(|error| {
            io::Error::new(io::ErrorKind::InvalidData, format!("malformed reply of the kernel: {error}"))
        })?;
        if message.flags() & NLM_F_DUMP_INTR != 0 {
            return Err(Errno::EINTR.into());
        }
        match message.message_type() {
            NLMSG_NOOP => {}
            NLMSG_OVERRUN => return Err(Errno::ENOBUFS.into()),
            NLMSG_DONE | NLMSG_ERROR => return end(message.payload()).map(ControlFlow::Break),
            kind => take(kind, message.payload())?,
        }
        let next = (message.length() as usize).next_multiple_of(NLMSG_ALIGNTO.into());
        datagram = datagram.get(next..).unwrap_or_default();
    }
    Ok(ControlFlow::Continue(()))
}

/// Receives one datagram, whole.
///
/// # Errors
///
/// `EMSGSIZE` for one that finds no room.
pub(crate) fn receive<'a>(socket: &Socket, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
    let size = loop {
        match socket.recv(&mut &mut *buffer, MSG_TRUNC) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => break outcome?,
        }
    };
    // With MSG_TRUNC the size is the datagram's own, however much of it found room.
    buffer.get(..size).ok_or_else(|| Errno::EMSGSIZE.into())
}

/// Reads a datagram of one message.
pub(crate) fn read(datagram: &[u8]) -> io::Result<NetlinkReply> {
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "malformed reply of the kernel");
    let length = datagram.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes)).ok_or_else(malformed)?;
    let kind = datagram.get(4..).and_then(|bytes| bytes.first_chunk()).ok_or_else(malformed)?;
    let kind = u16::from_ne_bytes(*kind);
    let payload = datagram.get(HEADER..length as usize).ok_or_else(malformed)?;
    if kind == NLMSG_ERROR {
        end(payload)?;
    }
    Ok(NetlinkReply { kind, payload: payload.to_vec() })
}

/// Every kind of end begins with an errno, negative, or zero where all went well.
///
/// # Errors
///
/// That errno.
pub(crate) fn end(payload: &[u8]) -> io::Result<()> {
    match payload.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code)) {
        code if code < 0 => Err(io::Error::from_raw_os_error(code.saturating_neg())),
        _ => Ok(()),
    }
}

/// The attributes in `bytes`, each by its type and value; it ends where one is cut.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    /// NLA_TYPE_MASK: without the marks of what is nested or in network byte order (linux/netlink.h).
    const TYPE: u16 = 0x3fff;
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let kind = u16::from_ne_bytes(*bytes.get(2..)?.first_chunk()?) & TYPE;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// Appends an attribute, and fills it up to a multiple of four bytes.
pub(crate) fn attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend((4 + value.len() as u16).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::{NLM_F_ACK, NLMSG_NOOP};
    use netlink_sys::protocols::NETLINK_ROUTE;

    use super::*;

    #[test]
    fn an_error_is_the_errno_that_the_kernel_means() {
        let code = |errno: i32| message(NLMSG_ERROR, 0, &(-errno).to_ne_bytes());
        let error = read(&code(Errno::ENETUNREACH as i32)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::ENETUNREACH as i32));
        assert_eq!(read(&code(0)).unwrap().kind, NLMSG_ERROR);
    }

    #[test]
    fn attributes_are_read_as_they_were_written_and_never_past_a_cut() {
        let mut whole = Vec::new();
        attribute(&mut whole, 3, b"v0\0");
        attribute(&mut whole, 10, &7_u32.to_ne_bytes());
        let read: Vec<(u16, &[u8])> = attributes(&whole).collect();
        assert_eq!(read, [(3, &b"v0\0"[..]), (10, &7_u32.to_ne_bytes()[..])]);
        for length in 0..whole.len() {
            assert!(attributes(&whole[..length]).count() <= 1, "{length}");
        }
        assert_eq!(attributes(&[0; 64]).count(), 0, "an attribute shorter than its header");
    }

    #[test]
    fn a_reply_cut_anywhere_is_an_error() {
        let whole = message(24, 0, &[7; 20]);
        assert_eq!(read(&whole).unwrap(), NetlinkReply { kind: 24, payload: vec![7; 20] });
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn a_datagram_that_finds_no_room_is_an_error() {
        let receive_into = |mut buffer: Vec<u8>| {
            let socket = open(NETLINK_ROUTE).unwrap();
            socket.send(&message(NLMSG_NOOP, NLM_F_ACK, &[]), 0).unwrap();
            receive(&socket, &mut buffer).map(|datagram| datagram.len())
        };
        let size = receive_into(vec![0; REPLY]).unwrap();
        assert_eq!(receive_into(vec![0; size]).unwrap(), size);
        let error = receive_into(vec![0; size - 1]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::EMSGSIZE as i32));
    }
}
