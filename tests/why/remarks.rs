//! What `fourtuple why` says besides.

use std::process::Command;

use crate::advice::Answer;
use crate::agrees::{at, sysctl};
use crate::program::namespace::isolated;
use crate::program::{Program, path};
use crate::scene::{self, Options, State};

const PLAIN: Options = Options::of(false, false);

/// Fails unless one of the remarks has these words.
#[track_caller]
fn remarked(arguments: &[&str], works: bool, words: &str) {
    let answer = Answer::to(arguments);
    assert_eq!(answer.works(), works, "{arguments:?}");
    let remarks: Vec<&str> = answer.of("remark").map(|remark| remark["words"].as_str().unwrap()).collect();
    assert!(remarks.iter().any(|remark| remark.contains(words)), "{arguments:?}: {remarks:#?}");
}

#[test]
fn what_the_settings_of_a_network_mean_for_a_port_is_told() {
    if !isolated("remarks::what_the_settings_of_a_network_mean_for_a_port_is_told") {
        return;
    }
    sysctl("ipv4/ip_local_port_range", "40000 40999");
    remarked(&["40001"], true, "`sudo sysctl net.ipv4.ip_local_reserved_ports=40001` keeps it free");
    sysctl("ipv4/ip_local_reserved_ports", "40001,40100-40200");
    remarked(&["40001"], true, "port 40001 is in net.ipv4.ip_local_reserved_ports");
    remarked(&["40002"], true, "net.ipv4.ip_local_reserved_ports=40001,40100-40200,40002`");
    sysctl("ipv4/ip_nonlocal_bind", "1");
    remarked(&["bind", "192.0.2.1:80"], true, "net.ipv4.ip_nonlocal_bind lets it be bound all the same");
    sysctl("ipv4/ip_unprivileged_port_start", "0");
    assert!(Answer::to(&["80"]).works());
}

#[test]
fn how_a_connection_came_by_a_port_is_told() {
    if !isolated("remarks::how_a_connection_came_by_a_port_is_told") {
        return;
    }
    let _child = scene::set(State::Child, at("127.0.0.1", 3000), PLAIN);
    remarked(&["3000"], false, "its connections were accepted by a listener that is gone");
    let _client = scene::set(State::Client, at("127.0.0.1", 40_000), PLAIN);
    remarked(&["40000"], false, "the kernel may have picked it for an outgoing connection");
}

#[test]
fn what_a_connection_would_meet_is_told() {
    if !isolated("remarks::what_a_connection_would_meet_is_told") {
        return;
    }
    remarked(&["connect", "127.0.0.1:3000", "127.0.0.1:3000"], true, "would connect to itself");
    remarked(&["connect", "127.0.0.1:40000"], false, "which then connects to itself");
    let _listening = scene::set(State::Listen, at("::1", 3001), Options::of(true, true));
    remarked(&["connect", "[::1]:3001"], true, "LISTEN [::1]:3001 pid=");
    remarked(
        &["listen", "[::1]:3001", "--reuse-port", "on"],
        true,
        "share the connections that come with 1 that",
    );
    // localhost is two addresses.
    let answer = Answer::to(&["connect", "127.0.0.1:3001"]);
    let remote = answer.step("remote").unwrap();
    assert_eq!((&remote["remote"], &remote["tried_out"]), (&"[::1]:3001".into(), &true.into()));
    let left = scene::set(State::TimeWait, at("127.0.0.1", 3002), Options::of(true, false));
    let (_, remote) = left.tuple.unwrap();
    let arguments = ["connect", "127.0.0.1:3002", &remote.to_string(), "--reuse-address", "on"];
    remarked(&arguments, true, "would be replaced, which TCP timestamps allow");
}

#[test]
fn a_loopback_interface_that_is_down_is_told() {
    let mut command = Command::new("unshare");
    command.args([
        "--user",
        "--map-root-user",
        "--net",
        path("fourtuple"),
        "why",
        "connect",
        "127.0.0.1:3000",
    ]);
    let end = Program::spawn(&mut command).end();
    if end.stdout.is_empty() {
        return println!("skipped: {}", end.stderr);
    }
    let end = end.with_status(1);
    assert!(end.stdout.contains("fails at connect with ENETUNREACH"), "{}", end.stdout);
    assert!(
        end.stdout.contains("lo is down in this network namespace: `ip link set lo up`"),
        "{}",
        end.stdout
    );
}
