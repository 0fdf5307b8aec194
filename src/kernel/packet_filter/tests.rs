//! Packets on their way through rules that are made up here.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use nix::errno::Errno;
use proptest::collection::vec;
use proptest::num::u8::ANY;

use super::element_set::{ElementData, ElementSet, SetElement};
use super::rule::{
    BaseChain, Expression, Field, FilterRule, FilterTable, LookupTarget, NewAddress, NewIp, Rejection,
    RuleChain, RuleOwner, RuleVerdict, TableFamily,
};
use super::sets::Sets;
use super::*;

/// A chain that packets enter at a hook, with its policy.
fn base(hook: Hook, drops: bool) -> Option<BaseChain> {
    Some(BaseChain { hook, priority: 0, is_nat: false, drops, devices: Vec::new() })
}

fn nat(hook: Hook) -> Option<BaseChain> {
    base(hook, false).map(|base| BaseChain { is_nat: true, priority: -100, ..base })
}

/// A chain's name, where it is hooked in, and its rules.
type ChainSetup<'a> = (&'a str, Option<BaseChain>, Vec<Vec<Expression>>);

/// The filters that chains of one table are.
fn filters<const N: usize>(chains: [ChainSetup<'_>; N]) -> PacketFilters {
    let chain = |(name, base, rules): ChainSetup<'_>| {
        let rules = (1..).zip(rules).map(|(number, expressions)| FilterRule { number, expressions });
        (name.to_owned(), RuleChain { base, rules: rules.collect() })
    };
    let chains: BTreeMap<String, RuleChain> = chains.into_iter().map(chain).collect();
    let table =
        FilterTable { owner: RuleOwner::Nft, family: TableFamily::Inet, name: "t".to_owned(), chains };
    let sets = Sets::new(|_, _, name| {
        let element = |port: u16, verdict| SetElement {
            low: port.to_be_bytes().to_vec(),
            high: port.to_be_bytes().to_vec(),
            data: ElementData::Verdict(verdict),
        };
        let elements =
            vec![element(80, RuleVerdict::Drop), element(443, RuleVerdict::Jump("other".to_owned()))];
        match name {
            "map" => Ok(ElementSet { key_length: 2, elements, ..ElementSet::default() }),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    });
    PacketFilters {
        rules: Ruleset { tables: vec![table], sets },
        is_ipv6: false,
        ephemeral: (32_768, 60_999),
    }
}

fn port_is(of_source: bool, low: u16, high: u16) -> Vec<Expression> {
    let field = Field::Transport { offset: if of_source { 0 } else { 2 }, length: 2 };
    extension::among(field, vec![(low.to_be_bytes().to_vec(), high.to_be_bytes().to_vec())], false)
}

fn to_port(port: u16) -> Vec<Expression> {
    port_is(false, port, port)
}

fn says(verdict: RuleVerdict) -> Vec<Expression> {
    vec![Expression::Verdict(verdict)]
}

fn unclear() -> Vec<Expression> {
    vec![Expression::Uncertain("the weather".to_owned())]
}

/// What becomes of a connection to a port of this host: each rule that decides, or may.
fn met(filters: &PacketFilters, port: u16) -> Vec<String> {
    let remote = SocketAddr::from(([127, 0, 0, 1], port));
    let way = filters.outgoing(FourTuple { local: "127.0.0.1:0".parse().unwrap(), remote }, true);
    let Passage { stopped, sent, doubts } = way.passage();
    stopped.iter().chain(sent).chain(doubts).map(Ruling::to_string).collect()
}

#[test]
fn the_first_rule_that_matches_decides() {
    let rules = vec![
        [to_port(22), says(RuleVerdict::Accept)].concat(),
        [to_port(80), vec![Expression::Reject(Rejection::Icmpx(3))]].concat(),
        [to_port(80), says(RuleVerdict::Drop)].concat(),
    ];
    let filters = filters([("in", base(Hook::Input, true), rules)]);
    assert!(met(&filters, 22).is_empty());
    assert_eq!(
        met(&filters, 80),
        ["table inet t, chain in, handle 2 rejects it with EHOSTUNREACH (tcp dport 80)"]
    );
    assert_eq!(met(&filters, 81), ["table inet t, chain in, policy drops it"]);
}

#[test]
fn a_rule_that_may_match_leaves_a_doubt_only_where_it_would_change_something() {
    let rules = vec![
        [unclear(), says(RuleVerdict::Accept)].concat(),
        [to_port(80), unclear(), says(RuleVerdict::Drop)].concat(),
        [to_port(443), says(RuleVerdict::Drop)].concat(),
    ];
    let filters = filters([("in", base(Hook::Input, false), rules)]);
    assert!(met(&filters, 22).is_empty());
    assert_eq!(
        met(&filters, 80),
        ["table inet t, chain in, handle 2 may drop it, depending on the weather (tcp dport 80 the weather)"]
    );
    // The first rule may have accepted it.
    assert_eq!(
        met(&filters, 443),
        ["table inet t, chain in, handle 3 may drop it, depending on the weather (tcp dport 443)"]
    );
}

#[test]
fn what_follows_a_return_that_may_be_taken_is_doubtful_too() {
    let more = vec![[unclear(), says(RuleVerdict::Return)].concat(), says(RuleVerdict::Drop)];
    let jump = vec![says(RuleVerdict::Jump("more".to_owned()))];
    let filters = filters([("in", base(Hook::Input, false), jump), ("more", None, more)]);
    assert_eq!(
        met(&filters, 80),
        ["table inet t, chain more, handle 2 may drop it, depending on the weather"]
    );
}

#[test]
fn goto_does_not_come_back_and_jump_does() {
    let drop = || says(RuleVerdict::Drop);
    for (verdict, dropped) in
        [(RuleVerdict::Goto("more".to_owned()), false), (RuleVerdict::Jump("more".to_owned()), true)]
    {
        let filters = filters([
            ("in", base(Hook::Input, false), vec![says(verdict), drop()]),
            ("more", None, vec![[to_port(22), drop()].concat()]),
        ]);
        assert_eq!(!met(&filters, 80).is_empty(), dropped);
    }
}

#[test]
fn a_port_that_the_kernel_picks_is_known_to_be_one_that_it_may() {
    let rules = vec![
        [port_is(true, 0, 1023), says(RuleVerdict::Drop)].concat(),
        [port_is(true, 1024, 65_535), says(RuleVerdict::Accept)].concat(),
    ];
    assert!(met(&filters([("out", base(Hook::Output, true), rules)]), 80).is_empty());
    let rules = vec![[port_is(true, 40_000, 50_000), says(RuleVerdict::Drop)].concat()];
    let doubt = "table inet t, chain out, handle 1 may drop it, depending on the port that the kernel picks \
                 (tcp sport 40000-50000)";
    assert_eq!(met(&filters([("out", base(Hook::Output, false), rules)]), 80), [doubt]);
}

#[test]
fn a_map_of_verdicts_leads_where_the_value_does() {
    let port = Expression::Load { to: 0, field: Field::Transport { offset: 2, length: 2 } };
    let lookup = |name: &str| Expression::Lookup {
        from: 0,
        set: name.to_owned(),
        to: Some(LookupTarget::Verdict),
        inverted: false,
    };
    let chains = |name: &str| {
        filters([
            ("in", base(Hook::Input, false), vec![vec![port.clone(), lookup(name)]]),
            ("other", None, vec![vec![Expression::Reject(Rejection::Reset)]]),
        ])
    };
    let filters = chains("map");
    assert_eq!(met(&filters, 80), ["table inet t, chain in, handle 1 drops it (tcp dport @map)"]);
    assert_eq!(met(&filters, 443), ["table inet t, chain other, handle 1 rejects it with ECONNREFUSED"]);
    assert!(met(&filters, 22).is_empty());
    assert!(met(&chains("lost"), 22)[0].contains("the set lost, which cannot be read"));
}

#[test]
fn a_connection_that_is_sent_elsewhere_meets_the_rules_of_there() {
    let redirect = |port: u16| {
        let constant = Expression::Constant { to: 32, bytes: port.to_be_bytes().to_vec() };
        let new = NewAddress { ip: NewIp::ThisHost, port: Some((32, 32)), is_random: false };
        vec![constant, Expression::SendTo(new)]
    };
    let rules = vec![[to_port(80), redirect(8080)].concat()];
    let drop = vec![[to_port(8080), says(RuleVerdict::Drop)].concat()];
    let sent = "table inet t, chain nat, handle 1 sends it to 127.0.0.1:8080 (tcp dport 80)";
    let filters = filters([
        ("nat", nat(Hook::Output), rules.clone()),
        ("pre", nat(Hook::Prerouting), vec![redirect(1)]),
        ("in", base(Hook::Input, false), drop),
    ]);
    // Over loopback its address is not translated again.
    assert_eq!(met(&filters, 80), ["table inet t, chain in, handle 1 drops it (tcp dport 8080)", sent]);
    assert!(met(&filters, 81).is_empty());
    let way = filters.way_from_elsewhere("10.0.0.1:81".parse().unwrap());
    assert_eq!(way.passage().sent.as_ref().unwrap().effect, Effect::SendTo(None, Some(1)));
}

#[test]
fn the_reply_meets_rules_of_its_own() {
    let rules = vec![[port_is(true, 80, 80), vec![Expression::Reject(Rejection::Reset)]].concat()];
    let filters = filters([("out", base(Hook::Output, false), rules)]);
    let remote = "127.0.0.1:80".parse().unwrap();
    let way = filters.outgoing(FourTuple { local: "127.0.0.1:0".parse().unwrap(), remote }, true);
    assert!(way.passage().stopped.is_none() && way.passage().doubts.is_empty());
    let stopped = way.reply(Some(0)).stopped.unwrap();
    assert_eq!(stopped.errno(), Some(Errno::ETIMEDOUT));
    assert_eq!(
        stopped.about("it"),
        "table inet t, chain out, handle 1 rejects the reply to it with ECONNREFUSED (tcp sport 80)"
    );
}

proptest::proptest! {
    #[test]
    fn no_bytes_upset_the_reader(bytes in vec(ANY, 0..600)) {
        read_any(&bytes);
    }
}
