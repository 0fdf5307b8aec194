//! `fourtuple ports`: what is planned against what the kernel then does.

#![cfg(target_os = "linux")]

mod lab;

use std::fs;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::program::namespace::{as_ordinary_user, isolated, isolated_as_ordinary_user};
use crate::program::{End, Program, path, until, usage};
use fourtuple::kernel::inet_diag::sockets;
use fourtuple::lab::ports::Method;
use lab::{Lab, Numbers, forecast, made, open, set_range, write_sysctl};
use serde_json::Value;

/// The help of `fourtuple ports WORDS…`.
fn help(words: &[&str]) -> String {
    usage::help("fourtuple", &[&["ports"], words].concat())
}

#[test]
fn help_says_what_each_command_shows() {
    for kept in [&["-h"][..], &["--help"], &["plan", "--help"], &["measure", "--help"], &["now", "--help"]] {
        usage::help_is_kept("fourtuple", &[&["ports"], kept].concat());
    }
    for command in [&[][..], &["plan"], &["measure"], &["now"]] {
        usage::short_help("fourtuple", &[&["ports"], command].concat());
        let long = help(&[command, &["--help"]].concat());
        assert_eq!(long.lines().find(|line| line.chars().count() > 80), None);
    }
}

fn ports(arguments: &[&str]) -> End {
    Program::run("fourtuple", &[&["ports"], arguments].concat())
}

/// The rows of this kind in JSON Lines.
fn rows(end: &End, event: &str) -> Vec<Value> {
    let values = end.stdout.lines().map(|line| serde_json::from_str(line).unwrap());
    values.filter(|value: &Value| value["event"] == event).collect()
}

/// Whether this machine gives out no namespaces at all; says so.
fn refused(end: &End) -> bool {
    let refused = end.status == Some(1) && end.stderr.contains("fourtuple: unshare ");
    if refused {
        crate::program::skip(&end.stderr);
    }
    refused
}

/// Measures, and fails unless every method reaches what its plan says and what it is known to reach.
#[track_caller]
fn every_plan_holds(mut fourtuple: Command, range: &str, count: u64, destinations: u64) {
    let destinations_word = destinations.to_string();
    let arguments = ["ports", "measure", "--format", "json", "--range", range];
    let command = fourtuple.args(arguments).args(["--destinations", &destinations_word]);
    let end = Program::spawn(command).end_within(crate::program::PATIENCE * 3);
    if refused(&end) {
        return;
    }
    let end = end.well();
    let rows = rows(&end, "method");
    assert_eq!(rows.len(), Method::ALL.len(), "{}", end.stdout);
    for row in rows {
        let (each, call, errno) = match row["method"].as_str().unwrap() {
            "bind-port-0" => (false, "bind", "EADDRINUSE"),
            _ => (true, "connect", "EADDRNOTAVAIL"),
        };
        let expected = if each { count * destinations } else { count };
        for key in ["planned_least", "planned_most", "measured"] {
            assert_eq!(row[key], expected, "{key} of {row}");
        }
        for (key, expected) in [("call", call), ("errno", errno)] {
            assert_eq!([&row[key], &row[&format!("planned_{key}")]], [expected, expected], "{row}");
        }
        assert_eq!(row["held"], true, "{row}");
    }
}

#[test]
fn plan_and_measurement_are_equal() {
    for (range, count) in [("40000-40007", 8), ("40000-40099", 100), ("40000-40999", 1000)] {
        for destinations in [1, 2, 4] {
            every_plan_holds(Command::new(path("fourtuple")), range, count, destinations);
        }
    }
}

#[test]
fn plan_and_measurement_are_equal_for_an_ordinary_user() {
    every_plan_holds(as_ordinary_user(path("fourtuple")), "40000-40007", 8, 2);
}

#[test]
fn the_lowest_and_the_highest_port_can_be_measured() {
    for range in ["1024-1025", "65534-65535"] {
        every_plan_holds(Command::new(path("fourtuple")), range, 2, 1);
    }
}

#[test]
fn of_an_odd_range_a_port_may_be_overlooked() {
    let end = ports(&["measure", "--range", "40000-40006", "--destinations", "2", "--format", "json"]);
    if refused(&end) {
        return;
    }
    let end = end.well();
    let range = |row: &Value| [&row["planned_least"], &row["planned_most"]].map(|n| n.as_u64().unwrap());
    for row in rows(&end, "method") {
        let expected = match row["method"].as_str().unwrap() {
            "bind-port-0" => [6, 7],
            "SO_REUSEADDR" | "SO_REUSEPORT" => [14, 14],
            _ => [12, 14],
        };
        assert_eq!(range(&row), expected, "{row}");
    }
}

/// The ephemeral ports of the situation of this number: none has ports of another's.
fn range_of(situation: u16) -> RangeInclusive<u16> {
    let low = 20_000 + situation * 16;
    low..=low + 15
}

/// Makes a situation of sockets that have ports, and compares what each method is said to reach with what it does.
fn compare(lab: &mut Lab, situation: u16) {
    let mut numbers = Numbers(situation.into());
    let range = range_of(situation);
    set_range(&range);
    let (timestamps, reuse) = numbers.of(&[("1", "0"), ("1", "1"), ("1", "2"), ("0", "1")]);
    write_sysctl("tcp_timestamps", timestamps);
    write_sysctl("tcp_tw_reuse", reuse);
    let reserved: Vec<u16> = range.clone().filter(|_| numbers.below(8) == 0).collect();
    let list: Vec<String> = reserved.iter().map(u16::to_string).collect();
    write_sysctl("ip_local_reserved_ports", &list.join(","));
    let ports: Vec<u16> = range.filter(|port| !reserved.contains(port)).collect();
    ports.iter().for_each(|port| lab.occupy(*port, &mut numbers));
    wait_for_reuse(&range_of(situation));
    for from in ["127.0.0.1", "127.0.0.5", "0.0.0.0", "::1"].map(|ip| ip.parse().unwrap()) {
        let remotes = lab.remotes(from);
        for method in Method::ALL {
            let planned = forecast(method, from, &remotes, 1);
            let (count, failure) = made(method, from, &ports, &remotes);
            let what = format!("{method:?} from {from} in situation {situation}");
            if from.is_unspecified() {
                // Whether an IPv6 connection has the wildcard address of IPv4 too, the socket table does not tell.
                assert!(planned.open.contains(&count), "{what}: {:?} {count}", planned.open);
            } else {
                assert_eq!(planned.open, count..=count, "{what}");
            }
            if ![Method::ReuseAddress, Method::ReusePort].contains(&method) {
                assert_eq!(planned.ends.to_string(), failure, "{method:?} from {from}");
            }
        }
        lab.accept_all();
    }
}

/// Returns when each TIME-WAIT in the range is older than the delay of its reuse, and the tick of its timer.
fn wait_for_reuse(range: &RangeInclusive<u16>) {
    const OLD: Duration = Duration::from_millis(60_000 - 20);
    until("TIME-WAIT that may be used again", || {
        let rows = sockets().unwrap();
        let mut here = rows.iter().filter(|row| range.contains(&row.local.port()));
        here.all(|row| row.timer.is_none_or(|timer| timer.remaining < OLD)).then_some(())
    });
}

/// Makes TIME-WAIT, where it may be used again, be over after so many milliseconds.
fn set_time_wait_reuse_delay(milliseconds: &str) {
    // Before Linux 6.14 it is a second.
    let _ = fs::write("/proc/sys/net/ipv4/tcp_tw_reuse_delay", milliseconds);
}

#[test]
fn a_plan_accounts_for_whoever_has_ports_already() {
    if !isolated() {
        return;
    }
    set_time_wait_reuse_delay("1");
    let mut lab = Lab::new();
    (0..40).for_each(|situation| compare(&mut lab, situation));
}

#[test]
fn a_rate_that_does_not_last_fails_after_as_many_connections_as_planned() {
    if !isolated() {
        return;
    }
    let lab = Lab::new();
    let from = "127.0.0.1".parse().unwrap();
    let remote = lab.remotes(from)[0];
    for (method, low) in [(Method::Connect, 40_000), (Method::BindPortZero, 41_000)] {
        set_range(&(low..=low + 7));
        let planned = || forecast(method, from, &[remote], 1000).at_rate.unwrap().exhausted_after;
        assert_eq!(planned(), Some(Duration::from_millis(8)), "{method:?}");
        let mut made = 0;
        while let Ok(client) = open(method, from, 0, remote, None) {
            lab.close_first(client, remote);
            made += 1;
        }
        assert_eq!(made, 8, "{method:?}");
        assert_eq!(planned(), Some(Duration::ZERO), "{method:?}");
    }
}

#[test]
fn a_rate_that_is_planned_to_last_lasts() {
    if !isolated() {
        return;
    }
    if fs::write("/proc/sys/net/ipv4/tcp_tw_reuse_delay", "50").is_err() {
        return crate::program::skip("TIME-WAIT can be used again after 50 ms on Linux 6.14 and newer");
    }
    write_sysctl("tcp_tw_reuse", "1");
    let lab = Lab::new();
    let from = "127.0.0.1".parse().unwrap();
    let remote = lab.remotes(from)[0];
    for (method, low, interval) in [(Method::Connect, 40_000, 10), (Method::ReuseAddress, 41_000, 0)] {
        set_range(&(low..=low + 7));
        assert_eq!(forecast(method, from, &[remote], 100).at_rate.unwrap().exhausted_after, None);
        for port in (low..=low + 7).cycle().take(40) {
            lab.close_first(open(method, from, port, remote, None).unwrap(), remote);
            // Not a wait for something: it is the rate.
            thread::sleep(Duration::from_millis(interval));
        }
    }
    let forecast = forecast(Method::Connect, from, &[remote], 1000);
    assert!(forecast.at_rate.unwrap().exhausted_after.is_some(), "{forecast:?}");
}

#[test]
fn now_counts_what_goes_out_by_destination() {
    if !isolated() {
        return;
    }
    let mut lab = Lab::new();
    set_range(&(40_000..=40_007));
    let at = |address: &str| address.parse::<SocketAddr>().unwrap();
    let [first, second] = lab.remotes(at("127.0.0.1:1").ip())[..] else { panic!("two listeners") };
    lab.leave_in_time_wait(false, at("127.0.0.1:40001"), first);
    lab.connect(true, at("127.0.0.1:40002"), first);
    lab.connect(false, at("127.0.0.1:40003"), second);
    lab.connect(false, at("127.0.0.5:40003"), first);
    lab.connect(false, at("[::1]:40004"), at("[::1]:9000"));
    // Neither is one that has a port of the range and was opened from here.
    lab.connect(true, at("127.0.0.1:50000"), second);
    lab.connect_to_own(at("127.0.0.1:50001"), at("127.0.0.1:40006"));
    lab.accept_all();
    let said = ports(&["now"]).well().stdout;
    let lines: Vec<String> =
        said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        lines,
        [
            "range ports=40000-40007 count=8 reserved=0 listening=1 bound=0",
            "",
            "SOURCE DESTINATION PORTS SHARE ESTABLISHED TIME-WAIT OTHERS",
            "127.0.0.1 127.0.1.1:9000 2 25.0% 1 1 0",
            "127.0.0.1 127.0.1.2:9000 1 12.5% 1 0 0",
            "127.0.0.5 127.0.1.1:9000 1 12.5% 1 0 0",
            "::1 [::1]:9000 1 12.5% 1 0 0",
        ]
    );
}

#[test]
fn a_namespace_that_may_not_be_made_is_told_with_a_next_step() {
    if !isolated_as_ordinary_user() {
        return;
    }
    // Only in a user namespace: root's limit is the whole system's.
    if fs::read_to_string("/proc/self/uid_map").unwrap().split_whitespace().last() == Some("4294967295") {
        return crate::program::skip("there is no ordinary user to be");
    }
    fs::write("/proc/sys/user/max_net_namespaces", "0").unwrap();
    let end = ports(&["measure"]).with_status(1);
    assert!(end.stderr.contains("\nhint: sudo sysctl user.max_net_namespaces="), "{}", end.stderr);
    assert_eq!(end.stdout, "");
}

#[test]
fn wrong_usage_names_the_argument() {
    let plan = |from, to, rest: &[&'static str]| [&["plan", "--from", from, "--to", to], rest].concat();
    let good = "127.0.0.1";
    for (arguments, argument) in [
        (plan("localhost", "127.0.0.1:1", &[]), "'localhost' for '--from"),
        (plan(good, "127.0.0.1", &[]), "'127.0.0.1' for '--to"),
        (plan(good, "127.0.0.1:0", &[]), "'127.0.0.1:0' for '--to"),
        (plan(good, "[::1]", &[]), "'[::1]' for '--to"),
        (plan(good, "[127.0.0.1]:3000", &[]), "'[127.0.0.1]:3000' for '--to"),
        (plan(good, ":3000", &[]), "':3000' for '--to"),
        (plan(good, "127.0.0.1:1,", &[]), "'' for '--to"),
        (plan(good, "127.0.0.1:1", &["--rate", "500"]), "'500' for '--rate"),
        (plan(good, "127.0.0.1:1", &["--rate", "0/s"]), "'0/s' for '--rate"),
        (plan(good, "127.0.0.1:1", &["--time-wait", "60"]), "'60' for '--time-wait"),
        (vec!["plan", "--from", good], "--to"),
        (vec!["measure", "--range", "5-3"], "'5-3' for '--range"),
        (vec!["measure", "--range", "1023-1030"], "'1023-1030' for '--range"),
        (vec!["measure", "--destinations", "0"], "'0' for '--destinations"),
        (vec!["now", "more"], "'more'"),
        (vec![], "Usage:"),
    ] {
        usage::refused("fourtuple", &[&["ports"], &arguments[..]].concat(), argument);
    }
}

#[test]
fn what_cannot_be_planned_or_measured_is_told_with_a_next_step() {
    let to = |from, to| ["plan", "--from", from, "--to", to];
    for (arguments, said) in [
        (to("192.0.2.1", "127.0.0.1:1"), "bind 192.0.2.1:0: EADDRNOTAVAIL"),
        (to("127.0.0.1", "[::1]:1"), "hint: both addresses of one family"),
        (to("127.0.0.1", "nowhere.invalid:1"), "getaddrinfo nowhere.invalid"),
        (
            ["measure", "--range=1024-65535", "--destinations", "250", "--format=text"],
            "needs 16128000 descriptors",
        ),
    ] {
        let end = ports(&arguments).with_status(1);
        assert!(end.stderr.contains(said) && end.stderr.contains("\nhint: "), "{}", end.stderr);
        assert_eq!(end.stdout, "", "{arguments:?}");
    }
}
