//! What a rule matches, in the words of nft(8), as far as those are short.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::packet::Interface;
use super::rule::{Expression, Field, Register};
use crate::text::Escaped;

/// What a register holds, and how that is written.
#[derive(Clone, Copy)]
struct Label {
    name: &'static str,
    value: Notation,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Notation {
    /// A number in network byte order.
    Big,
    /// A number in the byte order of the machine.
    Native,
    Address,
    Name,
    /// The number of an interface.
    Interface,
    /// Bits of the state of a connection.
    State,
}

/// What a rule matches; of what has no short words nothing.
pub(super) fn matches(expressions: &[Expression]) -> String {
    let mut labels: BTreeMap<Register, Label> = BTreeMap::new();
    let mut masks: BTreeMap<Register, &[u8]> = BTreeMap::new();
    let mut words = Vec::new();
    for expression in expressions {
        match expression {
            Expression::Load { to, field } => {
                masks.remove(to);
                labels.remove(to);
                labels.extend(label(*field).map(|label| (*to, label)));
            }
            Expression::Mask { from, to, mask, .. } if from == to => {
                masks.insert(*to, mask);
            }
            Expression::Among { from, ranges, inverted } => {
                let label = labels.get(from).copied();
                words.extend(
                    label.and_then(|label| among(label, masks.get(from).copied(), ranges, *inverted)),
                );
            }
            Expression::Lookup { from, set, inverted, .. } => {
                if let Some(Label { name, .. }) = labels.get(from) {
                    let not = if *inverted { "!= " } else { "" };
                    words.push(format!("{name} {not}@{}", Escaped(set.as_bytes())));
                }
            }
            Expression::Uncertain(name) => words.push(name.clone()),
            _ => {}
        }
    }
    words.join(" ")
}

fn label(field: Field) -> Option<Label> {
    let label = |name, value| Some(Label { name, value });
    match field {
        Field::Transport { offset: 0, length: 2 } => label("tcp sport", Notation::Big),
        Field::Transport { offset: 2, length: 2 } => label("tcp dport", Notation::Big),
        Field::Network { offset: 12, length: 1..=4 } => label("ip saddr", Notation::Address),
        Field::Network { offset: 16, length: 1..=4 } => label("ip daddr", Notation::Address),
        Field::Network { offset: 8, length: 16 } => label("ip6 saddr", Notation::Address),
        Field::Network { offset: 24, length: 16 } => label("ip6 daddr", Notation::Address),
        Field::Meta(3) => label("mark", Notation::Native),
        Field::Meta(4) => label("iif", Notation::Interface),
        Field::Meta(5) => label("oif", Notation::Interface),
        Field::Meta(6) => label("iifname", Notation::Name),
        Field::Meta(7) => label("oifname", Notation::Name),
        Field::Meta(10) => label("skuid", Notation::Native),
        Field::Meta(11) => label("skgid", Notation::Native),
        Field::Conntrack(0) | Field::ConntrackStates => label("ct state", Notation::State),
        _ => None,
    }
}

fn among(label: Label, mask: Option<&[u8]>, ranges: &[(Vec<u8>, Vec<u8>)], inverted: bool) -> Option<String> {
    let Label { name, value } = label;
    if value == Notation::State {
        // "Not none of these bits": one of them.
        return inverted.then(|| format!("{name} {}", states(mask.unwrap_or_default())));
    }
    let is_whole = mask.is_none_or(|mask| mask.iter().all(|&byte| byte == 0xff));
    let range = |(low, high): &(Vec<u8>, Vec<u8>)| match value {
        Notation::Address => address(low, high, mask),
        Notation::Name => Some(interface(low, mask.map_or(low.len(), |mask| bits(mask) / 8))),
        Notation::Interface => Interface::Number(number(low, Notation::Native)?).known_name(),
        Notation::State => None,
        Notation::Big | Notation::Native => {
            let [low, high] = [low, high].map(|bytes| number(bytes, value));
            let (low, high) = (low.filter(|_| is_whole)?, high?);
            Some(if low == high { low.to_string() } else { format!("{low}-{high}") })
        }
    };
    let values: Vec<String> = ranges.iter().map(range).collect::<Option<_>>()?;
    let not = if inverted { "!= " } else { "" };
    match &values[..] {
        [] => None,
        [value] => Some(format!("{name} {not}{value}")),
        values => Some(format!("{name} {not}{{ {} }}", values.join(", "))),
    }
}

fn number(bytes: &[u8], notation: Notation) -> Option<u32> {
    match (bytes.len(), notation) {
        (2, _) => bytes.first_chunk().map(|bytes| u16::from_be_bytes(*bytes).into()),
        (4, Notation::Native) => bytes.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes)),
        _ => None,
    }
}

/// How many bits a mask has at its beginning.
fn bits(mask: &[u8]) -> usize {
    let whole = mask.iter().take_while(|&&byte| byte == 0xff).count();
    whole * 8 + mask.get(whole).map_or(0, |byte| byte.leading_ones() as usize)
}

fn address(low: &[u8], high: &[u8], mask: Option<&[u8]>) -> Option<String> {
    let write = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        // Of a prefix of whole bytes nf_tables compares these alone.
        if bytes.len() < 4 {
            bytes.resize(4, 0);
        }
        let of_ipv4 = <[u8; 4]>::try_from(bytes.as_slice()).map(|octets| Ipv4Addr::from(octets).to_string());
        of_ipv4
            .or_else(|_| {
                <[u8; 16]>::try_from(bytes.as_slice()).map(|octets| Ipv6Addr::from(octets).to_string())
            })
            .ok()
    };
    let whole = if low.len() <= 4 { 32 } else { 128 };
    let prefix = mask.map_or(low.len() * 8, bits);
    match (low == high, prefix < whole) {
        (true, true) => Some(format!("{}/{prefix}", write(low)?)),
        (true, false) => write(low),
        (false, _) => Some(format!("{}-{}", write(low)?, write(high)?)),
    }
}

/// The name of an interface, or a beginning of names.
fn interface(bytes: &[u8], length: usize) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let name = Escaped(bytes.get(..end).unwrap_or_default()).to_string();
    if length <= end { format!("\"{name}*\"") } else { format!("\"{name}\"") }
}

fn states(mask: &[u8]) -> String {
    const NAMES: [(u32, &str); 4] = [(1, "invalid"), (2, "established"), (4, "related"), (8, "new")];
    let mask = mask.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
    let named: Vec<&str> = NAMES.iter().filter(|(bit, _)| mask & bit != 0).map(|(_, name)| *name).collect();
    named.join(",")
}

#[cfg(test)]
mod tests {
    use super::super::extension::{address as address_field, among as within, masked};
    use super::*;

    #[test]
    fn ports_addresses_interfaces_and_states_have_words() {
        let port = |of_source: bool| Field::Transport { offset: if of_source { 0 } else { 2 }, length: 2 };
        let range = |low: u16, high: u16| (low.to_be_bytes().to_vec(), high.to_be_bytes().to_vec());
        let mut name = b"eth".to_vec();
        name.resize(16, 0);
        let mut all = within(port(false), vec![range(80, 80), range(8000, 8080)], false);
        all.extend(masked(address_field(true, false), &[255, 255, 0, 0], &[10, 1, 0, 0], true));
        all.extend(masked(Field::Meta(6), &[255, 255, 255, 0], &name[..4], false));
        all.extend(masked(Field::ConntrackStates, &10_u32.to_ne_bytes(), &[0; 4], true));
        all.push(Expression::Uncertain("`-m recent`".to_owned()));
        assert_eq!(
            matches(&all),
            "tcp dport { 80, 8000-8080 } ip saddr != 10.1.0.0/16 iifname \"eth*\" ct state established,new `-m recent`"
        );
    }

    #[test]
    fn what_has_no_words_is_left_out() {
        assert_eq!(matches(&masked(Field::Meta(16), &[255], &[6], false)), "");
        assert_eq!(matches(&[Expression::Among { from: 0, ranges: Vec::new(), inverted: false }]), "");
    }
}
