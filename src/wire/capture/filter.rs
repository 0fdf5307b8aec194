//! What the kernel captures, as programs of its packet filter (Documentation/networking/filter.rst).

use nix::libc::{
    ARPHRD_LOOPBACK, PACKET_OUTGOING, SKF_AD_HATYPE, SKF_AD_OFF, SKF_AD_PKTTYPE, SKF_AD_PROTOCOL,
};
use socket2::SockFilter;

/// Load a byte of the packet, or a word that the kernel knows of it.
const LOAD_BYTE: u16 = 0x30;
const LOAD_WORD: u16 = 0x20;
/// Skip as many instructions as the third operand says where the loaded value is the first, else as the second.
const JUMP_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

const IPV4: u32 = 0x0800;
const IPV6: u32 = 0x86dd;
const TCP: u32 = 6;
/// Where the header says what follows it.
const IPV4_PROTOCOL: u32 = 9;
const IPV6_NEXT_HEADER: u32 = 6;
const WHOLE: u32 = u32::MAX;

pub(super) const NOTHING: [SockFilter; 1] = [SockFilter::new(RETURN, 0, 0, 0)];

/// Takes TCP over IPv4 and IPv6, behind extension headers too; of lo only what arrives, for there
/// the same packet was seen leaving.
pub(super) const SEGMENTS: [SockFilter; 17] = [
    SockFilter::new(LOAD_WORD, 0, 0, known(SKF_AD_PKTTYPE)),
    SockFilter::new(JUMP_EQUAL, 0, 2, PACKET_OUTGOING as u32),
    SockFilter::new(LOAD_WORD, 0, 0, known(SKF_AD_HATYPE)),
    SockFilter::new(JUMP_EQUAL, 12, 0, ARPHRD_LOOPBACK as u32),
    SockFilter::new(LOAD_WORD, 0, 0, known(SKF_AD_PROTOCOL)),
    SockFilter::new(JUMP_EQUAL, 0, 2, IPV4),
    SockFilter::new(LOAD_BYTE, 0, 0, IPV4_PROTOCOL),
    SockFilter::new(JUMP_EQUAL, 7, 8, TCP),
    SockFilter::new(JUMP_EQUAL, 0, 7, IPV6),
    SockFilter::new(LOAD_BYTE, 0, 0, IPV6_NEXT_HEADER),
    SockFilter::new(JUMP_EQUAL, 4, 0, TCP),
    // Hop-by-hop options, routing, fragment, destination options: RFC 8200 §4.
    SockFilter::new(JUMP_EQUAL, 3, 0, 0),
    SockFilter::new(JUMP_EQUAL, 2, 0, 43),
    SockFilter::new(JUMP_EQUAL, 1, 0, 44),
    SockFilter::new(JUMP_EQUAL, 0, 1, 60),
    SockFilter::new(RETURN, 0, 0, WHOLE),
    SockFilter::new(RETURN, 0, 0, 0),
];

/// The kernel's own knowledge of a packet stands at addresses below zero.
const fn known(what: i32) -> u32 {
    (SKF_AD_OFF + what) as u32
}
