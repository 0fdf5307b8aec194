//! Rules as they are evaluated, whoever made them: nf_tables' own, and those of iptables in the same terms.

use std::collections::BTreeMap;
use std::fmt;

use crate::text::Escaped;

/// Where packets meet chains, by the number that nf_tables and iptables have for it (`enum nf_inet_hooks`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hook {
    Prerouting,
    Input,
    Forward,
    Output,
    Postrouting,
    /// Of a device, before all others.
    Ingress,
    /// Of a device, behind all others.
    Egress,
}

/// Which packets a table sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TableFamily {
    /// Both that follow.
    Inet,
    Ipv4,
    Ipv6,
    /// Those of some devices.
    Netdev,
}

/// Whose rules: the command that lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RuleOwner {
    Nft,
    /// iptables-legacy and ip6tables-legacy.
    Iptables,
}

/// A table, and its chains by name.
#[derive(Debug)]
pub(crate) struct FilterTable {
    pub(crate) owner: RuleOwner,
    pub(crate) family: TableFamily,
    pub(crate) name: String,
    pub(crate) chains: BTreeMap<String, RuleChain>,
}

/// Rules one after the other.
#[derive(Debug, Default)]
pub(crate) struct RuleChain {
    /// Where packets enter it; without, other chains jump there.
    pub(crate) base: Option<BaseChain>,
    pub(crate) rules: Vec<FilterRule>,
}

/// How a chain is entered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BaseChain {
    pub(crate) hook: Hook,
    /// Chains of one hook are entered from the lowest to the highest.
    pub(crate) priority: i32,
    /// Whether only the first packet of a connection enters it, to have its addresses translated.
    pub(crate) is_nat: bool,
    /// What becomes of a packet that comes to its end.
    pub(crate) drops: bool,
    /// Where its hook is a device's: which.
    pub(crate) devices: Vec<String>,
}

/// What must match, and what is done then.
#[derive(Debug)]
pub(crate) struct FilterRule {
    /// As `nft -a list ruleset` and `iptables -L --line-numbers` number it.
    pub(crate) number: u64,
    pub(crate) expressions: Vec<Expression>,
}

/// Where nf_tables keeps values while it evaluates a rule: an offset into 64 bytes.
pub(crate) type Register = usize;

/// A step of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expression {
    /// Puts something of the packet into a register.
    Load {
        to: Register,
        field: Field,
    },
    /// Puts a constant into a register.
    Constant {
        to: Register,
        bytes: Vec<u8>,
    },
    /// `(from & mask) ^ flip`.
    Mask {
        from: Register,
        to: Register,
        mask: Vec<u8>,
        flip: Vec<u8>,
    },
    /// Changes the order of bytes, `size` by `size`.
    Swap {
        from: Register,
        to: Register,
        length: usize,
        size: usize,
    },
    /// Puts something into a register that is computed in a way not followed here.
    Computed {
        to: Register,
        length: usize,
        about: &'static str,
    },
    /// Goes on where the value lies in one of these ranges, or in none of them.
    Among {
        from: Register,
        ranges: Vec<(Vec<u8>, Vec<u8>)>,
        inverted: bool,
    },
    /// Goes on where a set has the value, or has not; where the set is a map, with what it maps the value to.
    Lookup {
        from: Register,
        set: String,
        to: Option<LookupTarget>,
        inverted: bool,
    },
    /// Goes on or not, by something not followed here.
    Uncertain(String),
    /// Adds to a set while packets pass, so that what it holds is another thing for the next rule.
    Learn {
        set: String,
    },
    /// Sets the packet's mark: `(mark & !mask) ^ value`, or to what is not known.
    SetMark {
        mask: u32,
        value: Option<MarkSource>,
    },
    /// Has the connection not tracked.
    NoTrack,
    /// Sends the connection elsewhere.
    SendTo(NewAddress),
    /// Gives the connection another source, which ends the chain.
    NewSource,
    /// Gives it the address of the interface, or drops it where there is none.
    Masquerade,
    /// Ends the chain, or leads to another.
    Verdict(RuleVerdict),
    Reject(Rejection),
    /// Ends the rule with something not followed here, which may end the packet's way.
    Unfollowed(String),
}

/// Where a lookup puts what it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LookupTarget {
    /// It is a verdict.
    Verdict,
    Register(Register),
}

/// Where a mark comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MarkSource {
    Register(Register),
    Number(u32),
}

/// Something of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// Of the IP header.
    Network { offset: usize, length: usize },
    /// Of the TCP header.
    Transport { offset: usize, length: usize },
    /// `enum nft_meta_keys`.
    Meta(u32),
    /// `enum nft_ct_keys`; of the original direction where one is named.
    Conntrack(u32),
    /// The same state as `iptables -m conntrack` numbers it, with SNAT and DNAT.
    ConntrackStates,
    /// What kind of address the source or the destination is, `RTN_LOCAL` and so on.
    AddressType { of_source: bool },
    /// Whether the way back leads over the interface that it came by: the interface, or 1.
    ReversePath { is_presence: bool },
}

/// What a rule says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RuleVerdict {
    Accept,
    Drop,
    /// A program decides: NFQUEUE.
    Queue,
    Continue,
    Return,
    Jump(String),
    Goto(String),
}

/// What a packet is refused with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// With RST.
    Reset,
    /// With the ICMP message "destination unreachable" of this code.
    Unreachable(u8),
    /// The same, by nf_tables' own numbers for both address families.
    Icmpx(u8),
}

/// Where a connection is sent: registers with an address and a port, their least and most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewAddress {
    pub(crate) ip: NewIp,
    pub(crate) port: Option<(Register, Register)>,
    /// The port is chosen at random.
    pub(crate) is_random: bool,
}

/// Whose address a connection gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NewIp {
    Unchanged,
    /// This host's: 127.0.0.1 for what it sends itself, else that of the interface.
    ThisHost,
    Registers(Register, Register),
    /// One that is computed: NETMAP.
    Computed,
}

impl Hook {
    /// Of `enum nf_inet_hooks`, or of `enum nf_dev_hooks` for a table of devices.
    pub(crate) fn from_number(number: u32, family: TableFamily) -> Option<Self> {
        let hooks = match family {
            TableFamily::Netdev => &[Self::Ingress, Self::Egress][..],
            _ => &[
                Self::Prerouting,
                Self::Input,
                Self::Forward,
                Self::Output,
                Self::Postrouting,
                Self::Ingress,
            ],
        };
        hooks.get(usize::try_from(number).ok()?).copied()
    }
}

impl TableFamily {
    /// As nft(8) names it.
    fn word(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Ipv4 => "ip",
            Self::Ipv6 => "ip6",
            Self::Netdev => "netdev",
        }
    }
}

impl FilterTable {
    /// The command that shows a chain.
    pub(crate) fn command(&self, chain: &str) -> String {
        let [table, chain] = [&self.name, chain].map(|name| Escaped(name.as_bytes()).to_string());
        match (self.owner, self.family) {
            (RuleOwner::Nft, family) => format!("nft -a list chain {} {table} {chain}", family.word()),
            (RuleOwner::Iptables, TableFamily::Ipv6) => format!("ip6tables-legacy -t {table} -S {chain}"),
            (RuleOwner::Iptables, _) => format!("iptables-legacy -t {table} -S {chain}"),
        }
    }

    /// Where a rule is found again; without a number, the policy of a chain.
    pub(crate) fn place(&self, chain: &str, number: Option<u64>) -> String {
        let word = match self.owner {
            RuleOwner::Nft => "handle",
            RuleOwner::Iptables => "rule",
        };
        let chain = Escaped(chain.as_bytes());
        match number {
            Some(number) => format!("{self}, chain {chain}, {word} {number}"),
            None => format!("{self}, chain {chain}, policy"),
        }
    }
}

impl fmt::Display for FilterTable {
    /// As its own command names it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.owner, self.family) {
            (RuleOwner::Nft, family) => write!(f, "table {}", family.word())?,
            (RuleOwner::Iptables, TableFamily::Ipv6) => f.write_str("ip6tables-legacy table")?,
            (RuleOwner::Iptables, _) => f.write_str("iptables-legacy table")?,
        }
        write!(f, " {}", Escaped(self.name.as_bytes()))
    }
}
