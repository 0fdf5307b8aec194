//! What packet filters make of a connection, as `fourtuple why` says it and as the connection then fares.

mod situations;

use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use super::advice::Answer;
use super::agrees::{at, sysctl};
use crate::program::namespace::{as_ordinary_user, has_ordinary_user, isolated};
use crate::program::{Program, path, skip};
use situations::{CONTROLS, FREE, IN, LISTENING, NAT, Named, SITUATIONS, Situation};

/// The situation built from nothing; `None` where a tool or a part of the kernel is missing.
fn build(rules: &[&str]) -> Option<()> {
    run("nft flush ruleset")?;
    for tables in ["iptables-legacy", "ip6tables-legacy"] {
        for table in ["filter", "nat", "raw", "mangle"] {
            let _ = run(&format!("{tables} -t {table} -F && {tables} -t {table} -X"));
        }
        for chain in ["INPUT", "FORWARD", "OUTPUT"] {
            let _ = run(&format!("{tables} -P {chain} ACCEPT"));
        }
    }
    rules.iter().try_for_each(|rule| {
        let is_command = rule.starts_with("ip");
        if is_command { run(rule) } else { run(&format!("nft '{rule}'")) }
    })
}

fn run(command: &str) -> Option<()> {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    if !output.status.success() {
        eprintln!("{command}: {}", String::from_utf8_lossy(&output.stderr));
    }
    output.status.success().then_some(())
}

/// Listens and says to whoever connects at which port that was.
fn listen(addresses: &[&str]) {
    for address in addresses {
        let listener = TcpListener::bind(address).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = std::io::Write::write_all(&mut &stream, &port.to_be_bytes());
            }
        });
    }
}

/// The port at which somebody answers, or what connect(2) returns.
fn connect(to: SocketAddr) -> Result<u16, Errno> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
    socket.set_tcp_user_timeout(Some(Duration::from_millis(500))).unwrap();
    socket.connect(&to.into()).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap()))?;
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut port = [0; 2];
    // A rule may stop what follows the handshake too.
    (&socket).read_exact(&mut port).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))?;
    Ok(u16::from_be_bytes(port))
}

/// What the answer says that becomes of the connection; `None` where that is not known.
fn said(answer: &Answer, to: SocketAddr) -> Option<Result<u16, String>> {
    let verdict = answer.of("verdict").next().unwrap();
    if verdict["unknown"] == true {
        return None;
    }
    if let Some(errno) = verdict["errno"].as_str() {
        return Some(Err(errno.to_owned()));
    }
    let sent = answer.of("filter-rule").find_map(|rule| rule["to"].as_str());
    Some(Ok(sent.map_or(to, |address| address.parse().unwrap()).port()))
}

/// Builds it, asks, connects: whether the answer is right, and names what is to be named. `None` where it cannot be built.
fn judge(situation: &Situation) -> Option<Result<(), String>> {
    build(situation.rules)?;
    let to: SocketAddr = situation.to.parse().unwrap();
    let answer = Answer::to(&["connect", situation.to]);
    let rules: Vec<&Value> = answer.of("filter-rule").collect();
    let words = |rule: &&Value| rule["words"].as_str().unwrap().to_owned();
    let words: Vec<String> = rules.iter().map(words).collect();
    let said = said(&answer, to);
    let real = connect(to).map_err(|errno| format!("{errno:?}"));
    let is_right = said.as_ref().is_none_or(|said| *said == real);
    let is_named = match situation.named {
        Named::Rule(wanted) => said.is_some() && words.iter().any(|words| words.contains(wanted)),
        Named::May => said.is_none() && !rules.is_empty(),
        Named::Nothing => said.is_some() && rules.is_empty(),
    };
    let told = || format!("{:?}\n  said {said:?} {words:#?}, real {real:?}", situation.rules);
    Some(if is_right && is_named { Ok(()) } else { Err(told()) })
}

fn prepare() -> bool {
    for tool in ["nft --version", "iptables-legacy --version", "iptables-nft --version"] {
        if run(tool).is_none() {
            skip(format_args!("{tool}: it is not installed"));
            return false;
        }
    }
    if run("nft list ruleset").is_none() {
        skip("this kernel has no nf_tables");
        return false;
    }
    sysctl("ipv4/tcp_syn_retries", "1");
    listen(&["127.0.0.1:3000", "127.0.0.1:3001", "127.0.0.2:3001", "[::1]:3000"]);
    true
}

#[track_caller]
fn judge_all(situations: &[Situation], least: usize) {
    let judged: Vec<Result<(), String>> = situations.iter().filter_map(judge).collect();
    let wrong: Vec<&String> = judged.iter().filter_map(|judged| judged.as_ref().err()).collect();
    println!("{} situations, {} wrong", judged.len(), wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.iter().map(|wrong| format!("{wrong}\n")).collect::<String>());
    if judged.len() < least {
        skip(format_args!("only {} of {} could be built", judged.len(), situations.len()));
    }
}

#[test]
fn a_rule_that_decides_is_named_and_what_it_makes_of_the_connection_is_so() {
    if isolated() && prepare() {
        judge_all(SITUATIONS, 30);
    }
}

#[test]
fn rules_that_do_not_matter_are_not_mentioned() {
    if isolated() && prepare() {
        judge_all(CONTROLS, 20);
    }
}

/// The words of the rules that an answer about listening has.
fn rules_met(arguments: &[&str]) -> Vec<String> {
    let answer = Answer::to(arguments);
    answer.of("filter-rule").map(|rule| rule["words"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn of_an_address_to_listen_at_it_is_said_what_comes_there() {
    if !isolated() || !prepare() {
        return;
    }
    build(&[IN, "add rule inet f in tcp dport 80 drop"]).unwrap();
    assert_eq!(
        rules_met(&["0.0.0.0:80"]),
        ["table inet f, chain in, handle 2 drops what is sent there (tcp dport 80)"]
    );
    assert_eq!(
        rules_met(&["[::1]:80"]),
        ["table inet f, chain in, handle 2 drops what this host sends there (tcp dport 80)"]
    );
    assert!(rules_met(&["0.0.0.0:81"]).is_empty());
    build(&[IN, "add rule inet f in iif != lo tcp dport 80 drop"]).unwrap();
    assert_eq!(
        rules_met(&["bind", "0.0.0.0:80"]),
        ["table inet f, chain in, handle 2 drops what other hosts send there (iif != lo tcp dport 80)"]
    );
    assert!(rules_met(&["127.0.0.1:80"]).is_empty());
    build(&[IN, "add rule inet f in ip saddr != 10.0.0.0/8 tcp dport 80 drop"]).unwrap();
    let rules = rules_met(&["0.0.0.0:80"]);
    let certain = "drops what this host sends there (ip saddr != 10.0.0.0/8 tcp dport 80)";
    let doubtful = "may drop what other hosts send there, depending on the source's address (ip saddr";
    for words in [certain, doubtful] {
        assert!(rules.iter().any(|rule| rule.contains(words)), "{rules:?}");
    }
    build(&[
        "add table ip f; add chain ip f pre { type nat hook prerouting priority -100; }",
        "add rule ip f pre tcp dport 80 redirect to :8080",
    ])
    .unwrap();
    let rules = rules_met(&["0.0.0.0:80"]);
    assert_eq!(
        rules,
        ["table ip f, chain pre, handle 2 sends what other hosts send there to port 8080 (tcp dport 80)"]
    );
}

#[test]
fn a_policy_that_drops_without_regard_of_replies_stops_connections_to_elsewhere() {
    if !isolated() || !prepare() {
        return;
    }
    let elsewhere = "ip link add v0 type veth peer name v1 && ip addr add 192.0.2.1/24 dev v0 && \
                     ip link set v0 up && ip link set v1 up";
    if run(elsewhere).is_none() {
        return skip("ip(8) is not installed, or there is no such interface");
    }
    let remote = "192.0.2.7:80";
    build(&["add table inet f; add chain inet f in { type filter hook input priority 0; policy drop; }"])
        .unwrap();
    let answer = Answer::to(&["connect", remote]);
    let verdict = answer.of("verdict").next().unwrap();
    assert_eq!(
        (&verdict["errno"], &verdict["reason"]),
        (&"ETIMEDOUT".into(), &"filtered".into()),
        "{verdict}"
    );
    run("nft 'add rule inet f in ct state established accept'").unwrap();
    assert!(Answer::to(&["connect", remote]).works());
    // From loopback no route leads there.
    build(&[NAT, "add rule inet f nat ip daddr 127.0.0.1 tcp dport 8080 dnat ip to 192.0.2.7:80"]).unwrap();
    let answer = Answer::to(&["connect", FREE]);
    let rule = answer.of("filter-rule").next().unwrap()["words"].as_str().unwrap().to_owned();
    assert!(rule.contains("sends it to 192.0.2.7:80, where no route leads from its source"), "{rule}");
    assert_eq!(connect(at("127.0.0.1", 8080)), Err(Errno::ETIMEDOUT));
}

#[test]
fn who_may_not_read_the_rules_is_told_that_there_may_be_some() {
    if !isolated() || !prepare() {
        return;
    }
    if !has_ordinary_user(path("fourtuple")) {
        return skip("nobody here is another user");
    }
    build(&[IN, "add rule inet f in tcp dport 3000 drop"]).unwrap();
    let mut command = as_ordinary_user(path("fourtuple"));
    let end = Program::spawn(command.args(["why", "connect", LISTENING])).end();
    let told = "their rules cannot be read here (EPERM); `sudo nft list ruleset`";
    assert!(end.stdout.contains("packet filters may stop it") && end.stdout.contains(told), "{}", end.stdout);
}
