//! Rules, and connections that meet them.

/// Rules, where a connection goes among them, and the rule that is to be named.
pub struct Situation {
    /// What builds them: nft(8) where the first word is none of iptables.
    pub rules: &'static [&'static str],
    pub to: &'static str,
    pub named: Named,
}

/// What is to be said of the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// This one decides.
    Rule(&'static str),
    /// One of them may decide.
    May,
    /// None of them matters.
    Nothing,
}

const fn situation(rules: &'static [&'static str], to: &'static str, named: Named) -> Situation {
    Situation { rules, to, named }
}

pub const IN: &str = "add table inet f; add chain inet f in { type filter hook input priority 0; }";
const OUT: &str = "add table inet f; add chain inet f out { type filter hook output priority 0; }";
pub const NAT: &str = "add table inet f; add chain inet f nat { type nat hook output priority -100; }";

pub const LISTENING: &str = "127.0.0.1:3000";
const LISTENING_IPV6: &str = "[::1]:3000";
pub const FREE: &str = "127.0.0.1:8080";

use Named::{May, Nothing, Rule};

/// Each is built from nothing.
#[rustfmt::skip]
pub const SITUATIONS: &[Situation] = &[
    situation(&[IN, "add rule inet f in tcp dport 3000 reject with tcp reset"],
        LISTENING, Rule("chain in, handle 2 rejects it with ECONNREFUSED")),
    situation(&[IN, "add rule inet f in tcp dport 22 accept", "add rule inet f in tcp dport 3000 drop"],
        LISTENING, Rule("chain in, handle 3 drops it")),
    situation(&[OUT, "add rule inet f out ip daddr 127.0.0.0/8 tcp dport 2990-3010 drop"],
        LISTENING, Rule("chain out, handle 2 drops it")),
    situation(&["add table ip f; add chain ip f in { type filter hook input priority 0; policy drop; }", "add rule ip f in tcp dport 22 accept"],
        LISTENING, Rule("table ip f, chain in, policy drops it")),
    situation(&[IN, "add rule inet f in ct state established accept", "add rule inet f in ct state new reject with icmpx admin-prohibited"],
        LISTENING, Rule("handle 3 rejects it with EHOSTUNREACH")),
    situation(&[IN, "add rule inet f in tcp dport vmap { 22 : accept, 3000 : drop }"],
        LISTENING, Rule("chain in, handle 3 drops it")),
    situation(&[IN, "add rule inet f in tcp dport { 80, 443, 3000 } reject"],
        LISTENING, Rule("rejects it with ECONNREFUSED")),
    situation(&[IN, "add rule inet f in tcp dport { 80, 2990-3005, 4000-4100 } drop"],
        LISTENING, Rule("chain in, handle 3 drops it")),
    situation(&[IN, "add set inet f closed { type inet_service; flags interval; elements = { 1-100, 3000 } }", "add rule inet f in tcp dport @closed drop"],
        LISTENING, Rule("drops it")),
    situation(&[IN, "add set inet f closed { type ipv4_addr . inet_service; elements = { 127.0.0.1 . 3000 } }", "add rule inet f in ip daddr . tcp dport @closed drop"],
        LISTENING, Rule("drops it")),
    situation(&[IN, "add set inet f closed { type ipv4_addr . inet_service; flags interval; elements = { 127.0.0.0/8 . 2000-4000 } }", "add rule inet f in ip daddr . tcp dport @closed drop"],
        LISTENING, Rule("drops it")),
    situation(&[IN, "add chain inet f more", "add rule inet f in iif lo jump more", "add rule inet f more tcp dport 3000 counter reject with icmpx host-unreachable"],
        LISTENING, Rule("chain more, handle 4 rejects it with EHOSTUNREACH")),
    situation(&[OUT, "add chain inet f more", "add rule inet f out meta l4proto tcp goto more", "add rule inet f more tcp flags & (syn|ack) == syn drop"],
        LISTENING, Rule("chain more, handle 4 drops it")),
    situation(&[OUT, "add rule inet f out meta skuid 0 tcp dport 3000 reject with tcp reset"],
        LISTENING, Rule("chain out, handle 2 rejects it")),
    situation(&[OUT, "add rule inet f out tcp sport 3000 drop"], LISTENING, Rule("drops the reply to it")),
    situation(&["add table inet f; add chain inet f pre { type filter hook prerouting priority -300; }", "add rule inet f pre iifname \"lo\" tcp dport 3000 drop"],
        LISTENING, Rule("chain pre, handle 2 drops it")),
    situation(&["add table ip f; add chain ip f post { type filter hook postrouting priority 0; }", "add rule ip f post oifname \"l*\" tcp dport 3000 drop"],
        LISTENING, Rule("chain post, handle 2 drops it")),
    situation(&[OUT, IN, "add rule inet f out tcp dport 3000 meta mark set 7", "add rule inet f in meta mark 7 drop"],
        LISTENING, Rule("chain in, handle 4 drops it")),
    situation(&[IN, "add rule inet f in fib daddr type local tcp dport 3000 drop"], LISTENING, Rule("drops it")),
    situation(&[IN, "add rule inet f in ip6 daddr ::1 tcp dport 3000 reject with icmpv6 no-route"],
        LISTENING_IPV6, Rule("rejects it with ENETUNREACH")),
    situation(&[NAT, "add rule inet f nat tcp dport 8080 redirect to :3000"], FREE, Rule("sends it to 127.0.0.1:3000")),
    situation(&[NAT, "add rule inet f nat ip daddr 127.0.0.1 tcp dport 3000 dnat ip to 127.0.0.1:3001"],
        LISTENING, Rule("sends it to 127.0.0.1:3001")),
    situation(&[NAT, "add rule inet f nat dnat ip to tcp dport map { 80 : 127.0.0.9 . 80, 8080 : 127.0.0.2 . 3001 }"],
        FREE, Rule("sends it to 127.0.0.2:3001")),
    situation(&[NAT, "add rule inet f nat tcp dport 3000 redirect to :3999"], LISTENING, Rule("sends it to 127.0.0.1:3999")),
    situation(&[NAT, "add rule inet f nat tcp dport 8080 redirect to :3000", IN, "add rule inet f in tcp dport 3000 reject with tcp reset"],
        FREE, Rule("rejects it")),
    situation(&["iptables-legacy -A INPUT -p tcp --dport 3000 -j DROP"],
        LISTENING, Rule("iptables-legacy table filter, chain INPUT, rule 1 drops it")),
    situation(&["iptables-legacy -A INPUT -p tcp --dport 22 -j ACCEPT", "iptables-legacy -A INPUT -p tcp -m multiport --dports 22,2990:3005 -j REJECT --reject-with icmp-host-prohibited"],
        LISTENING, Rule("chain INPUT, rule 2 rejects it with EHOSTUNREACH")),
    situation(&["iptables-legacy -t nat -A OUTPUT -p tcp --dport 8080 -j REDIRECT --to-ports 3001"],
        FREE, Rule("table nat, chain OUTPUT, rule 1 sends it to 127.0.0.1:3001")),
    situation(&["iptables-legacy -t nat -N ELSEWHERE", "iptables-legacy -t nat -A OUTPUT -d 127.0.0.1 -j ELSEWHERE", "iptables-legacy -t nat -A ELSEWHERE -p tcp --dport 3000 -j DNAT --to-destination 127.0.0.2:3001"],
        LISTENING, Rule("chain ELSEWHERE, rule 1 sends it to 127.0.0.2:3001")),
    situation(&["iptables-legacy -A OUTPUT -p tcp -m owner --uid-owner 0 -m comment --comment no -j REJECT --reject-with tcp-reset"],
        LISTENING, Rule("chain OUTPUT, rule 1 rejects it")),
    situation(&["iptables-legacy -P INPUT DROP", "iptables-legacy -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"],
        LISTENING, Rule("chain INPUT, policy drops it")),
    situation(&["ip6tables-legacy -A INPUT -i lo -p tcp --syn --dport 3000 -j REJECT --reject-with icmp6-adm-prohibited"],
        LISTENING_IPV6, Rule("ip6tables-legacy table filter, chain INPUT, rule 1 rejects it with EACCES")),
    situation(&["iptables-nft -A INPUT -p tcp -m multiport --dports 3000,4000 -j DROP"],
        LISTENING, Rule("table ip filter, chain INPUT, handle 2 drops it")),
    situation(&["iptables-nft -t nat -A OUTPUT -p tcp --dport 8080 -j REDIRECT --to-ports 3000"],
        FREE, Rule("sends it to 127.0.0.1:3000")),
    // No interface has an address that it could take.
    situation(&["add table ip f; add chain ip f post { type nat hook postrouting priority 100; }", "add rule ip f post masquerade"],
        LISTENING, Rule("chain post, handle 2 drops it")),
    situation(&[IN, "add rule inet f in limit rate over 1/hour burst 1 packets drop"], LISTENING, May),
    situation(&[IN, "add rule inet f in tcp dport 3000 numgen random mod 2 0 drop"], LISTENING, May),
    situation(&[IN, "add rule inet f in tcp option maxseg size 1-65535 drop"], LISTENING, May),
    situation(&["iptables-legacy -A INPUT -p tcp --dport 3000 -m statistic --mode random --probability 0.5 -j DROP"],
        LISTENING, May),
    situation(&["iptables-legacy -A OUTPUT -p tcp --dport 3000 -m length --length 40:100 -j REJECT"], LISTENING, May),
];

/// None of these matters for the connection, but the last.
#[rustfmt::skip]
pub const CONTROLS: &[Situation] = &[
    situation(&[IN, "add rule inet f in tcp dport 22 drop"], LISTENING, Nothing),
    situation(&[IN, "add rule inet f in counter", "add rule inet f in limit rate 1/second log"], LISTENING, Nothing),
    situation(&[IN, "add rule inet f in ip saddr 10.0.0.0/8 drop"], LISTENING, Nothing),
    situation(&[IN, "add rule inet f in iifname \"eth0\" drop"], LISTENING, Nothing),
    situation(&[IN, "add rule inet f in udp dport 3000 drop"], LISTENING, Nothing),
    situation(&["add table inet f; add chain inet f forwarded { type filter hook forward priority 0; policy drop; }"],
        LISTENING, Nothing),
    situation(&["add table ip f; add chain ip f pre { type nat hook prerouting priority -100; }", "add rule ip f pre tcp dport 3000 redirect to :3001"],
        LISTENING, Nothing),
    situation(&[IN, "add rule inet f in ct state invalid drop", "add rule inet f in ct state established,related accept"],
        LISTENING, Nothing),
    situation(&[OUT, "add rule inet f out meta skuid 4711 drop"], LISTENING, Nothing),
    situation(&["add table ip f { flags dormant; }; add chain ip f in { type filter hook input priority 0; policy drop; }"],
        LISTENING, Nothing),
    situation(&["add table ip f; add chain ip f post { type nat hook postrouting priority 100; }", "add rule ip f post oifname != \"lo\" masquerade"],
        LISTENING, Nothing),
    situation(&["add table ip6 f; add chain ip6 f in { type filter hook input priority 0; policy drop; }"],
        LISTENING, Nothing),
    situation(&[IN, "add rule inet f in tcp dport vmap { 22 : drop, 80-90 : drop }"], LISTENING, Nothing),
    situation(&["add table inet f; add chain inet f in { type filter hook input priority 0; policy drop; }", "add rule inet f in iif lo accept"],
        LISTENING, Nothing),
    situation(&["add table ip f; add chain ip f raw { type filter hook output priority -300; }", "add rule ip f raw notrack"],
        LISTENING, Nothing),
    situation(&["iptables-legacy -A INPUT -p tcp --dport 22 -j DROP"], LISTENING, Nothing),
    situation(&["iptables-legacy -P FORWARD DROP", "iptables-legacy -t nat -A PREROUTING -p tcp --dport 3000 -j REDIRECT --to-ports 3001"],
        LISTENING, Nothing),
    situation(&["iptables-legacy -P INPUT DROP", "iptables-legacy -A INPUT -i lo -j ACCEPT"], LISTENING, Nothing),
    situation(&["iptables-legacy -A INPUT -m addrtype --dst-type MULTICAST -j DROP"], LISTENING, Nothing),
    situation(&["iptables-legacy -A INPUT -p tcp --dport 22 -m recent --update --seconds 60 -j DROP"], LISTENING, Nothing),
    situation(&["iptables-legacy -P INPUT DROP", "iptables-legacy -A INPUT -p tcp --sport 1024:65535 --dport 3000 -j ACCEPT", "iptables-legacy -A INPUT -m state --state ESTABLISHED -j ACCEPT"],
        LISTENING, Nothing),
    situation(&["iptables-nft -A INPUT -p tcp -m multiport --dports 22,80 -j DROP"], LISTENING, Nothing),
    situation(&[IN, "add rule inet f in tcp dport 8080 reject with tcp reset"], FREE, Rule("rejects it")),
];
