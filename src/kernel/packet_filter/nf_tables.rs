//! The rules of nf_tables, as the kernel lists them over nfnetlink.

mod attribute;
mod expression;
mod set;

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use netlink_sys::protocols::NETLINK_NETFILTER;
use nix::libc::{
    NFNL_SUBSYS_NFTABLES, NFT_MSG_GETCHAIN, NFT_MSG_GETRULE, NFT_MSG_GETSET, NFT_MSG_GETSETELEM,
    NFT_MSG_GETTABLE,
};

use super::element_set::ElementSet;
use super::rule::{BaseChain, FilterRule, FilterTable, Hook, RuleChain, RuleOwner, TableFamily};
use crate::kernel::netlink;
use attribute::{Nest, name};
use set::ListedElement;

/// The length of `struct nfgenmsg`, whose first byte is the address family.
const HEADER: usize = 4;

/// The tables with chains that packets enter, and all rules in them.
///
/// # Errors
///
/// `EPERM` without CAP_NET_ADMIN over this network namespace; `EPROTONOSUPPORT` and `EOPNOTSUPP` where this kernel has
/// no nf_tables.
pub(super) fn tables() -> io::Result<Vec<FilterTable>> {
    let mut tables = Tables::default();
    list(NFT_MSG_GETTABLE, |family, message| tables.add_table(family, message))?;
    if tables.tables.is_empty() {
        return Ok(Vec::new());
    }
    list(NFT_MSG_GETCHAIN, |family, message| tables.add_chain(family, message))?;
    if tables.has_entry() {
        list(NFT_MSG_GETRULE, |family, message| tables.add_rule(family, message))?;
    }
    Ok(tables.tables.into_values().collect())
}

/// A set, with its elements.
///
/// # Errors
///
/// As [`tables`]; `ENOENT` where there is none of this name.
pub(super) fn element_set(family: TableFamily, table: &str, set: &str) -> io::Result<ElementSet> {
    const TABLE: u16 = 1;
    const NAME: u16 = 2;
    let mut request = vec![number(family), 0, 0, 0];
    for (kind, name) in [(TABLE, table), (NAME, set)] {
        netlink::attribute(&mut request, kind, &[name.as_bytes(), &[0]].concat());
    }
    let reply = netlink::ask(NETLINK_NETFILTER, kind(NFT_MSG_GETSET), 0, &request)?;
    let mut found = set::description(Nest(reply.payload.get(HEADER..).unwrap_or_default()));
    let mut listed: Vec<ListedElement> = Vec::new();
    for message in netlink::list(NETLINK_NETFILTER, kind(NFT_MSG_GETSETELEM), &request)? {
        set::elements(Nest(message.payload.get(HEADER..).unwrap_or_default()), &mut listed);
    }
    set::fill(&mut found, listed);
    Ok(found)
}

fn kind(message: i32) -> u16 {
    (NFNL_SUBSYS_NFTABLES << 8) as u16 | message as u16
}

/// All of one kind, of every family.
fn list(message: i32, mut take: impl FnMut(u8, Nest<'_>)) -> io::Result<()> {
    for message in netlink::list(NETLINK_NETFILTER, kind(message), &[0; HEADER])? {
        if let Some((header, attributes)) = message.payload.split_at_checked(HEADER) {
            take(header.first().copied().unwrap_or(0), Nest(attributes));
        }
    }
    Ok(())
}

/// `NFPROTO_INET` and so on.
fn number(family: TableFamily) -> u8 {
    match family {
        TableFamily::Inet => 1,
        TableFamily::Ipv4 => 2,
        TableFamily::Netdev => 5,
        TableFamily::Ipv6 => 10,
    }
}

fn family(number: u8) -> Option<TableFamily> {
    Some(match number {
        1 => TableFamily::Inet,
        2 => TableFamily::Ipv4,
        5 => TableFamily::Netdev,
        10 => TableFamily::Ipv6,
        _ => return None,
    })
}

/// What has been listed, by family and name.
#[derive(Default)]
struct Tables {
    tables: BTreeMap<(TableFamily, String), FilterTable>,
    /// No packet enters a chain of these: `NFT_TABLE_F_DORMANT`.
    dormant: BTreeSet<(TableFamily, String)>,
}

impl Tables {
    fn add_table(&mut self, number: u8, message: Nest<'_>) {
        const NAME: u16 = 1;
        const FLAGS: u16 = 2;
        const DORMANT: u32 = 1;
        let (Some(family), Some(name)) = (family(number), message.name(NAME)) else { return };
        let key = (family, name.clone());
        if message.number(FLAGS).unwrap_or(0) & DORMANT != 0 {
            self.dormant.insert(key.clone());
        }
        let table = FilterTable { owner: RuleOwner::Nft, family, name, chains: BTreeMap::new() };
        self.tables.insert(key, table);
    }

    fn add_chain(&mut self, number: u8, message: Nest<'_>) {
        const TABLE: u16 = 1;
        const NAME: u16 = 3;
        let (Some(family), Some(table)) = (family(number), message.name(TABLE)) else { return };
        let key = (family, table);
        let is_dormant = self.dormant.contains(&key);
        let (Some(table), Some(name)) = (self.tables.get_mut(&key), message.name(NAME)) else { return };
        let base = if is_dormant { None } else { base(message, family) };
        table.chains.insert(name, RuleChain { base, rules: Vec::new() });
    }

    fn has_entry(&self) -> bool {
        self.tables.values().flat_map(|table| table.chains.values()).any(|chain| chain.base.is_some())
    }

    fn add_rule(&mut self, number: u8, message: Nest<'_>) {
        const TABLE: u16 = 1;
        const CHAIN: u16 = 2;
        const HANDLE: u16 = 3;
        let (Some(family), Some(table)) = (family(number), message.name(TABLE)) else { return };
        let chains = self.tables.get_mut(&(family, table)).map(|table| &mut table.chains);
        let chain = chains.zip(message.name(CHAIN)).and_then(|(chains, name)| chains.get_mut(&name));
        if let (Some(chain), Some(number)) = (chain, message.long(HANDLE)) {
            let expressions = expression::expressions(message, family);
            chain.rules.push(FilterRule { number, expressions });
        }
    }
}

/// How packets enter a chain, if they do.
fn base(chain: Nest<'_>, family: TableFamily) -> Option<BaseChain> {
    const HOOK: u16 = 4;
    const POLICY: u16 = 5;
    const TYPE: u16 = 7;
    const NUMBER: u16 = 1;
    const PRIORITY: u16 = 2;
    const DEVICE: u16 = 3;
    const DEVICES: u16 = 4;
    const PREFIX: u16 = 2;
    let hook = chain.nest(HOOK)?;
    // Since Linux 6.16 there may be prefixes among them.
    let devices = netlink::attributes(hook.get(DEVICES).unwrap_or_default())
        .map(|(kind, device)| if kind == PREFIX { format!("{}*", name(device)) } else { name(device) });
    Some(BaseChain {
        hook: Hook::from_number(hook.number(NUMBER)?, family)?,
        priority: hook.number(PRIORITY)? as i32,
        is_nat: chain.name(TYPE).is_some_and(|kind| kind == "nat"),
        drops: chain.number(POLICY) == Some(0),
        devices: hook.name(DEVICE).into_iter().chain(devices).collect(),
    })
}

/// Reads bytes as a reply of every kind, whatever they are.
pub(super) fn read_any(bytes: &[u8]) -> (Vec<FilterTable>, ElementSet) {
    let mut tables = Tables::default();
    let (number, message) = (bytes.first().copied().unwrap_or(0), Nest(bytes.get(1..).unwrap_or_default()));
    tables.add_table(number, message);
    tables.add_chain(number, message);
    tables.add_rule(number, message);
    let (mut found, mut listed) = (set::description(message), Vec::new());
    set::elements(message, &mut listed);
    set::fill(&mut found, listed);
    (tables.tables.into_values().collect(), found)
}
