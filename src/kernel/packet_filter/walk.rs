//! A packet's way through the chain of one hook.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::ifaddrs::{InterfaceAddress, getifaddrs};

use super::bits::Bits;
use super::describe::matches;
use super::element_set::{ElementData, Found};
use super::packet::{ComingPacket, Interface, LOOPBACK};
use super::registers::Registers;
use super::rule::{
    Expression, FilterRule, FilterTable, Hook, LookupTarget, MarkSource, NewAddress, NewIp, RuleVerdict,
};
use super::ruling::{Effect, Ruling, rejected_with};
use super::sets::Sets;
use crate::text::Escaped;

/// How deep chains lead to others: `NFT_JUMP_STACK_SIZE`.
const DEPTH: usize = 16;
/// How many rules are looked at for one hook.
const RULES: usize = 200_000;

/// One packet on its way.
pub(super) struct RuleWalk<'a> {
    pub(super) sets: &'a Sets,
    pub(super) hook: Hook,
    pub(super) packet: &'a mut ComingPacket,
    /// What may become of it instead, by what is not known.
    pub(super) alternatives: Vec<Ruling>,
    /// Sets that its own rules have added to.
    learned: BTreeSet<String>,
    /// How many rules more are looked at.
    left: usize,
    depth: usize,
}

/// How a chain was left.
pub(super) enum Flow {
    /// At its end, or by RETURN.
    Through,
    /// By a rule that ends the packet's way through all of this hook; without one where even that is an alternative.
    Ended(Option<Ruling>),
}

/// What a rule that matches does.
enum Action {
    End(Effect),
    Return,
    Jump(String),
    Goto(String),
}

/// A rule that matches, or may by what it depends on.
struct Applied {
    action: Option<Action>,
    depends: Option<String>,
}

/// What comes of an expression.
enum RuleStep {
    GoOn,
    /// It goes on or not, by this.
    May(String),
    DoesNotMatch,
    Acts(Action),
}

impl<'a> RuleWalk<'a> {
    pub(super) fn new(sets: &'a Sets, hook: Hook, packet: &'a mut ComingPacket) -> Self {
        Self { sets, hook, packet, alternatives: Vec::new(), learned: BTreeSet::new(), left: RULES, depth: 0 }
    }

    /// Goes through a chain; under a doubt all that it says is an alternative.
    pub(super) fn chain(&mut self, table: &FilterTable, name: &str, doubt: Option<&str>) -> Flow {
        self.depth += 1;
        let flow = self.rules(table, name, doubt);
        self.depth -= 1;
        flow
    }

    fn rules(&mut self, table: &FilterTable, name: &str, doubt: Option<&str>) -> Flow {
        // What may have led out of this chain already.
        let mut left_by: Option<String> = None;
        for rule in table.chains.get(name).map_or(&[][..], |chain| &chain.rules) {
            let here = |effect, depends| ruling(table, name, Some(rule), effect, depends);
            if self.left == 0 || self.depth > DEPTH {
                let effect = Effect::Unfollowed("there are too many rules, or too deep".to_owned());
                let depends = Some("rules that were not followed".to_owned());
                self.alternatives.push(here(effect, depends));
                return Flow::Through;
            }
            self.left -= 1;
            let doubt = doubt.map(str::to_owned).or_else(|| left_by.clone());
            let Some(Applied { action, depends }) = self.rule(table, rule, doubt.is_some()) else { continue };
            let is_certain = depends.is_none();
            let depends = doubt.or(depends);
            let flow = match action {
                None => continue,
                Some(Action::End(effect)) => self.end(here(effect, depends.clone())),
                Some(Action::Jump(to)) => match self.chain(table, &to, depends.as_deref()) {
                    Flow::Through => continue,
                    ended => ended,
                },
                Some(Action::Goto(to)) => self.chain(table, &to, depends.as_deref()),
                Some(Action::Return) => Flow::Through,
            };
            match (is_certain, &left_by) {
                (true, None) => return flow,
                (true, Some(_)) => return Flow::Through,
                // Where it may have led back, all that follows is doubtful.
                (false, _) if matches!(flow, Flow::Through) => left_by = left_by.or(depends),
                (false, _) => {}
            }
        }
        Flow::Through
    }

    fn end(&mut self, ruling: Ruling) -> Flow {
        if ruling.depends.is_none() {
            return Flow::Ended(Some(ruling));
        }
        self.alternatives.push(ruling);
        Flow::Ended(None)
    }

    fn rule(&mut self, table: &FilterTable, rule: &FilterRule, is_doubtful: bool) -> Option<Applied> {
        let mut registers = Registers::new();
        let mut depends: Option<String> = None;
        for expression in &rule.expressions {
            match self.step(table, expression, &mut registers, is_doubtful || depends.is_some()) {
                RuleStep::GoOn => {}
                RuleStep::May(about) => depends = depends.or(Some(about)),
                RuleStep::DoesNotMatch => return None,
                RuleStep::Acts(action) => return Some(Applied { action: Some(action), depends }),
            }
        }
        Some(Applied { action: None, depends })
    }

    fn step(
        &mut self,
        table: &FilterTable,
        expression: &Expression,
        registers: &mut Registers,
        is_doubtful: bool,
    ) -> RuleStep {
        match expression {
            Expression::Load { to, field } => match self.packet.field(*field, self.hook) {
                Some(value) => registers.write(*to, &value),
                None => return RuleStep::DoesNotMatch,
            },
            Expression::Constant { to, bytes } => registers.write(*to, &Bits::exact(bytes)),
            Expression::Mask { from, to, mask, flip } => {
                let value = registers.read(*from, mask.len()).masked(mask, flip);
                registers.write(*to, &value);
            }
            Expression::Swap { from, to, length, size } => {
                let value = registers.read(*from, *length).swapped(*size);
                registers.write(*to, &value);
            }
            Expression::Computed { to, length, about } => {
                registers.write(*to, &Bits::unknown((*length).min(64), about));
            }
            Expression::Among { from, ranges, inverted } => {
                return among(registers, *from, ranges, *inverted);
            }
            Expression::Lookup { from, set, to, inverted } => {
                return self.look_up(table, registers, *from, set, *to, *inverted);
            }
            Expression::Uncertain(about) => return RuleStep::May(about.clone()),
            Expression::Learn { set } => {
                self.learned.insert(set.clone());
            }
            Expression::SetMark { mask, value } => self.set_mark(registers, *mask, *value, is_doubtful),
            Expression::NoTrack => self.packet.leave_untracked(is_doubtful),
            Expression::SendTo(address) => return RuleStep::Acts(self.send_to(registers, address)),
            Expression::NewSource => return RuleStep::Acts(Action::End(self.new_source())),
            Expression::Masquerade => return RuleStep::Acts(Action::End(self.masquerade())),
            Expression::Verdict(verdict) => return verdict.clone().into(),
            Expression::Reject(rejection) => {
                let errno = rejected_with(*rejection, self.packet.is_ipv6);
                return RuleStep::Acts(Action::End(Effect::Reject(errno)));
            }
            Expression::Unfollowed(what) => {
                return RuleStep::Acts(Action::End(Effect::Unfollowed(what.clone())));
            }
        }
        RuleStep::GoOn
    }

    fn look_up(
        &mut self,
        table: &FilterTable,
        registers: &mut Registers,
        from: usize,
        name: &str,
        to: Option<LookupTarget>,
        inverted: bool,
    ) -> RuleStep {
        let shown = Escaped(name.as_bytes());
        let unread = || format!("the set {shown}, which cannot be read");
        let Some(set) = self.sets.get(table, name).filter(|_| !self.learned.contains(name)) else {
            return match to {
                None => RuleStep::May(unread()),
                Some(LookupTarget::Verdict) => RuleStep::Acts(Action::End(Effect::Unfollowed(unread()))),
                Some(LookupTarget::Register(to)) => {
                    registers.write(to, &Bits::unknown(16, "a map that cannot be read"));
                    RuleStep::May(unread())
                }
            };
        };
        let key = registers.read(from, set.key_length);
        match (set.find(&key), to) {
            (Found::This(ElementData::Limited), _) => RuleStep::May(format!("a limit in the set {shown}")),
            (Found::This(_), None) if inverted => RuleStep::DoesNotMatch,
            (Found::This(_), None) => RuleStep::GoOn,
            (Found::Nothing, None) if inverted => RuleStep::GoOn,
            (Found::Nothing, _) => RuleStep::DoesNotMatch,
            (Found::OneOf(_, about), None) => RuleStep::May(about.to_owned()),
            (Found::This(ElementData::Value(value)), Some(LookupTarget::Register(to))) => {
                registers.write(to, &Bits::exact(value));
                RuleStep::GoOn
            }
            (Found::This(ElementData::Verdict(verdict)), Some(LookupTarget::Verdict)) => {
                verdict.clone().into()
            }
            (Found::This(_), Some(_)) => RuleStep::May(format!("what the map {shown} has")),
            (Found::OneOf(_, about), Some(LookupTarget::Register(to))) => {
                registers.write(to, &Bits::unknown(16, about));
                RuleStep::May(about.to_owned())
            }
            (Found::OneOf(all, about), Some(LookupTarget::Verdict)) => {
                for data in all {
                    if let ElementData::Verdict(verdict) = data {
                        self.verdict_of_map(table, name, verdict.clone(), about);
                    }
                }
                RuleStep::May(about.to_owned())
            }
        }
    }

    /// One of several verdicts, each an alternative.
    fn verdict_of_map(&mut self, table: &FilterTable, map: &str, verdict: RuleVerdict, about: &str) {
        match verdict.into() {
            RuleStep::Acts(Action::End(effect)) => {
                let map = Escaped(map.as_bytes());
                self.alternatives.push(Ruling {
                    place: format!("{table}, map {map}"),
                    matches: String::new(),
                    command: "nft list ruleset".to_owned(),
                    effect,
                    depends: Some(about.to_owned()),
                    is_reply: false,
                });
            }
            RuleStep::Acts(Action::Jump(to) | Action::Goto(to)) => drop(self.chain(table, &to, Some(about))),
            _ => {}
        }
    }

    fn set_mark(&mut self, registers: &Registers, mask: u32, value: Option<MarkSource>, is_doubtful: bool) {
        const ABOUT: &str = "a mark that another rule sets";
        let value = match value {
            Some(MarkSource::Register(from)) => Some(registers.read(from, 4)),
            Some(MarkSource::Number(number)) => {
                Some(self.packet.mark.masked(&(!mask).to_ne_bytes(), &number.to_ne_bytes()))
            }
            None => None,
        };
        let value = value.filter(|value| !is_doubtful && value.value().is_some());
        self.packet.mark = value.unwrap_or_else(|| Bits::unknown(4, ABOUT));
    }

    /// Over loopback a reply to another source may not come back.
    fn new_source(&self) -> Effect {
        match self.packet.outgoing {
            Interface::Number(LOOPBACK) => Effect::Unfollowed("another source over loopback".to_owned()),
            _ => Effect::Accept,
        }
    }

    /// lo has no address that is any other host's to know: it takes one of another interface, and without one the packet is
    /// dropped (`nf_nat_masquerade_ipv4`).
    fn masquerade(&self) -> Effect {
        let is_ipv4 = |address: InterfaceAddress| {
            let ip = address.address.and_then(|address| address.as_sockaddr_in().map(|address| address.ip()));
            ip.is_some_and(|ip| !ip.is_loopback())
        };
        let over_loopback = self.packet.outgoing == Interface::Number(LOOPBACK) && !self.packet.is_ipv6;
        if over_loopback && !getifaddrs().into_iter().flatten().any(is_ipv4) {
            return Effect::Drop;
        }
        Effect::Accept
    }

    fn send_to(&self, registers: &Registers, address: &NewAddress) -> Action {
        let packet = &*self.packet;
        let length = if packet.is_ipv6 { 16 } else { 4 };
        let ip = match address.ip {
            NewIp::Unchanged => packet.destination.ip,
            NewIp::ThisHost if self.hook == Hook::Output && packet.is_ipv6 => {
                Some(Ipv6Addr::LOCALHOST.into())
            }
            NewIp::ThisHost if self.hook == Hook::Output => Some(Ipv4Addr::LOCALHOST.into()),
            NewIp::ThisHost | NewIp::Computed => None,
            NewIp::Registers(least, most) => {
                let [least, most] = [least, most].map(|at| registers.read(at, length));
                if least.value() == most.value() { least.value().and_then(ip_of) } else { None }
            }
        };
        let port = match address.port {
            None => packet.destination.port,
            Some((least, most)) => {
                let [least, most] = [least, most].map(|at| port_of(&registers.read(at, 2)));
                match (least, most, packet.destination.port) {
                    (Some(least), Some(most), _) if least == most => Some(least),
                    (Some(least), Some(most), Some(port))
                        if (least..=most).contains(&port) && !address.is_random =>
                    {
                        Some(port)
                    }
                    _ => None,
                }
            }
        };
        Action::End(Effect::SendTo(ip, port))
    }
}

/// What a rule does, or the policy of its chain.
pub(super) fn ruling(
    table: &FilterTable,
    chain: &str,
    rule: Option<&FilterRule>,
    effect: Effect,
    depends: Option<String>,
) -> Ruling {
    Ruling {
        place: table.place(chain, rule.map(|rule| rule.number)),
        matches: rule.map(|rule| matches(&rule.expressions)).unwrap_or_default(),
        command: table.command(chain),
        effect,
        depends,
        is_reply: false,
    }
}

fn ip_of(bytes: &[u8]) -> Option<IpAddr> {
    let of_ipv4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    of_ipv4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn port_of(bits: &Bits) -> Option<u16> {
    bits.value()?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

fn among(registers: &Registers, from: usize, ranges: &[(Vec<u8>, Vec<u8>)], inverted: bool) -> RuleStep {
    let (mut is_there, mut about) = (Some(false), "");
    for (low, high) in ranges {
        let value = registers.read(from, low.len());
        match value.is_within(low, high) {
            Some(true) => is_there = Some(true),
            Some(false) => {}
            None if is_there == Some(true) => {}
            None => (is_there, about) = (None, value.about),
        }
    }
    match is_there {
        Some(is_there) if is_there != inverted => RuleStep::GoOn,
        Some(_) => RuleStep::DoesNotMatch,
        None => RuleStep::May(if about.is_empty() { "what cannot be compared" } else { about }.to_owned()),
    }
}

impl From<RuleVerdict> for RuleStep {
    fn from(verdict: RuleVerdict) -> Self {
        Self::Acts(match verdict {
            RuleVerdict::Accept => Action::End(Effect::Accept),
            RuleVerdict::Drop => Action::End(Effect::Drop),
            RuleVerdict::Queue => Action::End(Effect::Unfollowed("a program decides (NFQUEUE)".to_owned())),
            RuleVerdict::Return => Action::Return,
            RuleVerdict::Jump(chain) => Action::Jump(chain),
            RuleVerdict::Goto(chain) => Action::Goto(chain),
            RuleVerdict::Continue => return Self::GoOn,
        })
    }
}
