//! A block of the ring: `struct tpacket_block_desc`, and a chain of `struct tpacket3_hdr` (linux/if_packet.h).

use std::time::Duration;

use super::packet::Packet;

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

#[cfg(test)]
mod tests {
    use super::*;

    /// A block of two packets, of three bytes and of five.
    fn block() -> Vec<u8> {
        let mut bytes = vec![0; 512];
        let mut put = |at: usize, number: u32| bytes[at..at + 4].copy_from_slice(&number.to_ne_bytes());
        put(PACKETS, 2);
        put(FIRST, 48);
        for (header, next, length) in [(48, 128, 3), (176, 0, 5)] {
            put(header + NEXT, next);
            put(header + SECONDS, 1_700_000_000);
            put(header + NANOSECONDS, 123_456_789);
            put(header + CAPTURED, length);
            put(header + LENGTH, length + 1);
            put(header + INTERFACE, 7);
        }
        for header in [48, 176] {
            bytes[header + NET..header + NET + 2].copy_from_slice(&96_u16.to_ne_bytes());
            bytes[header + 96..header + 104].copy_from_slice(b"abcdefgh");
        }
        bytes
    }

    #[test]
    fn packets_follow_one_another_to_the_last() {
        let block = block();
        let packet = |bytes, wire_length| Packet {
            time: Duration::new(1_700_000_000, 123_456_789),
            interface: 7,
            bytes,
            wire_length,
        };
        let found: Vec<Packet> = packets(&block).collect();
        assert_eq!(found, [packet(b"abc", 4), packet(b"abcde", 6)]);
    }

    proptest::proptest! {
        #[test]
        fn no_block_makes_it_panic_or_never_end(
            at in 0_usize..300, noise in proptest::collection::vec(proptest::num::u8::ANY, 0..32)
        ) {
            let mut block = block();
            block[at..at + noise.len()].copy_from_slice(&noise);
            block[PACKETS + 2..PACKETS + 4].fill(0);
            let _ = packets(&block).count();
        }
    }
}
