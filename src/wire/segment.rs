//! A TCP segment as it was on the wire: RFC 9293 §3.1.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use etherparse::{LaxNetSlice, LaxSlicedPacket, TcpSlice, TransportSlice};

/// One segment.
///
/// ```
/// use std::time::Duration;
/// use fourtuple::Segment;
/// use fourtuple::wire::segment::Link;
///
/// let packet = [
///     0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1, // IPv4
///     0x0b, 0xb9, 0x0b, 0xb8, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0, // TCP
/// ];
/// let segment = Segment::parse(Duration::ZERO, Link::None, &packet, packet.len()).unwrap();
/// assert_eq!(segment.to.to_string(), "127.0.0.1:3000");
/// assert_eq!(segment.flags.to_string(), "S");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// When the kernel saw it, since the Unix epoch, to the nanosecond.
    pub time: Duration,
    /// Who sent it.
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
    /// Its control bits.
    pub flags: Flags,
    /// Its sequence number, absolute.
    pub sequence: u32,
    /// Its acknowledgement number, absolute; 0 or meaningless where `flags` has no ACK.
    pub acknowledgement: u32,
    /// Its window as it is on the wire, not scaled.
    pub window: u16,
    /// How many bytes of data it carries, captured or not.
    pub length: usize,
    /// Its options in their order, without padding.
    pub options: Vec<TcpOption>,
}

/// Control bits.
///
/// Displays as tcpdump(8) spells them: `S`, `S.`, `P.`, `F.`, `R`, and `none`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of RFC 9293 §3.1")]
pub struct Flags {
    pub syn: bool,
    pub fin: bool,
    pub rst: bool,
    pub psh: bool,
    pub urg: bool,
    pub ack: bool,
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { syn, fin, rst, psh, urg, ack } = *self;
        let letters = [(syn, "S"), (fin, "F"), (rst, "R"), (psh, "P"), (urg, "U"), (ack, ".")];
        let shown: String = letters.iter().filter(|(set, _)| *set).map(|(_, letter)| *letter).collect();
        f.pad(if shown.is_empty() { "none" } else { &shown })
    }
}

/// An option of the header (RFC 9293 §3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TcpOption {
    /// The largest segment that the sender takes, in bytes: RFC 9293 §3.7.1.
    MaximumSegmentSize(u16),
    /// By how many bits the sender's later windows are to be shifted: RFC 7323 §2.
    WindowScale(u8),
    /// The sender takes selective acknowledgements: RFC 2018 §2.
    SackPermitted,
    /// What has arrived beyond the acknowledgement number, as pairs of first and past-the-last
    /// sequence number, absolute: RFC 2018 §3.
    Sack(Vec<(u32, u32)>),
    /// The sender's clock, and the last value of the receiver's clock that it echoes: RFC 7323 §3.
    Timestamps {
        /// TSval.
        value: u32,
        /// TSecr.
        echo: u32,
    },
    /// Any other, by its kind.
    Other(u8),
}

impl TcpOption {
    /// As tcpdump(8) spells it, such as `mss 65495` or `TS val 7 ecr 0`.
    ///
    /// Sequence numbers are relative to `base`.
    pub fn describe(&self, base: u32) -> String {
        match self {
            Self::MaximumSegmentSize(bytes) => format!("mss {bytes}"),
            Self::WindowScale(shift) => format!("wscale {shift}"),
            Self::SackPermitted => "sackOK".to_owned(),
            Self::Sack(blocks) => {
                let relative = |number: &u32| number.wrapping_sub(base);
                let blocks =
                    blocks.iter().map(|(first, end)| format!("{{{}:{}}}", relative(first), relative(end)));
                format!("sack {}", blocks.collect::<String>())
            }
            Self::Timestamps { value, echo } => format!("TS val {value} ecr {echo}"),
            Self::Other(kind) => format!("kind {kind}"),
        }
    }

    /// Reads an option's value; a length that its kind does not have makes it `Other`.
    fn parse(kind: u8, value: &[u8]) -> Self {
        let number = |bytes: &[u8]| bytes.iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
        match (kind, value) {
            (2, &[high, low]) => Self::MaximumSegmentSize(u16::from_be_bytes([high, low])),
            (3, &[shift]) => Self::WindowScale(shift),
            (4, []) => Self::SackPermitted,
            (5, blocks) if !blocks.is_empty() && blocks.len() % 8 == 0 => {
                let pair = |block: &[u8]| block.split_at_checked(4).map(|(a, b)| (number(a), number(b)));
                Self::Sack(blocks.chunks(8).filter_map(pair).collect())
            }
            (8, &[a, b, c, d, e, f, g, h]) => {
                Self::Timestamps { value: number(&[a, b, c, d]), echo: number(&[e, f, g, h]) }
            }
            _ => Self::Other(kind),
        }
    }
}

/// Reads options up to the end of the list, or to what is none.
fn parse_options(mut bytes: &[u8]) -> Vec<TcpOption> {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    let mut options = Vec::new();
    while let Some((&kind, rest)) = bytes.split_first() {
        match kind {
            END => break,
            NO_OPERATION => bytes = rest,
            _ => {
                let Some((&length, _)) = rest.split_first() else { break };
                let Some((option, rest)) = bytes.split_at_checked(length.into()) else { break };
                let Some(value) = option.get(2..) else { break };
                options.push(TcpOption::parse(kind, value));
                bytes = rest;
            }
        }
    }
    options
}

/// What stands before the IP header of a captured packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Nothing: it begins with the IP header.
    None,
    /// Ethernet II, VLAN tags included.
    Ethernet,
    /// As many bytes as this, of no interest here.
    Skipped(usize),
}

impl Segment {
    /// Reads a captured packet; `None` where it is no TCP segment over IPv4 or IPv6, or has no whole TCP header.
    ///
    /// `wire_length` is how long the packet was before the capture cut it, if it did.
    pub fn parse(time: Duration, link: Link, bytes: &[u8], wire_length: usize) -> Option<Self> {
        let packet = match link {
            Link::None => LaxSlicedPacket::from_ip(bytes).ok()?,
            Link::Ethernet => LaxSlicedPacket::from_ethernet(bytes).ok()?,
            Link::Skipped(length) => LaxSlicedPacket::from_ip(bytes.get(length..)?).ok()?,
        };
        let Some(TransportSlice::Tcp(tcp)) = packet.transport else { return None };
        let net = packet.net?;
        let (from, to) = addresses(&net)?;
        let missing = match net.ip_payload_ref() {
            Some(payload) if payload.incomplete => wire_length.saturating_sub(bytes.len()),
            _ => 0,
        };
        Some(Self {
            time,
            from: SocketAddr::new(from, tcp.source_port()),
            to: SocketAddr::new(to, tcp.destination_port()),
            flags: flags(&tcp),
            sequence: tcp.sequence_number(),
            acknowledgement: tcp.acknowledgment_number(),
            window: tcp.window_size(),
            length: tcp.payload().len() + missing,
            options: parse_options(tcp.options()),
        })
    }

    /// How many sequence numbers it takes: its data, and one each for SYN and FIN (RFC 9293 §3.4).
    pub fn span(&self) -> u32 {
        let data = u32::try_from(self.length).unwrap_or(u32::MAX);
        data.wrapping_add(self.flags.syn.into()).wrapping_add(self.flags.fin.into())
    }
}

fn addresses(net: &LaxNetSlice) -> Option<(IpAddr, IpAddr)> {
    match net {
        LaxNetSlice::Ipv4(ip) => {
            Some((ip.header().source_addr().into(), ip.header().destination_addr().into()))
        }
        LaxNetSlice::Ipv6(ip) => {
            Some((ip.header().source_addr().into(), ip.header().destination_addr().into()))
        }
        LaxNetSlice::Arp(_) => None,
    }
}

fn flags(tcp: &TcpSlice) -> Flags {
    Flags { syn: tcp.syn(), fin: tcp.fin(), rst: tcp.rst(), psh: tcp.psh(), urg: tcp.urg(), ack: tcp.ack() }
}

#[cfg(test)]
mod tests {
    use etherparse::{PacketBuilder, TcpOptionElement};

    use super::*;

    /// A segment over IPv4 with five bytes of data.
    fn packet() -> Vec<u8> {
        let options = [
            TcpOptionElement::Timestamp(7, 8),
            TcpOptionElement::Noop,
            TcpOptionElement::SelectiveAcknowledgement((101, 111), [Some((121, 131)), None, None]),
        ];
        let builder = PacketBuilder::ipv4([127, 0, 0, 1], [127, 0, 0, 2], 64)
            .tcp(3001, 3000, 1000, 512)
            .psh()
            .ack(2000)
            .options(&options)
            .unwrap();
        let mut bytes = Vec::new();
        builder.write(&mut bytes, b"hello").unwrap();
        bytes
    }

    fn parse(link: Link, bytes: &[u8], wire_length: usize) -> Option<Segment> {
        Segment::parse(Duration::from_nanos(1), link, bytes, wire_length)
    }

    #[test]
    fn every_field_of_the_header_is_in_the_segment() {
        let bytes = packet();
        let expected = Segment {
            time: Duration::from_nanos(1),
            from: "127.0.0.1:3001".parse().unwrap(),
            to: "127.0.0.2:3000".parse().unwrap(),
            flags: Flags { psh: true, ack: true, ..Flags::default() },
            sequence: 1000,
            acknowledgement: 2000,
            window: 512,
            length: 5,
            options: vec![
                TcpOption::Timestamps { value: 7, echo: 8 },
                TcpOption::Sack(vec![(101, 111), (121, 131)]),
            ],
        };
        assert_eq!(parse(Link::None, &bytes, bytes.len()), Some(expected));
    }

    #[test]
    fn data_that_the_capture_cut_counts_and_padding_does_not() {
        let mut bytes = packet();
        let whole = bytes.len();
        assert_eq!(parse(Link::None, &bytes[..whole - 3], whole).unwrap().length, 5);
        assert_eq!(parse(Link::None, &bytes[..whole - 6], whole), None);
        bytes.extend([0; 6]);
        assert_eq!(parse(Link::None, &bytes, bytes.len()).unwrap().length, 5);
        assert_eq!(
            parse(Link::None, &bytes[..whole + 2], bytes.len()).unwrap().length,
            5,
            "cut in its padding"
        );
    }

    #[test]
    fn the_link_is_passed_over() {
        let ethernet: Vec<u8> = [&[0; 12][..], &[0x08, 0x00], &packet()].concat();
        assert_eq!(parse(Link::Ethernet, &ethernet, ethernet.len()).unwrap().length, 5);
        let cooked = [&[0; 20][..], &packet()].concat();
        assert_eq!(parse(Link::Skipped(20), &cooked, cooked.len()).unwrap().length, 5);
        assert_eq!(parse(Link::Skipped(2000), &cooked, cooked.len()), None);
    }

    #[test]
    fn options_are_spelled_as_tcpdump_does() {
        let bytes = [2, 4, 0x05, 0xb4, 4, 2, 1, 3, 3, 7, 34, 4, 9, 9, 0, 2, 4, 1, 1];
        let shown: Vec<String> = parse_options(&bytes).iter().map(|option| option.describe(0)).collect();
        assert_eq!(shown, ["mss 1460", "sackOK", "wscale 7", "kind 34"]);
        assert_eq!(TcpOption::Sack(vec![(101, 111), (121, 131)]).describe(100), "sack {1:11}{21:31}");
        assert_eq!(TcpOption::Timestamps { value: 7, echo: 8 }.describe(0), "TS val 7 ecr 8");
    }

    #[test]
    fn options_of_a_wrong_length_neither_panic_nor_repeat_for_ever() {
        assert_eq!(parse_options(&[2, 3, 1, 4, 2]), [TcpOption::Other(2), TcpOption::SackPermitted]);
        for bytes in [&[2][..], &[2, 0, 1], &[2, 1, 1], &[2, 200, 1], &[5, 2]] {
            assert!(parse_options(bytes).len() <= 1, "{bytes:?}");
        }
    }

    #[test]
    fn flags_are_spelled_as_tcpdump_does() {
        let all = Flags { syn: true, fin: true, rst: true, psh: true, urg: true, ack: true };
        assert_eq!(all.to_string(), "SFRPU.");
        assert_eq!(Flags { fin: true, psh: true, ack: true, ..Flags::default() }.to_string(), "FP.");
        assert_eq!(Flags::default().to_string(), "none");
    }

    proptest::proptest! {
        #[test]
        fn no_packet_makes_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let cut = [&packet()[..20], &bytes].concat();
            for bytes in [&bytes, &cut] {
                for link in [Link::None, Link::Ethernet, Link::Skipped(20)] {
                    let _ = parse(link, bytes, bytes.len());
                }
            }
        }
    }
}
