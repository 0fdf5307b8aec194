//! Matches and targets of iptables, as the kernel keeps them (linux/netfilter/xt_*.h), in the terms of nf_tables.
//!
//! iptables-nft leaves those in rules of nf_tables that it has no expressions for.

use super::rule::{Expression, Field, MarkSource, NewAddress, NewIp, Register, Rejection, RuleVerdict};

/// What no expression of nf_tables uses while a match is evaluated.
const SCRATCH: Register = 48;
/// Where a translation has its addresses and ports: two of each.
const ADDRESSES: [Register; 2] = [0, 16];
const PORTS: [Register; 2] = [32, 36];

/// Where the addresses are in an IP header, and how long they are.
pub(super) fn address(of_source: bool, is_ipv6: bool) -> Field {
    let (offset, length) = match (of_source, is_ipv6) {
        (true, false) => (12, 4),
        (false, false) => (16, 4),
        (true, true) => (8, 16),
        (false, true) => (24, 16),
    };
    Field::Network { offset, length }
}

fn port(of_source: bool) -> Field {
    Field::Transport { offset: if of_source { 0 } else { 2 }, length: 2 }
}

/// Goes on where the field lies in one of these ranges, or in none.
pub(super) fn among(field: Field, ranges: Vec<(Vec<u8>, Vec<u8>)>, inverted: bool) -> Vec<Expression> {
    vec![Expression::Load { to: SCRATCH, field }, Expression::Among { from: SCRATCH, ranges, inverted }]
}

/// Goes on where the field has this value under this mask.
pub(super) fn masked(field: Field, mask: &[u8], value: &[u8], inverted: bool) -> Vec<Expression> {
    let [from, to] = [SCRATCH; 2];
    let value: Vec<u8> = value.iter().zip(mask).map(|(byte, mask)| byte & mask).collect();
    vec![
        Expression::Load { to, field },
        Expression::Mask { from, to, mask: mask.to_vec(), flip: vec![0; mask.len()] },
        Expression::Among { from, ranges: vec![(value.clone(), value)], inverted },
    ]
}

/// Goes on where one of these bits is set.
fn any_bit(field: Field, bits: u32, inverted: bool) -> Vec<Expression> {
    masked(field, &bits.to_ne_bytes(), &[0; 4], !inverted)
}

/// A number of the machine's between these.
fn between(field: Field, least: u32, most: u32, inverted: bool) -> Vec<Expression> {
    let [from, to] = [SCRATCH; 2];
    let range = (least.to_be_bytes().to_vec(), most.to_be_bytes().to_vec());
    vec![
        Expression::Load { to, field },
        Expression::Swap { from, to, length: 4, size: 4 },
        Expression::Among { from, ranges: vec![range], inverted },
    ]
}

fn never() -> Vec<Expression> {
    vec![Expression::Among { from: SCRATCH, ranges: Vec::new(), inverted: false }]
}

fn ports(least: u16, most: u16) -> (Vec<u8>, Vec<u8>) {
    (least.to_be_bytes().to_vec(), most.to_be_bytes().to_vec())
}

/// A structure of the kernel's, in the byte order of the machine.
#[derive(Clone, Copy)]
struct Data<'a>(&'a [u8]);

impl<'a> Data<'a> {
    fn byte(self, at: usize) -> Option<u8> {
        self.0.get(at).copied()
    }

    fn short(self, at: usize) -> Option<u16> {
        Some(u16::from_ne_bytes(*self.0.get(at..)?.first_chunk()?))
    }

    fn word(self, at: usize) -> Option<u32> {
        Some(u32::from_ne_bytes(*self.0.get(at..)?.first_chunk()?))
    }

    fn bytes(self, at: usize, length: usize) -> Option<&'a [u8]> {
        self.0.get(at..)?.get(..length)
    }
}

/// What a match tests; a match that is not known, or too short, may match or not.
pub(super) fn test(name: &str, revision: u8, data: &[u8], is_ipv6: bool) -> Vec<Expression> {
    let data = Data(data);
    let known = match (name, revision) {
        ("comment", _) => Some(Vec::new()),
        ("tcp", 0) => tcp(data),
        ("udp" | "udplite" | "sctp" | "dccp" | "icmp" | "icmp6" | "esp" | "ah", _) => Some(never()),
        ("multiport", 1) => multiport(data),
        ("conntrack", 1..=3) => conntrack(data, revision),
        ("state", 0) => data.word(0).map(|states| {
            // It numbers UNTRACKED as the match conntrack numbers SNAT.
            let untracked = (states & 1 << 6) << 2;
            any_bit(Field::ConntrackStates, states & 0xf | untracked, false)
        }),
        ("addrtype", 1) => address_type(data),
        ("owner", 1) => owner(data),
        ("mark", 1) => mark(data),
        ("iprange", 1) => ip_range(data, is_ipv6),
        ("rpfilter", 0) => data.byte(0).map(|flags| {
            let inverted = flags & 1 << 3 != 0;
            among(Field::ReversePath { is_presence: true }, vec![(vec![1], vec![1])], inverted)
        }),
        _ => None,
    };
    known.unwrap_or_else(|| vec![Expression::Uncertain(format!("`-m {name}`"))])
}

/// `struct xt_tcp`.
fn tcp(data: Data<'_>) -> Option<Vec<Expression>> {
    const FLAGS: usize = 13;
    let inverted = data.byte(11)?;
    let mut all = Vec::new();
    for (at, of_source, bit) in [(0, true, 1), (4, false, 2)] {
        let range = (data.short(at)?, data.short(at + 2)?);
        if range != (0, u16::MAX) || inverted & bit != 0 {
            all.extend(among(port(of_source), vec![ports(range.0, range.1)], inverted & bit != 0));
        }
    }
    if data.byte(8)? != 0 {
        all.push(Expression::Uncertain("the TCP options".to_owned()));
    }
    let (mask, flags) = (data.byte(9)?, data.byte(10)?);
    if mask != 0 || inverted & 4 != 0 {
        let field = Field::Transport { offset: FLAGS, length: 1 };
        all.extend(masked(field, &[mask], &[flags], inverted & 4 != 0));
    }
    Some(all)
}

/// `struct xt_multiport_v1`.
fn multiport(data: Data<'_>) -> Option<Vec<Expression>> {
    let of_source = match data.byte(0)? {
        0 => true,
        1 => false,
        _ => return None,
    };
    let count = usize::from(data.byte(1)?.min(15));
    let (mut ranges, mut index) = (Vec::new(), 0);
    while index < count {
        let least = data.short(2 + 2 * index)?;
        // The port that begins a range has a mark, and the next one ends it.
        let most = if data.byte(32 + index)? != 0 {
            index += 1;
            data.short(2 + 2 * index)?
        } else {
            least
        };
        ranges.push(ports(least, most));
        index += 1;
    }
    Some(among(port(of_source), ranges, data.byte(47)? != 0))
}

/// `struct xt_conntrack_mtinfo1` and those after it, whose masks are longer.
fn conntrack(data: Data<'_>, revision: u8) -> Option<Vec<Expression>> {
    const STATE: u16 = 1;
    /// `-m state`, as iptables writes it nowadays.
    const IS_STATE: u16 = 1 << 13;
    let (matched, inverted) = (data.short(146)?, data.short(148)?);
    let states = if revision == 1 { data.byte(150)?.into() } else { data.short(150)? };
    let mut all = Vec::new();
    if matched & STATE != 0 {
        all = any_bit(Field::ConntrackStates, states.into(), inverted & STATE != 0);
    }
    if matched & !(STATE | IS_STATE) != 0 {
        all.push(Expression::Uncertain("the state of the connection".to_owned()));
    }
    Some(all)
}

/// `struct xt_addrtype_info_v1`.
fn address_type(data: Data<'_>) -> Option<Vec<Expression>> {
    /// Types of the local interface alone.
    const OF_INTERFACE: u32 = 4 | 8;
    let (flags, mut all) = (data.word(4)?, Vec::new());
    if flags & OF_INTERFACE != 0 {
        return None;
    }
    for (at, of_source, bit) in [(0, true, 1), (2, false, 2)] {
        let types = data.short(at)?;
        if types != 0 {
            let value = |kind: u32| (kind.to_ne_bytes().to_vec(), kind.to_ne_bytes().to_vec());
            let ranges = (0..16).filter(|kind| types & 1 << kind != 0).map(value).collect();
            all.extend(among(Field::AddressType { of_source }, ranges, flags & bit != 0));
        }
    }
    Some(all)
}

/// `struct xt_owner_match_info`.
fn owner(data: Data<'_>) -> Option<Vec<Expression>> {
    const USER: u32 = 10;
    const GROUP: u32 = 11;
    let (matched, inverted) = (data.byte(16)?, data.byte(17)?);
    let mut all = Vec::new();
    for (at, key, bit) in [(0, USER, 1), (8, GROUP, 2)] {
        if matched & bit != 0 {
            all.extend(between(Field::Meta(key), data.word(at)?, data.word(at + 4)?, inverted & bit != 0));
        }
    }
    if matched & !3 != 0 {
        all.push(Expression::Uncertain("`-m owner`".to_owned()));
    }
    Some(all)
}

/// `struct xt_mark_mtinfo1`.
fn mark(data: Data<'_>) -> Option<Vec<Expression>> {
    const MARK: u32 = 3;
    Some(masked(Field::Meta(MARK), data.bytes(4, 4)?, data.bytes(0, 4)?, data.byte(8)? != 0))
}

/// `struct xt_iprange_mtinfo`.
fn ip_range(data: Data<'_>, is_ipv6: bool) -> Option<Vec<Expression>> {
    let flags = data.byte(64)?;
    let length = if is_ipv6 { 16 } else { 4 };
    let mut all = Vec::new();
    for (at, of_source, bit) in [(0, true, 1), (32, false, 2)] {
        if flags & bit != 0 {
            let range = (data.bytes(at, length)?.to_vec(), data.bytes(at + 16, length)?.to_vec());
            all.extend(among(address(of_source, is_ipv6), vec![range], flags & bit << 4 != 0));
        }
    }
    Some(all)
}

/// What a target does; one that is not known may do anything.
pub(super) fn target(name: &str, revision: u8, data: &[u8], is_ipv6: bool) -> Vec<Expression> {
    let data = Data(data);
    let known = match name {
        "LOG" | "NFLOG" | "ULOG" | "TRACE" | "AUDIT" | "TEE" | "CLASSIFY" | "DSCP" | "TOS" | "TTL" | "HL"
        | "TCPMSS" | "TCPOPTSTRIP" | "ECN" | "SECMARK" | "CONNSECMARK" | "CHECKSUM" | "RATEEST" | "LED"
        | "IDLETIMER" | "SET" => Some(Vec::new()),
        "CONNMARK" | "HMARK" => Some(vec![Expression::SetMark { mask: !0, value: None }]),
        "MARK" if revision == 2 => data
            .word(0)
            .zip(data.word(4))
            .map(|(value, mask)| vec![Expression::SetMark { mask, value: Some(MarkSource::Number(value)) }]),
        "NOTRACK" => Some(vec![Expression::NoTrack]),
        "CT" => {
            data.short(0).map(|flags| if flags & 1 != 0 { vec![Expression::NoTrack] } else { Vec::new() })
        }
        "SNAT" => Some(vec![Expression::NewSource]),
        "MASQUERADE" => Some(vec![Expression::Masquerade]),
        "DNAT" | "REDIRECT" => translate(name, revision, data, is_ipv6),
        "NETMAP" => {
            Some(vec![Expression::SendTo(NewAddress { ip: NewIp::Computed, port: None, is_random: false })])
        }
        "NFQUEUE" => Some(vec![Expression::Verdict(RuleVerdict::Queue)]),
        "REJECT" => reject(data, is_ipv6),
        "ERROR" => Some(vec![Expression::Verdict(RuleVerdict::Drop)]),
        _ => None,
    };
    known.unwrap_or_else(|| vec![Expression::Unfollowed(format!("`-j {name}`"))])
}

/// `struct nf_nat_range`, or of the first revision for IPv4 `struct nf_nat_ipv4_multi_range_compat`.
fn translate(name: &str, revision: u8, data: Data<'_>, is_ipv6: bool) -> Option<Vec<Expression>> {
    const HAS_IP: u32 = 1;
    const HAS_PORT: u32 = 2;
    const RANDOM: u32 = 4 | 16;
    /// A port is mapped by its distance from another one.
    const OFFSET: u32 = 32;
    let is_short = !is_ipv6 && revision == 0;
    let (flags, ips, ports, length) =
        if is_short { (4, [8, 12], [16, 18], 4) } else { (0, [4, 20], [36, 38], 16) };
    let flags = data.word(flags)?;
    if flags & OFFSET != 0 {
        return None;
    }
    let length = if is_ipv6 { length } else { 4 };
    let mut all = Vec::new();
    let mut put = |places: [usize; 2], registers: [Register; 2], length: usize| {
        for (at, to) in places.into_iter().zip(registers) {
            all.push(Expression::Constant { to, bytes: data.bytes(at, length)?.to_vec() });
        }
        let [least, most] = registers;
        Some((least, most))
    };
    let ip = match (name, flags & HAS_IP != 0) {
        ("REDIRECT", _) => NewIp::ThisHost,
        (_, false) => NewIp::Unchanged,
        (_, true) => {
            let (least, most) = put(ips, ADDRESSES, length)?;
            NewIp::Registers(least, most)
        }
    };
    let port = if flags & HAS_PORT != 0 { Some(put(ports, PORTS, 2)?) } else { None };
    all.push(Expression::SendTo(NewAddress { ip, port, is_random: flags & RANDOM != 0 }));
    Some(all)
}

/// `struct ipt_reject_info` and `struct ip6t_reject_info`.
fn reject(data: Data<'_>, is_ipv6: bool) -> Option<Vec<Expression>> {
    // By `enum ipt_reject_with` and `enum ip6t_reject_with`; the code of the ICMP message, or RST.
    let codes: &[Option<u8>] = if is_ipv6 {
        &[Some(0), Some(1), Some(2), Some(3), Some(4), Some(4), None, Some(5), Some(6)]
    } else {
        &[Some(0), Some(1), Some(2), Some(3), Some(3), Some(9), Some(10), None, Some(13)]
    };
    let code = codes.get(usize::try_from(data.word(0)?).ok()?)?;
    Some(vec![Expression::Reject(code.map_or(Rejection::Reset, Rejection::Unreachable))])
}
