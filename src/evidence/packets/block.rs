//! A block of the ring: `struct tpacket_block_desc`, and a chain of `struct tpacket3_hdr` (linux/if_packet.h).

use std::time::Duration;

use super::Packet;

/// Where numbers stand in the block.
const PACKETS: usize = 12;
const FIRST: usize = 16;
/// Where they stand in the header of a packet.
const NEXT: usize = 0;
const SECONDS: usize = 4;
const NANOSECONDS: usize = 8;
const CAPTURED: usize = 12;
const LENGTH: usize = 16;
const NET: usize = 26;
/// `struct sockaddr_ll` follows the header, and has its interface here.
const INTERFACE: usize = 48 + 4;

/// The packets of a block in their order.
pub(super) fn packets(block: &[u8]) -> impl Iterator<Item = Packet<'_>> {
    let count = word(block, PACKETS).unwrap_or(0);
    let mut rest = word(block, FIRST).and_then(|first| block.get(first as usize..));
    (0..count).map_while(move |_| {
        let header = rest?;
        rest = header.get(word(header, NEXT)? as usize..);
        packet(header)
    })
}

fn packet(header: &[u8]) -> Option<Packet<'_>> {
    let net = usize::from(u16::from_ne_bytes(*header.get(NET..)?.first_chunk()?));
    Some(Packet {
        time: Duration::new(word(header, SECONDS)?.into(), word(header, NANOSECONDS)?),
        interface: word(header, INTERFACE)?,
        bytes: header.get(net..)?.get(..word(header, CAPTURED)? as usize)?,
        wire_length: word(header, LENGTH)? as usize,
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}
