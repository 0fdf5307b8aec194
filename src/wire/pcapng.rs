//! Captures as files: pcapng (draft-ietf-opsawg-pcapng), which Wireshark and its kin open.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::net::if_::if_indextoname;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::pcapng::{Block, PcapNgReader, PcapNgWriter};
use pcap_file::{DataLink, Endianness, PcapError};

use crate::error::{Error, Result};
use crate::wire::capture::Packet;
use crate::wire::segment::{Link, Segment};

/// Larger than any packet; what is captured is captured whole.
const SNAP_LENGTH: u32 = 262_144;
/// Time stamps in units of 10^-9 s.
const NANOSECONDS: u8 = 9;
/// Where an interface does not say its unit of time.
const MICROSECONDS: u8 = 6;

/// A file of packets under way. Every interface has its name, packets begin with the IP header (LINKTYPE_RAW),
/// time stamps are nanoseconds.
pub struct Writer {
    path: PathBuf,
    file: PcapNgWriter<BufWriter<File>>,
    /// The kernel's numbers of the interfaces, in the order they are described in the file.
    interfaces: Vec<u32>,
}

impl Writer {
    /// A new file at `path`, in place of one that is there.
    ///
    /// # Errors
    ///
    /// Those of open(2) and write(2), such as `EACCES`, `ENOENT`, `ENOSPC`.
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).map_err(|error| Error::new("open", path.display(), error))?;
        let section = SectionHeaderBlock {
            endianness: Endianness::native(),
            options: vec![SectionHeaderOption::UserApplication(Cow::Borrowed(concat!(
                "fourtuple ",
                env!("CARGO_PKG_VERSION")
            )))],
            ..SectionHeaderBlock::default()
        };
        let file = PcapNgWriter::with_section_header(BufWriter::new(file), section)
            .map_err(|error| write_failed(path, error))?;
        Ok(Self { path: path.to_owned(), file, interfaces: Vec::new() })
    }

    /// Adds a packet.
    ///
    /// # Errors
    ///
    /// Those of write(2), such as `ENOSPC`.
    pub fn write(&mut self, packet: &Packet) -> Result<()> {
        let interface_id = self.interface(packet.interface)?;
        let block = EnhancedPacketBlock {
            interface_id,
            timestamp: packet.time,
            original_len: u32::try_from(packet.wire_length).unwrap_or(u32::MAX),
            data: Cow::Borrowed(packet.bytes),
            options: Vec::new(),
        };
        self.block(Block::EnhancedPacket(block))
    }

    /// Writes what is still in memory.
    ///
    /// # Errors
    ///
    /// Those of write(2), such as `ENOSPC`.
    pub fn flush(&mut self) -> Result<()> {
        self.file.get_mut().flush().map_err(|error| Error::new("write", self.path.display(), error))
    }

    /// The file's number of an interface, which is described before its first packet.
    fn interface(&mut self, number: u32) -> Result<u32> {
        let known = self.interfaces.iter().position(|&known| known == number);
        let position = known.unwrap_or(self.interfaces.len());
        if known.is_none() {
            let name = if_indextoname(number)
                .map_or_else(|_| format!("if{number}"), |name| name.to_string_lossy().into_owned());
            self.interfaces.push(number);
            self.block(Block::InterfaceDescription(InterfaceDescriptionBlock {
                linktype: DataLink::RAW,
                snaplen: SNAP_LENGTH,
                options: vec![
                    InterfaceDescriptionOption::IfName(name.into()),
                    InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
                ],
            }))?;
        }
        // A system has fewer than 2^32 interfaces.
        Ok(position as u32)
    }

    fn block(&mut self, block: Block) -> Result<()> {
        self.file.write_block(&block).map(drop).map_err(|error| write_failed(&self.path, error))
    }
}

fn write_failed(path: &Path, error: PcapError) -> Error {
    Error::new("write", path.display(), into_io(error))
}

fn into_io(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        error => io::Error::new(io::ErrorKind::InvalidData, error.to_string()),
    }
}

/// The TCP segments of a file, in its order; packets that are none are passed over.
///
/// Ends after the first error.
pub struct Segments {
    path: PathBuf,
    blocks: PcapNgReader<File>,
    packets: usize,
    ended: bool,
}

/// Opens a file for its segments, ours or another program's: packets that begin with an IP, Ethernet or Linux
/// "cooked" header.
///
/// # Errors
///
/// Those of open(2), or that the file is no pcapng. The iterator's item is an error where the file is cut or damaged;
/// what came before it is whole.
pub fn read(path: &Path) -> Result<Segments> {
    let file = File::open(path).map_err(|error| Error::new("open", path.display(), error))?;
    let blocks = PcapNgReader::new(file).map_err(|error| match error {
        PcapError::IoError(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
            Error::new("read", path.display(), error)
        }
        _ => Error::new("read", path.display(), io::Error::other("not a pcapng file")),
    })?;
    Ok(Segments { path: path.to_owned(), blocks, packets: 0, ended: false })
}

impl Iterator for Segments {
    type Item = Result<Segment>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            match self.next_packet() {
                Some(Ok(Some(segment))) => return Some(Ok(segment)),
                Some(Ok(None)) => {}
                Some(Err(error)) => {
                    self.ended = true;
                    return Some(Err(self.damaged(error)));
                }
                None => self.ended = true,
            }
        }
        None
    }
}

impl Segments {
    fn next_packet(&mut self) -> Option<std::result::Result<Option<Segment>, PcapError>> {
        let packet = match self.blocks.next_block()? {
            Ok(Block::EnhancedPacket(packet)) => packet.into_owned(),
            Ok(_) => return Some(Ok(None)),
            Err(error) => return Some(Err(error)),
        };
        self.packets += 1;
        let Some(interface) = self.blocks.packet_interface(&packet) else {
            return Some(Err(PcapError::InvalidInterfaceId(packet.interface_id)));
        };
        let time = time(&packet, interface);
        let parse = |link| Segment::parse(time, link, &packet.data, packet.original_len as usize);
        Some(Ok(link(interface.linktype).and_then(parse)))
    }

    fn damaged(&self, error: PcapError) -> Error {
        let after = format!("after {} packets", self.packets);
        let source = match error {
            PcapError::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                io::Error::new(error.kind(), format!("cut short {after}"))
            }
            PcapError::IoError(error) => error,
            error => io::Error::new(io::ErrorKind::InvalidData, format!("damaged {after}: {error}")),
        };
        Error::new("read", self.path.display(), source)
    }
}

fn link(kind: DataLink) -> Option<Link> {
    match kind {
        DataLink::RAW | DataLink::IPV4 | DataLink::IPV6 => Some(Link::None),
        DataLink::ETHERNET => Some(Link::Ethernet),
        DataLink::LINUX_SLL => Some(Link::Skipped(16)),
        DataLink::LINUX_SLL2 => Some(Link::Skipped(20)),
        _ => None,
    }
}

/// The reader takes every stamp for nanoseconds; its interface says what unit it is in.
fn time(packet: &EnhancedPacketBlock, interface: &InterfaceDescriptionBlock) -> Duration {
    let ticks = packet.timestamp.as_nanos();
    let resolution = interface.options.iter().find_map(|option| match option {
        InterfaceDescriptionOption::IfTsResol(resolution) => Some(*resolution),
        _ => None,
    });
    let resolution = resolution.unwrap_or(MICROSECONDS);
    let exponent = u32::from(resolution & 0x7f);
    let base: u128 = if resolution & 0x80 == 0 { 10 } else { 2 };
    let ticks_a_second = base.checked_pow(exponent).unwrap_or(u128::MAX);
    let nanoseconds = ticks.saturating_mul(1_000_000_000) / ticks_a_second;
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A SYN, as bytes from the IP header on.
    fn syn() -> Vec<u8> {
        let mut bytes = Vec::new();
        let builder = etherparse::PacketBuilder::ipv4([127, 0, 0, 1], [127, 0, 0, 2], 64);
        builder.tcp(3001, 3000, 1000, 512).syn().write(&mut bytes, &[]).unwrap();
        bytes
    }

    /// A file of one packet, by a program that keeps to other units and links than we do.
    fn foreign(linktype: DataLink, before: usize, resolution: Option<u8>, ticks: u64) -> Vec<u8> {
        let mut writer = PcapNgWriter::new(Vec::new()).unwrap();
        let options = resolution.map(InterfaceDescriptionOption::IfTsResol).into_iter().collect();
        writer.write_pcapng_block(InterfaceDescriptionBlock { linktype, snaplen: 0, options }).unwrap();
        let data = [vec![0; before], syn()].concat();
        writer
            .write_pcapng_block(EnhancedPacketBlock {
                interface_id: 0,
                timestamp: Duration::from_nanos(ticks),
                original_len: data.len() as u32,
                data: data.into(),
                options: Vec::new(),
            })
            .unwrap();
        writer.into_inner()
    }

    fn read_bytes(bytes: &[u8]) -> Result<Vec<Segment>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        read(file.path())?.collect()
    }

    #[test]
    fn what_is_written_is_read_to_the_nanosecond() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes = syn();
        let time = Duration::new(1_795_217_783, 123_456_789);
        let mut writer = Writer::create(file.path()).unwrap();
        for interface in [1, 4_000_000_000, 1] {
            writer.write(&Packet { time, interface, bytes: &bytes, wire_length: bytes.len() }).unwrap();
        }
        writer.flush().unwrap();
        let segments: Vec<Segment> = read(file.path()).unwrap().map(Result::unwrap).collect();
        assert_eq!(segments.len(), 3);
        assert_eq!(Segment::parse(time, Link::None, &bytes, bytes.len()), segments.into_iter().next());
    }

    #[test]
    fn files_of_other_programs_are_read_in_their_units_and_links() {
        for (linktype, before, resolution, ticks) in [
            (DataLink::RAW, 0, None, 1_500_000),
            (DataLink::IPV4, 0, Some(6), 1_500_000),
            (DataLink::LINUX_SLL, 16, Some(9), 1_500_000_000),
            (DataLink::LINUX_SLL2, 20, Some(3), 1500),
            (DataLink::RAW, 0, Some(0x80 | 10), 1536),
        ] {
            let segments = read_bytes(&foreign(linktype, before, resolution, ticks)).unwrap();
            assert_eq!(segments.len(), 1, "{linktype:?}");
            assert_eq!(segments[0].time, Duration::from_millis(1500), "{linktype:?} {resolution:?}");
        }
        assert_eq!(read_bytes(&foreign(DataLink::USB_LINUX, 0, None, 0)).unwrap(), []);
    }

    #[test]
    fn a_file_cut_anywhere_is_an_error_or_ends_between_blocks() {
        let whole = foreign(DataLink::RAW, 0, None, 0);
        for length in 0..whole.len() {
            if let Ok(segments) = read_bytes(&whole[..length]) {
                assert_eq!(segments, [], "{length} of {} bytes", whole.len());
            }
        }
    }

    #[test]
    fn a_file_changed_anywhere_does_not_make_it_panic() {
        let whole = foreign(DataLink::RAW, 0, Some(9), 0);
        for position in 0..whole.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bytes = whole.clone();
                bytes[position] = value;
                let _ = read_bytes(&bytes);
            }
        }
    }
}
