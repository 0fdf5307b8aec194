//! The table that the kernel hands out: `struct ipt_entry` or `struct ip6t_entry` one after the other.

use std::collections::BTreeMap;

use super::super::extension;
use super::super::rule::{
    BaseChain, Expression, Field, FilterRule, FilterTable, Hook, RuleChain, RuleOwner, RuleVerdict,
    TableFamily,
};

/// The length of `struct xt_entry_match` and of `struct xt_entry_target` without their data.
const EXTENSION: usize = 32;
/// How many hooks there are.
const HOOKS: usize = 5;
/// The order in which the tables of a hook are met (`enum nf_ip_hook_priorities`); `nat` has another for sources.
const PRIORITIES: [(&str, i32); 5] =
    [("raw", -300), ("mangle", -150), ("nat", -100), ("filter", 0), ("security", 50)];

/// Where things are in an entry.
struct Layout {
    is_ipv6: bool,
    /// How long the addresses are.
    address: usize,
    interfaces: usize,
    protocol: usize,
    flags: usize,
    inverted: usize,
    target_offset: usize,
    /// Where the matches begin.
    elements: usize,
}

const IPV4: Layout = Layout {
    is_ipv6: false,
    address: 4,
    interfaces: 16,
    protocol: 80,
    flags: 82,
    inverted: 83,
    target_offset: 88,
    elements: 112,
};
const IPV6: Layout = Layout {
    is_ipv6: true,
    address: 16,
    interfaces: 64,
    protocol: 128,
    flags: 131,
    inverted: 132,
    target_offset: 140,
    elements: 168,
};

/// `struct ipt_getinfo`: which hooks a table has, and where each begins.
pub(super) struct TableInfo {
    valid_hooks: u32,
    hook_entry: [u32; HOOKS],
    /// How long all entries are.
    pub(super) size: u32,
}

impl TableInfo {
    /// The length of the structure.
    pub(super) const LENGTH: usize = 84;

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut hook_entry = [0; HOOKS];
        for (index, entry) in hook_entry.iter_mut().enumerate() {
            *entry = word(bytes, 36 + 4 * index)?;
        }
        Some(Self { valid_hooks: word(bytes, 32)?, hook_entry, size: word(bytes, 80)? })
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn short(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?)))
}

/// The bytes up to the first zero.
fn name(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

/// One entry, and where it begins.
struct TableEntry<'a> {
    at: usize,
    bytes: &'a [u8],
    target: &'a str,
}

/// The table that `entries` are; `None` where they are none.
pub(super) fn table(table: &str, is_ipv6: bool, info: &TableInfo, entries: &[u8]) -> Option<FilterTable> {
    let layout = if is_ipv6 { &IPV6 } else { &IPV4 };
    let entries = divide(entries, layout)?;
    let chains = Chains::of(&entries, info, layout);
    let mut found = FilterTable {
        owner: RuleOwner::Iptables,
        family: if is_ipv6 { TableFamily::Ipv6 } else { TableFamily::Ipv4 },
        name: table.to_owned(),
        chains: BTreeMap::new(),
    };
    for (index, (start, chain)) in chains.0.iter().enumerate() {
        let end = chains.0.get(index + 1).map_or(usize::MAX, |(next, _)| *next);
        let [first, behind] = [*start, end].map(|at| entries.partition_point(|entry| entry.at < at));
        // The head of a user's chain is no rule, and neither is the end of any: the policy, or RETURN.
        let head = usize::from(chain.hook.is_none());
        let Some([rules @ .., last]) = entries.get(first.saturating_add(head)..behind) else { continue };
        let rules = rules
            .iter()
            .zip(1..)
            .map(|(entry, number)| FilterRule { number, expressions: expressions(entry, layout, &chains) });
        let base = chain.hook.map(|hook| BaseChain {
            hook,
            priority: priority(table, hook),
            is_nat: table == "nat",
            drops: standard(last.bytes, layout) == Some(-1),
            devices: Vec::new(),
        });
        found.chains.insert(chain.name.clone(), RuleChain { base, rules: rules.collect() });
    }
    Some(found)
}

fn priority(table: &str, hook: Hook) -> i32 {
    match PRIORITIES.iter().find(|(name, _)| *name == table) {
        Some(("nat", _)) if matches!(hook, Hook::Input | Hook::Postrouting) => 100,
        Some((_, priority)) => *priority,
        None => 0,
    }
}

fn divide<'a>(bytes: &'a [u8], layout: &Layout) -> Option<Vec<TableEntry<'a>>> {
    let (mut entries, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let rest = bytes.get(at..)?;
        let (target, next) = (short(rest, layout.target_offset)?, short(rest, layout.target_offset + 2)?);
        let entry = rest.get(..next)?;
        let target = entry.get(target.max(layout.elements)..)?.get(2..31)?;
        let end = target.iter().position(|&byte| byte == 0).unwrap_or(target.len());
        let target = std::str::from_utf8(target.get(..end)?).ok()?;
        entries.push(TableEntry { at, bytes: entry, target });
        at = at.checked_add(next)?;
    }
    Some(entries)
}

/// Where each chain begins, in their order, with its name, and its hook if packets enter it.
struct Chains(Vec<(usize, ChainHead)>);

struct ChainHead {
    name: String,
    hook: Option<Hook>,
}

impl Chains {
    fn of(entries: &[TableEntry<'_>], info: &TableInfo, layout: &Layout) -> Self {
        const NAMES: [&str; HOOKS] = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];
        let mut chains = Vec::new();
        for ((start, name), number) in info.hook_entry.iter().zip(NAMES).zip(0_u32..) {
            if info.valid_hooks & 1 << number != 0 {
                let hook = Hook::from_number(number, TableFamily::Inet);
                chains.push((*start as usize, ChainHead { name: name.to_owned(), hook }));
            }
        }
        let last = entries.last().map(|entry| entry.at);
        for entry in entries.iter().filter(|entry| entry.target == "ERROR") {
            // The last entry of a table is one too, and no chain; it ends the last chain.
            let data = target_data(entry.bytes, layout).unwrap_or_default();
            let name =
                if Some(entry.at) == last { String::new() } else { name(data.get(..30).unwrap_or(data)) };
            chains.push((entry.at, ChainHead { name, hook: None }));
        }
        chains.sort_by_key(|(start, _)| *start);
        Self(chains)
    }

    /// The chain to which this offset leads: its head is an entry before.
    fn leading(&self, offset: usize) -> Option<&str> {
        let behind = self.0.partition_point(|(start, _)| *start < offset);
        self.0.get(behind.checked_sub(1)?).map(|(_, chain)| chain.name.as_str())
    }
}

fn target_data<'a>(entry: &'a [u8], layout: &Layout) -> Option<&'a [u8]> {
    let target = entry.get(short(entry, layout.target_offset)?..)?;
    target.get(EXTENSION..short(target, 0)?)
}

/// The verdict of a standard target.
fn standard(entry: &[u8], layout: &Layout) -> Option<i32> {
    Some(word(target_data(entry, layout)?, 0)? as i32)
}

/// What all of an entry comes to.
fn expressions(entry: &TableEntry<'_>, layout: &Layout, chains: &Chains) -> Vec<Expression> {
    rule(entry, layout, chains)
        .unwrap_or_else(|| vec![Expression::Unfollowed("a rule that cannot be read".to_owned())])
}

fn rule(entry: &TableEntry<'_>, layout: &Layout, chains: &Chains) -> Option<Vec<Expression>> {
    let mut all = header(entry.bytes, layout)?;
    let target = short(entry.bytes, layout.target_offset)?;
    let mut rest = entry.bytes.get(layout.elements..target)?;
    while !rest.is_empty() {
        let length = short(rest, 0)?.max(EXTENSION);
        let data = rest.get(EXTENSION..length)?;
        all.extend(extension::test(&name(rest.get(2..31)?), *rest.get(31)?, data, layout.is_ipv6));
        rest = rest.get(length..)?;
    }
    let revision = *entry.bytes.get(target + EXTENSION - 1)?;
    let data = target_data(entry.bytes, layout)?;
    if !entry.target.is_empty() {
        all.extend(extension::target(entry.target, revision, data, layout.is_ipv6));
        return Some(all);
    }
    const GOTO: u8 = 2;
    let goes_on = entry.bytes.get(layout.flags)? & if layout.is_ipv6 { GOTO << 1 } else { GOTO } != 0;
    all.push(Expression::Verdict(match word(data, 0)? as i32 {
        // `-NF_ACCEPT - 1` and so on; `XT_RETURN` is `-NF_REPEAT - 1`.
        -1 => RuleVerdict::Drop,
        -2 => RuleVerdict::Accept,
        -5 => RuleVerdict::Return,
        offset if offset >= 0 => {
            let offset = offset as usize;
            // A rule without a target leads to the next one.
            if offset == entry.at + entry.bytes.len() {
                RuleVerdict::Continue
            } else {
                let chain = chains.leading(offset)?.to_owned();
                if goes_on { RuleVerdict::Goto(chain) } else { RuleVerdict::Jump(chain) }
            }
        }
        _ => RuleVerdict::Queue,
    }));
    Some(all)
}

/// `struct ipt_ip` or `struct ip6t_ip6`: addresses, interfaces, the protocol.
fn header(entry: &[u8], layout: &Layout) -> Option<Vec<Expression>> {
    const TCP: u16 = 6;
    const INCOMING_NAME: u32 = 6;
    const OUTGOING_NAME: u32 = 7;
    const NAME: usize = 16;
    let inverted = *entry.get(layout.inverted)?;
    let mut all = Vec::new();
    for (index, of_source, bit) in [(0, true, 8), (1, false, 16)] {
        let at = index * layout.address;
        let (value, mask) = (entry.get(at..)?, entry.get(at + 2 * layout.address..)?);
        let (value, mask) = (value.get(..layout.address)?, mask.get(..layout.address)?);
        if mask.iter().any(|&byte| byte != 0) || inverted & bit != 0 {
            let field = extension::address(of_source, layout.is_ipv6);
            all.extend(extension::masked(field, mask, value, inverted & bit != 0));
        }
    }
    for (index, key, bit) in [(0, INCOMING_NAME, 1), (1, OUTGOING_NAME, 2)] {
        let at = layout.interfaces + index * NAME;
        let (value, mask) = (entry.get(at..at + NAME)?, entry.get(at + 2 * NAME..at + 3 * NAME)?);
        if mask.iter().any(|&byte| byte != 0) {
            all.extend(extension::masked(Field::Meta(key), mask, value, inverted & bit != 0));
        }
    }
    let protocol = u16::from_ne_bytes(*entry.get(layout.protocol..)?.first_chunk()?);
    if protocol != 0 && (protocol == TCP) == (inverted & 64 != 0) {
        all.insert(0, Expression::Among { from: 0, ranges: Vec::new(), inverted: false });
    }
    const FRAGMENT: u8 = 1;
    const TYPE_OF_SERVICE: u8 = 2;
    let flags = *entry.get(layout.flags)?;
    if layout.is_ipv6 && flags & TYPE_OF_SERVICE != 0 {
        all.push(Expression::Uncertain("the traffic class".to_owned()));
    }
    if !layout.is_ipv6 && (flags & FRAGMENT != 0) != (inverted & 32 != 0) {
        // It asks for fragments, and a SYN is none.
        all.insert(0, Expression::Among { from: 0, ranges: Vec::new(), inverted: false });
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry of IPv4 for TCP whose matches and target are these bytes.
    fn entry(matches: &[u8], target: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; IPV4.elements];
        bytes[IPV4.protocol] = 6;
        let target_at = IPV4.elements + matches.len();
        let length = target_at + target.len();
        bytes[88..90].copy_from_slice(&(target_at as u16).to_ne_bytes());
        bytes[90..92].copy_from_slice(&(length as u16).to_ne_bytes());
        [&bytes, matches, target].concat()
    }

    /// A match or a target.
    fn extension(name: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; EXTENSION];
        let length = (EXTENSION + data.len()).next_multiple_of(8);
        bytes[..2].copy_from_slice(&(length as u16).to_ne_bytes());
        bytes[2..2 + name.len()].copy_from_slice(name.as_bytes());
        bytes.extend(data);
        bytes.resize(length, 0);
        bytes
    }

    fn standard_target(verdict: i32) -> Vec<u8> {
        extension("", &verdict.to_ne_bytes())
    }

    /// A table with a chain for INPUT, and one of a user's that it leads to.
    fn bytes() -> (TableInfo, Vec<u8>) {
        // Ports 0 to 65535, then 3000 alone.
        let mut tcp = vec![0, 0, 0xff, 0xff];
        tcp.extend([3000_u16.to_ne_bytes(), 3000_u16.to_ne_bytes()].concat());
        tcp.extend([0; 4]);
        let drop = entry(&extension("tcp", &tcp), &standard_target(-1));
        let jump = entry(&[], &standard_target(0));
        let policy = entry(&[], &standard_target(-2));
        let head = entry(&[], &extension("ERROR", b"USERS\0"));
        let back = entry(&[], &standard_target(-5));
        let end = entry(&[], &extension("ERROR", b"ERROR\0"));
        let first_of_user = jump.len() + policy.len() + head.len();
        let jump = entry(&[], &standard_target(first_of_user as i32));
        let all = [jump, policy, head, drop, back, end].concat();
        (TableInfo { valid_hooks: 1 << 1, hook_entry: [0; HOOKS], size: all.len() as u32 }, all)
    }

    #[test]
    fn chains_have_their_rules_and_rules_their_targets() {
        let (info, bytes) = bytes();
        let table = table("filter", false, &info, &bytes).unwrap();
        let names: Vec<&String> = table.chains.keys().collect();
        assert_eq!(names, ["INPUT", "USERS"]);
        let input = &table.chains["INPUT"];
        assert_eq!(input.base.as_ref().unwrap().hook, Hook::Input);
        assert!(!input.base.as_ref().unwrap().drops);
        let jump = Expression::Verdict(RuleVerdict::Jump("USERS".to_owned()));
        assert_eq!(input.rules.len(), 1);
        assert_eq!(input.rules[0].expressions, [jump]);
        let users = &table.chains["USERS"];
        assert_eq!((users.rules.len(), users.base.is_none()), (1, true));
        assert_eq!(users.rules[0].expressions.last(), Some(&Expression::Verdict(RuleVerdict::Drop)));
        assert_eq!(users.rules[0].expressions.len(), 3, "the port is loaded and compared");
    }

    #[test]
    fn a_table_cut_anywhere_is_none_or_a_shorter_one() {
        let (info, bytes) = bytes();
        for length in 0..bytes.len() {
            let _ = table("filter", false, &info, &bytes[..length]);
            let _ = table("filter", true, &info, &bytes[..length]);
        }
    }
}
