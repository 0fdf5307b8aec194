//! The expressions of a rule of nf_tables (linux/netfilter/nf_tables.h).

use nix::libc::{NFT_GOTO, NFT_JUMP, NFT_RETURN};

use super::super::extension;
use super::super::rule::{
    Expression, Field, LookupTarget, MarkSource, NewAddress, NewIp, Register, Rejection, RuleVerdict,
    TableFamily,
};
use super::attribute::{Nest, name};
use crate::text::Escaped;

/// What all `NFTA_RULE_EXPRESSIONS` come to.
pub(super) fn expressions(rule: Nest<'_>, family: TableFamily) -> Vec<Expression> {
    const EXPRESSIONS: u16 = 4;
    rule.elements(EXPRESSIONS).flat_map(|bytes| expression(Nest(bytes), family)).collect()
}

fn expression(nest: Nest<'_>, family: TableFamily) -> Vec<Expression> {
    const NAME: u16 = 1;
    const DATA: u16 = 2;
    let name = nest.name(NAME).unwrap_or_default();
    let data = nest.nest(DATA).unwrap_or(Nest(&[]));
    let is_ipv6 = family == TableFamily::Ipv6;
    match name.as_str() {
        // They change nothing of what becomes of the packet.
        "counter" | "log" | "last" | "dup" | "flow_offload" => return Vec::new(),
        "match" => return compatible(data, is_ipv6, extension::test),
        "target" => return compatible(data, is_ipv6, extension::target),
        _ => {}
    }
    let followed = match name.as_str() {
        "meta" | "payload" | "ct" | "fib" | "exthdr" => load(&name, data),
        "rt" | "socket" | "numgen" | "hash" | "osf" | "xfrm" | "tunnel" => computed(&name, data),
        "immediate" => immediate(data),
        "bitwise" | "byteorder" => change(&name, data),
        "cmp" => compare(data),
        "range" => range(data),
        "lookup" => lookup(data),
        "dynset" => learn(data),
        "objref" => object(data),
        "nat" => translate(data),
        "redir" => Some(vec![Expression::SendTo(NewAddress {
            ip: NewIp::ThisHost,
            port: registers(data, 1),
            is_random: is_random(data.number(3)),
        })]),
        "masq" => Some(vec![Expression::Masquerade]),
        "notrack" => Some(vec![Expression::NoTrack]),
        "reject" => reject(data),
        "queue" => Some(vec![Expression::Verdict(RuleVerdict::Queue)]),
        "tproxy" | "synproxy" | "fwd" => Some(vec![Expression::Unfollowed(name.clone())]),
        _ => None,
    };
    followed.unwrap_or_else(|| vec![Expression::Uncertain(format!("`{name}`"))])
}

/// A match or a target of iptables, as iptables-nft leaves them in its rules (`NFTA_MATCH_NAME` and so on).
fn compatible(
    data: Nest<'_>,
    is_ipv6: bool,
    read: fn(&str, u8, &[u8], bool) -> Vec<Expression>,
) -> Vec<Expression> {
    let revision = data.number(2).unwrap_or(0);
    read(
        &data.name(1).unwrap_or_default(),
        u8::try_from(revision).unwrap_or(u8::MAX),
        data.get(3).unwrap_or_default(),
        is_ipv6,
    )
}

/// What is read of the packet, or written to it where there is a register to write from.
fn load(name: &str, data: Nest<'_>) -> Option<Vec<Expression>> {
    let load = |to, field| Some(vec![Expression::Load { to, field }]);
    match name {
        "meta" => match (data.register(1), data.number(2)?, data.register(3)) {
            (Some(to), key, _) => load(to, Field::Meta(key)),
            (None, 3, Some(from)) => {
                Some(vec![Expression::SetMark { mask: !0, value: Some(MarkSource::Register(from)) }])
            }
            (None, _, Some(_)) => Some(Vec::new()),
            (None, _, None) => None,
        },
        "payload" => payload(data),
        "ct" => {
            let key = data.number(2)?;
            match (data.register(1), data.get(3).and_then(|direction| direction.first())) {
                (Some(to), None | Some(0)) => load(to, Field::Conntrack(key)),
                (Some(to), Some(_)) => {
                    Some(vec![Expression::Computed { to, length: 16, about: "the way of the replies" }])
                }
                (None, _) => Some(Vec::new()),
            }
        }
        "fib" => fib(data),
        _ => match (data.register(1), data.size(4)) {
            (Some(to), length) => Some(vec![Expression::Computed {
                to,
                length: length.unwrap_or(1).clamp(1, 64),
                about: "the options of the header",
            }]),
            (None, _) => Some(Vec::new()),
        },
    }
}

fn payload(data: Nest<'_>) -> Option<Vec<Expression>> {
    const NETWORK: u32 = 1;
    const TRANSPORT: u32 = 2;
    let (base, offset, length) = (data.number(2)?, data.size(3)?, data.size(4)?);
    let Some(to) = data.register(1) else {
        // Addresses and ports may be overwritten, which is a translation without memory.
        let is_address = base == NETWORK && offset >= 8 || base == TRANSPORT && offset < 4;
        let written = Expression::Unfollowed("an address that is overwritten".to_owned());
        return Some(if is_address { vec![written] } else { Vec::new() });
    };
    Some(vec![match base {
        NETWORK => Expression::Load { to, field: Field::Network { offset, length } },
        TRANSPORT => Expression::Load { to, field: Field::Transport { offset, length } },
        _ => Expression::Computed { to, length, about: "the link-layer header" },
    }])
}

fn fib(data: Nest<'_>) -> Option<Vec<Expression>> {
    const OF_SOURCE: u32 = 1;
    const OF_DESTINATION: u32 = 2;
    const INTERFACE: u32 = 8;
    const PRESENT: u32 = 32;
    const NUMBER: u32 = 1;
    const TYPE: u32 = 3;
    let (to, result, flags) = (data.register(1)?, data.number(2)?, data.number(3)?);
    Some(vec![match (result, flags) {
        (TYPE, OF_SOURCE | OF_DESTINATION) => {
            Expression::Load { to, field: Field::AddressType { of_source: flags == OF_SOURCE } }
        }
        (_, flags)
            if flags & !(4 | PRESENT) == OF_SOURCE | INTERFACE
                && (result == NUMBER || flags & PRESENT != 0) =>
        {
            Expression::Load { to, field: Field::ReversePath { is_presence: flags & PRESENT != 0 } }
        }
        _ => Expression::Computed { to, length: 16, about: "the routing table" },
    }])
}

/// Of each of these the register that it writes is the attribute 1 or 2.
fn computed(name: &str, data: Nest<'_>) -> Option<Vec<Expression>> {
    let (register, about) = match name {
        "hash" => (2, "a hash"),
        "numgen" => (1, "a number that changes from packet to packet"),
        "socket" => (2, "a socket that is there already"),
        "rt" => (1, "the route"),
        "xfrm" => (1, "IPsec"),
        _ => (1, "what only the packet itself shows"),
    };
    let to = data.register(register)?;
    Some(vec![Expression::Computed { to, length: 16, about }])
}

fn immediate(data: Nest<'_>) -> Option<Vec<Expression>> {
    const DATA: u16 = 2;
    if data.number(1)? == 0 {
        return Some(vec![Expression::Verdict(verdict(data.nest(DATA)?)?)]);
    }
    Some(vec![Expression::Constant { to: data.register(1)?, bytes: data.data(DATA)?.to_vec() }])
}

/// `NFTA_DATA_VERDICT`.
pub(super) fn verdict(data: Nest<'_>) -> Option<RuleVerdict> {
    /// `NF_VERDICT_MASK`.
    const KIND: i32 = 0xff;
    let verdict = data.nest(2)?;
    let chain = || verdict.get(2).map(name);
    Some(match verdict.number(1)? as i32 {
        NFT_JUMP => RuleVerdict::Jump(chain()?),
        NFT_GOTO => RuleVerdict::Goto(chain()?),
        NFT_RETURN => RuleVerdict::Return,
        code if code < 0 => RuleVerdict::Continue,
        code => match code & KIND {
            0 => RuleVerdict::Drop,
            1 => RuleVerdict::Accept,
            _ => RuleVerdict::Queue,
        },
    })
}

fn change(name: &str, data: Nest<'_>) -> Option<Vec<Expression>> {
    let (from, to) = (data.register(1)?, data.register(2)?);
    if name == "byteorder" {
        let (length, size) = (data.size(4)?, data.size(5)?);
        return Some(vec![Expression::Swap { from, to, length, size }]);
    }
    let length = data.size(3)?;
    // Shifts, and since Linux 6.13 operations of two registers, have another number.
    Some(vec![match data.number(6).unwrap_or(0) {
        0 => Expression::Mask { from, to, mask: data.data(4)?.to_vec(), flip: data.data(5)?.to_vec() },
        _ => Expression::Computed { to, length, about: "a computation" },
    }])
}

fn compare(data: Nest<'_>) -> Option<Vec<Expression>> {
    let (from, operator, value) = (data.register(1)?, data.number(2)?, data.data(3)?.to_vec());
    let (least, most) = (vec![0; value.len()], vec![0xff; value.len()]);
    let (low, high, inverted) = match operator {
        0 => (value.clone(), value, false),
        1 => (value.clone(), value, true),
        // Less than it is not from it on.
        2 => (value, most, true),
        3 => (least, value, false),
        4 => (least, value, true),
        5 => (value, most, false),
        _ => return None,
    };
    Some(vec![Expression::Among { from, ranges: vec![(low, high)], inverted }])
}

fn range(data: Nest<'_>) -> Option<Vec<Expression>> {
    let inverted = data.number(2)? == 1;
    let ranges = vec![(data.data(3)?.to_vec(), data.data(4)?.to_vec())];
    Some(vec![Expression::Among { from: data.register(1)?, ranges, inverted }])
}

fn lookup(data: Nest<'_>) -> Option<Vec<Expression>> {
    const TO: u16 = 3;
    let to = match data.number(TO) {
        None => None,
        Some(0) => Some(LookupTarget::Verdict),
        Some(_) => Some(LookupTarget::Register(data.register(TO)?)),
    };
    let inverted = data.number(5).unwrap_or(0) & 1 != 0;
    Some(vec![Expression::Lookup { from: data.register(2)?, set: data.name(1)?, to, inverted }])
}

/// A set that packets themselves fill, and a limit for each of its elements perhaps.
fn learn(data: Nest<'_>) -> Option<Vec<Expression>> {
    const INVERTED: u32 = 1;
    let set = data.name(1)?;
    let has_limit = data.get(7).is_some() || data.get(10).is_some();
    if has_limit || data.number(9).unwrap_or(0) & INVERTED != 0 {
        return Some(vec![Expression::Uncertain(format!(
            "what the set {} has learned",
            Escaped(set.as_bytes())
        ))]);
    }
    Some(vec![Expression::Learn { set }])
}

/// A counter, a limit or the like that has a name.
fn object(data: Nest<'_>) -> Option<Vec<Expression>> {
    const QUOTA: u32 = 2;
    const LIMIT: u32 = 4;
    const CONNECTION_LIMIT: u32 = 5;
    const SYNPROXY: u32 = 10;
    match data.number(1)? {
        QUOTA | LIMIT | CONNECTION_LIMIT => None,
        SYNPROXY => Some(vec![Expression::Unfollowed("synproxy".to_owned())]),
        _ => Some(Vec::new()),
    }
}

fn translate(data: Nest<'_>) -> Option<Vec<Expression>> {
    const DESTINATION: u32 = 1;
    const NETMAP: u32 = 64;
    if data.number(1)? != DESTINATION {
        return Some(vec![Expression::NewSource]);
    }
    let flags = data.number(7);
    let ip = match registers(data, 3) {
        None => NewIp::Unchanged,
        Some(_) if flags.unwrap_or(0) & NETMAP != 0 => NewIp::Computed,
        Some((least, most)) => NewIp::Registers(least, most),
    };
    let port = registers(data, 5);
    Some(vec![Expression::SendTo(NewAddress { ip, port, is_random: is_random(flags) })])
}

/// The registers of the least and the most; where there is one alone, it is both.
fn registers(data: Nest<'_>, least: u16) -> Option<(Register, Register)> {
    let from = data.register(least)?;
    Some((from, data.register(least + 1).unwrap_or(from)))
}

/// `NF_NAT_RANGE_PROTO_RANDOM` and `NF_NAT_RANGE_PROTO_RANDOM_FULLY`.
fn is_random(flags: Option<u32>) -> bool {
    flags.unwrap_or(0) & (4 | 16) != 0
}

fn reject(data: Nest<'_>) -> Option<Vec<Expression>> {
    let code = data.get(2).and_then(|code| code.first()).copied();
    Some(vec![Expression::Reject(match data.number(1)? {
        0 => Rejection::Unreachable(code?),
        1 => Rejection::Reset,
        2 => Rejection::Icmpx(code?),
        _ => return None,
    })])
}
