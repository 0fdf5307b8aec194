//! One word as a value, where it is one.

use std::net::{Ipv4Addr, Shutdown};
use std::ops::BitOr;
use std::time::Duration;

use crate::net::DeviceName;
use crate::net::spelling::{Form, Grammar, Zones};

use super::sockets::socket_name;
use crate::commands::perform::steps::{Address, Family, SegmentFlags};

/// The most that one `send` or `recv` may move.
const LARGEST: usize = 64 << 20;

/// A call takes an address whole.
const ADDRESS_PORT: Grammar =
    Grammar { forms: &[Form::AddressPort], names: false, zones: Zones::Ipv6, lowest_port: 0 };

pub(super) fn family(word: &str) -> Option<Family> {
    match word {
        "inet" => Some(Family::Inet),
        "inet6" => Some(Family::Inet6),
        _ => None,
    }
}

/// `127.0.0.1:3001`, `[::1]:3001` or `@NAME`.
pub(super) fn address(word: &str) -> Option<Address> {
    match word.strip_prefix('@') {
        Some(name) => socket_name(name, 0..0).ok().map(Address::Of),
        None => {
            let address = ADDRESS_PORT.read(word).ok()?.socket_address(Ipv4Addr::UNSPECIFIED.into());
            Some(Address::Literal(address))
        }
    }
}

pub(super) fn on_or_off(word: &str) -> Option<bool> {
    match word {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

pub(super) fn direction(word: &str) -> Option<Shutdown> {
    match word {
        "RD" => Some(Shutdown::Read),
        "WR" => Some(Shutdown::Write),
        "RDWR" => Some(Shutdown::Both),
        _ => None,
    }
}

pub(super) fn duration(word: &str) -> Option<Duration> {
    humantime::parse_duration(word).ok()
}

pub(super) fn ports(word: &str) -> Option<(u16, u16)> {
    let (lowest, highest) = word.split_once('-')?;
    Some((lowest.parse().ok()?, highest.parse().ok()?))
}

/// The name of an interface, or `-` for none.
pub(super) fn device(word: &str) -> Option<Option<DeviceName>> {
    match word {
        "-" => Some(None),
        name => DeviceName::new(name.as_bytes()).filter(|_| !name.is_empty()).map(Some),
    }
}

/// A size with its unit. The unit is required: without one, `send 64` could as well mean the text.
pub(super) fn size(word: &str) -> Option<usize> {
    let size: bytesize::ByteSize = word.ends_with(['b', 'B']).then(|| word.parse().ok())??;
    usize::try_from(size.as_u64()).ok().filter(|&size| size <= LARGEST)
}

pub(super) fn received_size(word: &str) -> Option<usize> {
    word.parse().ok().filter(|&size| size <= LARGEST).or_else(|| size(word))
}

/// The flags of `table` that `word` names with `|` between them, or `None` where one is not in it.
pub(super) fn flags<T: Copy + BitOr<Output = T>>(table: &[(&str, T)], word: &str) -> Option<T> {
    let flag = |name: &str| table.iter().find(|(known, _)| *known == name).map(|(_, flag)| *flag);
    word.split('|').map(flag).reduce(|all, flag| Some(all? | flag?)).flatten()
}

/// The letters of tcpdump(8), one behind the other.
pub(super) fn segment_flags(word: &str) -> Option<SegmentFlags> {
    let bit = |letter| SegmentFlags::LETTERS.iter().find(|(known, _)| *known == letter).map(|(_, bit)| *bit);
    word.chars().map(bit).try_fold(0, |all, bit| Some(all | bit?)).map(SegmentFlags)
}

pub(super) fn user(word: &str) -> Option<u32> {
    // -1 is nobody.
    word.parse().ok().filter(|&user| user != u32::MAX)
}
