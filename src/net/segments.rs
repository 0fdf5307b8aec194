//! Segments hidden from one socket, as a network would lose them: socket(7), SO_ATTACH_FILTER.

use std::io;

use socket2::{SockFilter, Socket};

/// Drops what arrives for `socket` from now on: every segment, or those with exactly these `flags`.
///
/// The flags are the six low bits of the header's 14th byte (RFC 9293 §3.1). A filter sees a segment after its
/// socket was found, so nothing answers it: no ACK, no RST. Accepted sockets inherit the filter. A second
/// call replaces the first one's filter.
///
/// # Errors
///
/// `ENOMEM`, and what a security policy answers.
pub(crate) fn hide_segments(socket: &Socket, flags: Option<u8>) -> io::Result<()> {
    // Classic BPF, linux/filter.h: a program returns how many bytes to keep.
    const LOAD_BYTE: u16 = 0x30;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const FLAGS: u32 = 13;

    let hide = SockFilter::new(RETURN, 0, 0, 0);
    let Some(flags) = flags else { return socket.attach_filter(&[hide]) };
    socket.attach_filter(&[
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS),
        SockFilter::new(AND, 0, 0, 0x3f),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, flags.into()),
        hide,
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ])
}

/// Lets all segments arrive again.
///
/// # Errors
///
/// `ENOENT` where no filter is attached.
pub(crate) fn show_segments(socket: &Socket) -> io::Result<()> {
    socket.detach_filter()
}
