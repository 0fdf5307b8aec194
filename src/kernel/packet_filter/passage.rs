//! A packet's way through all hooks: out of this host, over loopback, in from elsewhere.

use std::net::{IpAddr, SocketAddr};

use super::bits::Bits;
use super::packet::{ComingPacket, EndPoint, Interface, LOOPBACK, SocketUser, Tracking};
use super::rule::{BaseChain, FilterTable, Hook, TableFamily};
use super::ruling::{Effect, Ruling};
use super::sets::Sets;
use super::walk::{Flow, RuleWalk, ruling};
use crate::kernel::route::route;

/// `NF_IP_PRI_CONNTRACK`: from here on connection tracking knows a packet.
const CONNTRACK: i32 = -200;
/// `NF_IP_PRI_NAT_DST` and `NF_IP_PRI_NAT_SRC`: all chains of translation are entered there.
const DESTINATION_NAT: i32 = -100;
const SOURCE_NAT: i32 = 100;

/// What rules make of a packet.
#[derive(Debug, Default)]
pub(crate) struct Passage {
    /// The rule that ends its way.
    pub(crate) stopped: Option<Ruling>,
    /// The rule that sends it elsewhere.
    pub(crate) sent: Option<Ruling>,
    /// What else may become of it, by what is not known.
    pub(crate) doubts: Vec<Ruling>,
}

/// All rules of this network namespace.
pub(super) struct Ruleset {
    pub(super) tables: Vec<FilterTable>,
    pub(super) sets: Sets,
}

/// A packet on its way from hook to hook.
pub(super) struct Journey<'a> {
    rules: &'a Ruleset,
    pub(super) packet: ComingPacket,
    pub(super) passage: Passage,
    /// Whether the connection has had its addresses translated, or left as they are: for its destination, its source.
    is_translated: [bool; 2],
    /// What connection tracking takes it for.
    tracked_as: Tracking,
    is_reply: bool,
}

impl<'a> Journey<'a> {
    pub(super) fn new(rules: &'a Ruleset, packet: ComingPacket) -> Self {
        let (passage, tracked_as) = (Passage::default(), Tracking::New);
        Self { rules, packet, passage, is_translated: [false; 2], tracked_as, is_reply: false }
    }

    /// Through all chains of a hook, unless its way has ended.
    pub(super) fn through(&mut self, hook: Hook) {
        if self.passage.stopped.is_some() {
            return;
        }
        let kind = translated_at(hook);
        for (table, name, base) in self.chains(hook) {
            if order(base).0 >= CONNTRACK && matches!(hook, Hook::Output | Hook::Prerouting) {
                self.track();
            }
            let is_done = kind.is_none_or(|kind| self.is_translated.get(kind) == Some(&true));
            let is_first = matches!(self.packet.tracking, Tracking::New | Tracking::Unknown);
            if base.is_nat && (is_done || !is_first) {
                continue;
            }
            let Some(doubt) = self.meets(base) else { continue };
            if let Some(Ruling { effect: Effect::SendTo(ip, port), .. }) =
                self.enter(hook, table, name, base, doubt)
            {
                self.send_to(ip, port);
                if let Some(done) = kind.and_then(|kind| self.is_translated.get_mut(kind)) {
                    *done = true;
                }
            }
            if self.passage.stopped.is_some() {
                return;
            }
        }
        if matches!(hook, Hook::Output | Hook::Prerouting) {
            self.track();
        }
        if let Some(done) = kind.and_then(|kind| self.is_translated.get_mut(kind)) {
            *done = true;
        }
    }

    /// The chains of a hook in their order.
    fn chains(&self, hook: Hook) -> Vec<(&'a FilterTable, &'a str, &'a BaseChain)> {
        let family = if self.packet.is_ipv6 { TableFamily::Ipv6 } else { TableFamily::Ipv4 };
        let mut chains = Vec::new();
        for table in &self.rules.tables {
            if [family, TableFamily::Inet, TableFamily::Netdev].contains(&table.family) {
                let entries = table.chains.iter().filter_map(|(name, chain)| {
                    let base = chain.base.as_ref().filter(|base| base.hook == hook)?;
                    Some((table, name.as_str(), base))
                });
                chains.extend(entries);
            }
        }
        chains.sort_by_key(|(_, _, base)| order(base));
        chains
    }

    /// Whether the packet passes the devices of a chain, or may: then the doubt.
    fn meets(&self, base: &BaseChain) -> Option<Option<&'static str>> {
        let interface = match base.hook {
            Hook::Ingress => self.packet.incoming,
            Hook::Egress => self.packet.outgoing,
            _ => return Some(None),
        };
        let is_named = |name: &str| {
            base.devices.iter().any(|device| match device.strip_suffix('*') {
                Some(prefix) => name.starts_with(prefix),
                None => device == name,
            })
        };
        match interface.known_name() {
            Some(name) => is_named(&name).then_some(None),
            None => base.devices.iter().any(|device| device != "lo").then_some(Some("the interface")),
        }
    }

    /// Through one chain and its policy; what it does for sure.
    fn enter(
        &mut self,
        hook: Hook,
        table: &FilterTable,
        name: &str,
        base: &BaseChain,
        doubt: Option<&str>,
    ) -> Option<Ruling> {
        let mut walk = RuleWalk::new(&self.rules.sets, hook, &mut self.packet);
        let flow = walk.chain(table, name, doubt);
        let alternatives = walk.alternatives;
        let drops = || ruling(table, name, None, Effect::Drop, doubt.map(str::to_owned));
        let policy = base.drops.then(drops);
        let ruling = match flow {
            Flow::Through => policy,
            Flow::Ended(ruling) => ruling,
        };
        let is_reply = self.is_reply;
        let of_this = |ruling: Ruling| Ruling { is_reply, ..ruling };
        let effect = ruling.as_ref().map_or(Effect::Accept, |ruling| ruling.effect.clone());
        let mut others = alternatives.into_iter().filter(|other| other.effect != effect).peekable();
        let depends = others.peek().and_then(|other| other.depends.clone());
        let doubts = others.filter(|other| other.effect != Effect::Accept).map(of_this);
        let ruling = ruling.filter(|ruling| ruling.effect != Effect::Accept);
        let Some(mut ruling) = ruling.map(of_this) else {
            self.passage.doubts.extend(doubts);
            return None;
        };
        ruling.depends = ruling.depends.or(depends);
        if matches!(ruling.effect, Effect::Unfollowed(_)) || ruling.depends.is_some() {
            self.passage.doubts.push(ruling);
            self.passage.doubts.extend(doubts);
            return None;
        }
        match ruling.effect {
            Effect::SendTo(..) => self.passage.sent = Some(ruling.clone()),
            _ => self.passage.stopped = Some(ruling.clone()),
        }
        Some(ruling)
    }

    fn track(&mut self) {
        if self.packet.tracking == Tracking::Invalid {
            self.packet.tracking = self.tracked_as;
        }
    }

    fn send_to(&mut self, ip: Option<IpAddr>, port: Option<u16>) {
        self.packet.original = Some(self.packet.destination);
        let is_local =
            ip.and_then(|ip| route(SocketAddr::new(ip, 0), None, None).ok()).map(|route| route.local);
        self.packet.destination = EndPoint { ip, port, is_local };
    }

    /// The way over loopback: out, and in again.
    pub(super) fn over_loopback(&mut self) {
        self.packet.outgoing = Interface::Number(LOOPBACK);
        self.leave();
        self.packet.incoming = Interface::Number(LOOPBACK);
        self.arrive();
    }

    /// Out, by the interface that is known by now.
    pub(super) fn leave(&mut self) {
        self.through(Hook::Postrouting);
        self.through(Hook::Egress);
    }

    /// In, from an interface to a socket.
    pub(super) fn arrive(&mut self) {
        self.packet.outgoing = Interface::None;
        // A packet that comes in has no socket, and a mark only if it has come over loopback.
        self.packet.user = SocketUser::None;
        self.through(Hook::Ingress);
        self.through(Hook::Prerouting);
        // What is sent on to another host comes to no socket here.
        if self.packet.destination.is_local != Some(false) {
            self.through(Hook::Input);
        }
    }

    /// The reply to a packet that has arrived, before it is sent from a socket of this user.
    pub(super) fn reply(&self, user: SocketUser) -> Self {
        let packet = &self.packet;
        let tracked_as = match packet.tracking {
            // Tracked on its way back alone, it is one in the middle of an unknown connection.
            Tracking::Untracked => Tracking::Invalid,
            Tracking::Unknown => Tracking::Unknown,
            Tracking::Invalid | Tracking::New | Tracking::Established => Tracking::Established,
        };
        let packet = ComingPacket {
            source: packet.destination,
            destination: packet.source,
            incoming: Interface::None,
            outgoing: packet.incoming,
            // With ACK, and with SYN or RST.
            flags: (0b11_1001, 0b01_0000),
            tracking: Tracking::Invalid,
            mark: Bits::number(0),
            user,
            ..packet.clone()
        };
        Self { packet, passage: Passage::default(), tracked_as, is_reply: true, ..*self }
    }

    /// Gives the reply the source that the connection had at first.
    pub(super) fn translate_back(&mut self) {
        if let Some(original) = self.packet.original {
            self.packet.source = original;
        }
    }
}

/// Whether the destination, 0, or the source, 1, is translated at a hook.
fn translated_at(hook: Hook) -> Option<usize> {
    match hook {
        Hook::Output | Hook::Prerouting => Some(0),
        Hook::Postrouting | Hook::Input => Some(1),
        Hook::Forward | Hook::Ingress | Hook::Egress => None,
    }
}

fn order(base: &BaseChain) -> (i32, i32) {
    match (base.is_nat, translated_at(base.hook)) {
        (true, Some(0)) => (DESTINATION_NAT, base.priority),
        (true, _) => (SOURCE_NAT, base.priority),
        (false, _) => (base.priority, base.priority),
    }
}

/// An end point at this address; the wildcard address and port 0 are yet to be known.
pub(super) fn end_point(address: SocketAddr, is_local: Option<bool>) -> EndPoint {
    let port = Some(address.port()).filter(|&port| port != 0);
    let ip = Some(address.ip().to_canonical()).filter(|ip| !ip.is_unspecified());
    EndPoint { ip, port, is_local }
}
