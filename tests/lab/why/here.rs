//! What is said of this host's addresses and routes: looked up, and not guessed from the question.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::advice::Answer;
use super::agrees::sysctl;
use super::devices::{has_interfaces, ip};
use crate::program::kernel::has_ipv6;
use crate::program::namespace::isolated;
use crate::program::until;

/// The reason of the verdict, and all that is said besides.
#[track_caller]
fn reason_and_words(arguments: &[&str]) -> (String, String) {
    let answer = Answer::to(arguments);
    let verdict = answer.of("verdict").next().unwrap();
    let reason = verdict["reason"].as_str().unwrap_or_default().to_owned();
    let words = answer.of("advice").chain(answer.of("remark")).map(|line| line["words"].as_str().unwrap());
    (reason, words.collect::<Vec<_>>().join("\n"))
}

#[test]
fn lo_is_said_to_be_down_where_it_is_and_there_only() {
    if !isolated() || !has_ipv6() {
        return;
    }
    let (reason, words) = reason_and_words(&["connect", "192.0.2.1:3000", "127.0.0.1:4000"]);
    assert!(reason == "not-local" && !words.contains("down"), "{reason}: {words}");
    sysctl("ipv6/conf/lo/disable_ipv6", "1");
    let (reason, words) = reason_and_words(&["[::1]:3000"]);
    assert_eq!(reason, "ipv6-off");
    assert!(words.contains("`sudo sysctl net.ipv6.conf.lo.disable_ipv6=0`"), "{words}");
    assert!(!words.contains("down") && !words.contains("ip addr add"), "{words}");
    sysctl("ipv6/conf/lo/disable_ipv6", "0");
    assert!(Answer::to(&["[::1]:3000"]).works());
    assert!(ip("addr del ::1/128 dev lo"));
    let (reason, words) = reason_and_words(&["[::1]:3000"]);
    assert!(reason == "not-local" && !words.contains("down"), "{reason}: {words}");
    assert!(ip("link set lo down"));
    let (reason, words) = reason_and_words(&["connect", "127.0.0.1:3000"]);
    assert!(reason == "down" && words == "`sudo ip link set lo up`", "{reason}: {words}");
}

#[test]
fn where_ipv6_is_switched_off_but_not_on_lo_loopback_is_there() {
    if !isolated() || !has_ipv6() {
        return;
    }
    sysctl("ipv6/conf/all/disable_ipv6", "1");
    sysctl("ipv6/conf/lo/disable_ipv6", "0");
    let listening = std::net::TcpListener::bind("[::1]:3000").unwrap();
    assert!(std::net::TcpStream::connect("[::1]:3000").is_ok());
    assert!(Answer::to(&["connect", "[::1]:3000"]).works());
    drop(listening);
    assert!(Answer::to(&["[::1]:3001"]).works());
}

#[test]
fn an_own_address_that_is_not_reached_without_lo_is_told_with_it() {
    if !has_interfaces() {
        return;
    }
    assert!(ip("link set lo down"));
    let (reason, _) = reason_and_words(&["connect", "10.0.2.1:3000"]);
    assert_eq!(reason, "down");
    let (reason, words) = reason_and_words(&["connect", "192.0.2.1:80"]);
    assert!(reason == "no-route" && !words.contains("down"), "{words}");
}

#[test]
fn an_address_that_never_becomes_usable_is_not_waited_for() {
    if !has_interfaces() {
        return;
    }
    assert!(ip("link add p0 type veth peer name p1") && ip("addr add fd00:3::1/64 dev p0"));
    let (reason, words) = reason_and_words(&["[fd00:3::1]:3000"]);
    assert!(
        reason == "not-local" && words.contains("p0 is down in this network namespace"),
        "{reason}: {words}"
    );
    assert!(ip("link set p0 up"));
    let (reason, words) = reason_and_words(&["[fd00:3::1]:3000"]);
    assert!(reason == "no-carrier" && !words.contains("wait"), "{reason}: {words}");
}

/// The network that a process has entered, by the link in /proc.
fn network_of(process: &str) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{process}/ns/net")).ok()
}

#[test]
fn an_address_that_another_host_has_is_not_waited_for() {
    if !has_interfaces() {
        return;
    }
    assert!(ip("link add p0 type veth peer name p1"));
    let mut host = Command::new("unshare").args(["--net", "sleep", "60"]).spawn().unwrap();
    let pid = host.id().to_string();
    until("the other host's network", || (network_of(&pid)? != network_of("self")?).then_some(()));
    assert!(ip(&format!("link set p1 netns {pid}")));
    let inside = |words: &str| {
        let mut command = Command::new("nsenter");
        command.args(["-t", &pid, "-n", "ip"]).args(words.split(' ')).status().unwrap().success()
    };
    assert!(inside("link set p1 up") && inside("addr add fd00:3::2/64 dev p1 nodad"));
    assert!(ip("link set p0 up") && ip("addr add fd00:3::2/64 dev p0"));
    let words = until("duplicate address detection to fail", || {
        let (reason, words) = reason_and_words(&["[fd00:3::2]:3000"]);
        assert!(["tentative", "no-carrier", "duplicate"].contains(&reason.as_str()), "{reason}");
        (reason == "duplicate").then_some(words)
    });
    assert!(!words.contains("wait"), "{words}");
    assert!(words.contains("`sudo ip addr del fd00:3::2/64 dev p0"), "{words}");
    host.kill().unwrap();
    host.wait().unwrap();
}

#[test]
fn a_route_that_refuses_is_called_by_its_type() {
    if !isolated() {
        return;
    }
    for (kind, prefix, remote, expected) in [
        ("blackhole", "192.0.2.0/26", "192.0.2.1:80", "blackhole"),
        ("prohibit", "192.0.2.64/26", "192.0.2.65:80", "prohibited"),
        ("unreachable", "192.0.2.128/26", "192.0.2.129:80", "unreachable"),
        ("blackhole", "2001:db8:1::/48", "[2001:db8:1::1]:80", "blackhole"),
        ("prohibit", "2001:db8:2::/48", "[2001:db8:2::1]:80", "prohibited"),
        ("unreachable", "2001:db8:3::/48", "[2001:db8:3::1]:80", "unreachable"),
    ] {
        assert!(ip(&format!("route add {kind} {prefix}")));
        let address: std::net::SocketAddr = remote.parse().unwrap();
        let made = std::net::TcpStream::connect(address).unwrap_err().raw_os_error().unwrap();
        let answer = Answer::to(&["connect", remote]);
        let verdict = answer.of("verdict").next().unwrap();
        assert_eq!(verdict["reason"], expected, "{remote}");
        assert_eq!(verdict["errno"], format!("{:?}", nix::errno::Errno::from_raw(made)), "{remote}");
    }
    let (reason, _) = reason_and_words(&["connect", "198.51.100.1:80"]);
    assert_eq!(reason, "no-route");
}
