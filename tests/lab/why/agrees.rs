//! Situations of every kind, each made for real: the answer, then the call.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fourtuple::kernel::holders::Holder;
use fourtuple::kernel::time_wait::TIME_WAIT;
use fourtuple::lab::why::{Goal, PlannedCall, Reason, Verdict, claim, on_port, why};
use fourtuple::net::SocketOptions;
use fourtuple::net::sharing_rule::{Newcomer, conflict};
use nix::errno::Errno;
use nix::unistd::geteuid;

use super::scene::{self, Options, State};
use crate::program::kernel::has_ipv6;
use crate::program::namespace::isolated;

/// How a call ended: `None` where all went well, else the call that failed and its errno.
pub type Outcome = Option<(&'static str, Errno)>;

pub fn question(goal: Goal, options: Options) -> PlannedCall {
    let Options { reuse_address, reuse_port, v6_only } = options;
    let options =
        SocketOptions { reuse_address, reuse_port, v6_only: Some(v6_only), ..SocketOptions::default() };
    PlannedCall { goal, options }
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap())
}

/// The call really made.
pub fn made(question: &PlannedCall, options: Options) -> Outcome {
    let address = match question.goal {
        Goal::Bind(local) | Goal::Listen(local) => local,
        Goal::Connect { local, remote } => local.unwrap_or(remote),
    };
    let socket = scene::open(address, options);
    if let Some(local) = question.goal.local()
        && let Err(error) = socket.bind(&local.into())
    {
        return Some(("bind", errno(&error)));
    }
    match question.goal {
        Goal::Bind(_) => None,
        Goal::Listen(_) => socket.listen(8).err().map(|error| ("listen", errno(&error))),
        Goal::Connect { remote, .. } => {
            socket.connect(&remote.into()).err().map(|error| ("connect", errno(&error)))
        }
    }
}

/// Asks, makes the call, and says where the two differ; nothing is said where the answer is that it may fail.
fn compare(question: &PlannedCall, options: Options) -> (Outcome, Result<(), String>) {
    let answer = why(question).unwrap();
    let outcome = made(question, options);
    let expected = match &answer.verdict {
        Verdict::Works => None,
        Verdict::MayFail { .. } => return (outcome, Err(String::new())),
        Verdict::Fails { call, errno, .. } => Some((*call, *errno)),
    };
    let PlannedCall { goal, .. } = question;
    if expected != outcome {
        return (outcome, Err(format!("{goal:?} {options:?}: said {expected:?}, made {outcome:?}")));
    }
    let reason = match answer.verdict {
        Verdict::Works | Verdict::MayFail { .. } => None,
        Verdict::Fails { reason, .. } => Some(reason),
    };
    let held = matches!(reason, Some(Reason::Held | Reason::FourTuple | Reason::QueueFull));
    if held == answer.in_the_way.is_empty() || reason == Some(Reason::Unexplained) {
        return (
            outcome,
            Err(format!("{goal:?} {options:?}: {reason:?}, in the way {:?}", answer.in_the_way)),
        );
    }
    (outcome, Ok(()))
}

/// Whether by the rules alone, bind(2) not being asked, the old sockets refuse the new one.
fn refused_by_the_rules(goal: Goal, options: Options) -> bool {
    let Options { reuse_address, reuse_port, v6_only } = options;
    let local = goal.local().unwrap();
    let new = Newcomer {
        ip: local.ip(),
        device: None,
        reuse_address,
        reuse_port,
        v6_only,
        uid: geteuid().as_raw(),
    };
    let refuses =
        |holder: &Holder| conflict(&new, &claim(holder)).is_some_and(|conflict| conflict.is_certain());
    on_port(local.port().try_into().unwrap()).unwrap().iter().any(refuses)
}

/// The address of the old socket and that of the new one, and IPV6_V6ONLY of each.
pub const PAIRS: [(&str, bool, &str, bool); 22] = [
    ("127.0.0.1", false, "127.0.0.1", false),
    ("0.0.0.0", false, "127.0.0.1", false),
    ("127.0.0.1", false, "0.0.0.0", false),
    ("0.0.0.0", false, "0.0.0.0", false),
    ("127.0.0.1", false, "127.0.0.2", false),
    ("::1", false, "::1", false),
    ("::", false, "::1", false),
    ("::1", false, "::", false),
    ("::1", false, "::", true),
    ("::", false, "::", false),
    ("::", true, "::", false),
    ("::", false, "::", true),
    ("::", false, "127.0.0.1", false),
    ("::", true, "127.0.0.1", false),
    ("::", false, "0.0.0.0", false),
    ("::", true, "0.0.0.0", false),
    ("127.0.0.1", false, "::", false),
    ("127.0.0.1", false, "::", true),
    ("0.0.0.0", false, "::", false),
    ("::1", false, "0.0.0.0", false),
    ("::ffff:127.0.0.1", false, "127.0.0.1", false),
    ("0.0.0.0", false, "::ffff:127.0.0.1", false),
];

/// Sets a setting of this network.
pub fn sysctl(name: &str, value: &str) {
    fs::write(format!("/proc/sys/net/{name}"), value).unwrap();
}

fn pairs<T: Copy, const N: usize>(values: [T; N]) -> impl Iterator<Item = (T, T)> {
    values.into_iter().flat_map(move |one| values.map(|other| (one, other)))
}

pub fn at(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), port)
}

/// What became of all situations.
#[derive(Default)]
struct Tally {
    count: usize,
    refused: usize,
    /// Where it may fail or not.
    unknown: usize,
    differing: Vec<String>,
}

impl Tally {
    fn add(&mut self, situation: &str, (outcome, agreed): (Outcome, Result<(), String>)) {
        self.count += 1;
        self.refused += usize::from(outcome.is_some());
        match agreed {
            Err(why) if why.is_empty() => self.unknown += 1,
            agreed => self.differing.extend(agreed.err().map(|why| format!("{situation}: {why}"))),
        }
    }

    /// Fails unless all agreed, with so many that worked and so many that did not at least.
    #[track_caller]
    fn check(self, least: usize) {
        let Self { count, refused, unknown, differing } = self;
        println!(
            "{count} situations, {refused} of them refused, {unknown} unknown, {} differ",
            differing.len()
        );
        assert!(unknown * 100 <= count * 3, "{unknown} of {count}");
        assert!(differing.is_empty(), "{:#?}", &differing[..differing.len().min(5)]);
        assert!(refused > least && count - refused > least, "{refused} of {count}");
    }
}

/// What is judged within `limit`, before what it is about is over: anew where the machine has stood still.
pub fn in_time<T>(limit: Duration, mut judge: impl FnMut() -> T) -> T {
    loop {
        let begin = Instant::now();
        let judged = judge();
        if begin.elapsed() < limit {
            return judged;
        }
    }
}

#[test]
fn why_agrees_with_bind_and_listen_in_every_state() {
    if !isolated() {
        return;
    }
    let (mut tally, mut port) = (Tally::default(), 3000);
    for (state, old) in State::ALL.into_iter().flat_map(|state| Options::ALL.map(|old| (state, old))) {
        for (held, v6_only, asked, asked_v6_only) in PAIRS {
            let situation = format!("{state:?} {held} {old:?} {v6_only}");
            let judged = in_time(TIME_WAIT / 2, || {
                port += 1;
                let _scene = scene::set(state, at(held, port), Options { v6_only, ..old });
                let mut judged = Vec::new();
                for new in Options::ALL.map(|new| Options { v6_only: asked_v6_only, ..new }) {
                    for goal in [Goal::Bind(at(asked, port)), Goal::Listen(at(asked, port))] {
                        // The rules alone cannot know the options of a socket that no process has any more.
                        let by_rules = scene::has_owner(state).then(|| refused_by_the_rules(goal, new));
                        judged.push((goal, new, by_rules, compare(&question(goal, new), new)));
                    }
                }
                judged
            });
            for (goal, new, by_rules, (outcome, agreed)) in judged {
                if by_rules.is_some_and(|refused| refused != outcome.is_some()) {
                    let differs = format!("{situation}: by the rules {goal:?} {new:?} {by_rules:?}");
                    tally.differing.push(differs);
                }
                tally.add(&situation, (outcome, agreed));
            }
        }
    }
    tally.check(1000);
}

fn client_states() -> impl Iterator<Item = State> {
    State::ALL.into_iter().filter(|&state| {
        [State::Client, State::SynSent, State::FinWait2, State::CloseWait, State::TimeWait].contains(&state)
    })
}

#[test]
fn why_agrees_with_connect_from_an_address_that_others_have() {
    if !isolated() {
        return;
    }
    let (mut tally, mut port) = (Tally::default(), 3000);
    for (timestamps, ip) in [("1", "127.0.0.1"), ("0", "127.0.0.1"), ("1", "::1")] {
        sysctl("ipv4/tcp_timestamps", timestamps);
        let elsewhere = scene::set(State::Listen, at(ip, 2000), Options::NONE);
        for state in client_states() {
            for (old, new) in pairs(Options::ALL) {
                for to in [None, Some(at(ip, 2000)), Some(at(ip, 2001))] {
                    let judged = in_time(TIME_WAIT / 2, || {
                        port += 1;
                        let scene = scene::set(state, at(ip, port), old);
                        let (local, remote) = scene.tuple.unwrap();
                        let goal = Goal::Connect { local: Some(local), remote: to.unwrap_or(remote) };
                        compare(&question(goal, new), new)
                    });
                    tally.add(&format!("{state:?} {old:?}"), judged);
                }
            }
        }
        drop(elsewhere);
    }
    tally.check(100);
}

#[test]
fn why_agrees_where_no_socket_is_in_the_way() {
    if !isolated() {
        return;
    }
    sysctl("ipv4/ip_nonlocal_bind", "0");
    let _listening = scene::set(State::Listen, at("127.0.0.1", 2000), Options::of(true, true));
    let _dual_stack = scene::set(State::Listen, at("::", 2001), Options::of(true, true));
    let bind = |ip: &str, port| Goal::Bind(at(ip, port));
    let listen = |ip: &str, port| Goal::Listen(at(ip, port));
    let connect = |remote| Goal::Connect { local: None, remote };
    let from = |local, remote| Goal::Connect { local: Some(local), remote };
    let any = at("0.0.0.0", 0);
    let v6_only = Options { v6_only: true, ..Options::NONE };
    let plain = Options::NONE;
    for (goal, options, expected) in [
        (bind("192.0.2.1", 0), plain, Some(("bind", Errno::EADDRNOTAVAIL))),
        (bind("192.0.2.1", 5), plain, Some(("bind", Errno::EADDRNOTAVAIL))),
        (listen("2001:db8::1", 5), plain, Some(("bind", Errno::EADDRNOTAVAIL))),
        (bind("::ffff:127.0.0.1", 5), v6_only, Some(("bind", Errno::EINVAL))),
        (listen("0.0.0.0", 80), plain, None),
        (listen("127.0.0.1", 0), plain, None),
        (connect(at("127.0.0.1", 2000)), plain, None),
        (connect(at("127.0.0.2", 2000)), plain, Some(("connect", Errno::ECONNREFUSED))),
        (connect(at("127.0.0.2", 2001)), plain, None),
        (connect(at("::1", 2001)), plain, None),
        (connect(at("::1", 2000)), plain, Some(("connect", Errno::ECONNREFUSED))),
        (connect(at("::ffff:127.0.0.1", 2000)), plain, None),
        (connect(at("::ffff:127.0.0.1", 2000)), v6_only, Some(("connect", Errno::ENETUNREACH))),
        (connect(at("0.0.0.0", 2000)), plain, None),
        (connect(at("::", 2001)), plain, None),
        (connect(at("192.0.2.1", 2000)), plain, Some(("connect", Errno::ENETUNREACH))),
        (connect(at("2001:db8::1", 2000)), plain, Some(("connect", Errno::ENETUNREACH))),
        (connect(at("127.255.255.255", 2000)), plain, Some(("connect", Errno::ENETUNREACH))),
        (connect(at("224.0.0.1", 2000)), plain, Some(("connect", Errno::ENETUNREACH))),
        (connect(at("255.255.255.255", 2000)), plain, Some(("connect", Errno::ENETUNREACH))),
        (connect(at("ff02::1", 2000)), plain, Some(("connect", Errno::ENETUNREACH))),
        (from(at("127.0.0.1", 0), at("255.255.255.255", 1)), plain, Some(("connect", Errno::ENETUNREACH))),
        (bind("ff02::1", 5), plain, Some(("bind", Errno::EINVAL))),
        (bind("fe80::1", 5), plain, Some(("bind", Errno::EINVAL))),
        (from(at("127.0.0.1", 0), at("192.0.2.1", 1)), plain, Some(("connect", Errno::ENETUNREACH))),
        (from(any, at("127.0.0.1", 2000)), plain, None),
        (from(at("127.0.0.2", 0), at("127.0.0.1", 2000)), plain, None),
        (from(at("127.0.0.2", 5), at("0.0.0.0", 2000)), plain, Some(("connect", Errno::ECONNREFUSED))),
        (from(at("127.0.0.1", 6), at("0.0.0.0", 2000)), plain, None),
        (from(at("::1", 5), at("::ffff:127.0.0.1", 2000)), plain, Some(("connect", Errno::ENETUNREACH))),
        (from(at("127.0.0.1", 7), at("::1", 2001)), plain, Some(("connect", Errno::EAFNOSUPPORT))),
        (from(at("::ffff:127.0.0.1", 7), at("::1", 2001)), plain, Some(("connect", Errno::EAFNOSUPPORT))),
        (from(at("::ffff:0.0.0.0", 0), at("::1", 2001)), plain, Some(("connect", Errno::EAFNOSUPPORT))),
        (from(at("::ffff:127.0.0.1", 7), at("2001:db8::1", 1)), plain, Some(("connect", Errno::ENETUNREACH))),
        (from(at("::ffff:127.0.0.2", 7), at("::", 2001)), plain, None),
        // A socket connects to itself.
        (from(at("127.0.0.1", 8), at("127.0.0.1", 8)), plain, None),
        (from(at("::1", 9), at("::1", 9)), plain, None),
        // A listening port is no source port.
        (from(at("127.0.0.1", 2000), at("127.0.0.1", 2001)), plain, Some(("bind", Errno::EADDRINUSE))),
        (from(at("127.0.0.1", 2000), at("127.0.0.1", 2001)), Options::of(false, true), None),
    ] {
        let (outcome, agreed) = compare(&question(goal, options), options);
        assert_eq!(agreed, Ok(()), "{goal:?}");
        assert_eq!(outcome, expected, "{goal:?}");
    }
}

#[test]
fn why_agrees_where_ipv6_is_switched_off() {
    if !isolated() || !has_ipv6() {
        return;
    }
    sysctl("ipv6/conf/all/disable_ipv6", "1");
    let plain = Options::NONE;
    let connect = |ip| Goal::Connect { local: None, remote: at(ip, 2000) };
    let [bind, any] = [("::1", 5), ("::", 5)].map(|(ip, port)| Goal::Bind(at(ip, port)));
    let off = || Some(Reason::Ipv6Off("net.ipv6.conf.all.disable_ipv6".to_owned()));
    for (goal, reason) in [
        (bind, off()),
        (any, None),
        (connect("::1"), off()),
        (connect("2001:db8::1"), off()),
        (connect("ff02::1"), Some(Reason::NotUnicast)),
        (connect("::ffff:127.0.0.1"), Some(Reason::NobodyListens)),
    ] {
        let question = question(goal, plain);
        assert_eq!(compare(&question, plain).1, Ok(()), "{goal:?}");
        let said = match why(&question).unwrap().verdict {
            Verdict::Works | Verdict::MayFail { .. } => None,
            Verdict::Fails { reason, .. } => Some(reason),
        };
        assert_eq!(said, reason, "{goal:?}");
    }
}

#[test]
fn why_agrees_where_the_kernel_has_no_port_left_to_pick() {
    if !isolated() {
        return;
    }
    const LOCAL: &str = "127.0.0.1";
    let plain = Options::NONE;
    let _servers = [2000, 2001].map(|port| scene::set(State::Listen, at(LOCAL, port), plain));
    let mut tally = Tally::default();
    for (range, reserved) in [("3000 3003", ""), ("3004 3013", "3006-3011")] {
        sysctl("ipv4/ip_local_port_range", range);
        sysctl("ipv4/ip_local_reserved_ports", reserved);
        let to = |port| Goal::Connect { local: None, remote: at(LOCAL, port) };
        let all = [to(2000), to(2001), Goal::Bind(at(LOCAL, 0)), Goal::Listen(at("0.0.0.0", 0))];
        let mut ask = |goals: &[Goal]| {
            goals.iter().for_each(|&goal| tally.add(range, compare(&question(goal, plain), plain)));
        };
        sysctl("ipv4/tcp_tw_reuse", "0");
        ask(&[to(2000)]);
        // One connection after the other, each from a port that the kernel picks.
        let picked: Vec<_> = (0..4)
            .map(|_| {
                let client = scene::open(at(LOCAL, 0), plain);
                client.connect(&at(LOCAL, 2000).into()).map(|()| client)
            })
            .collect();
        ask(&all);
        drop(picked);
    }
    tally.check(2);
}
