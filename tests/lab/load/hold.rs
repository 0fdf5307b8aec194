//! `fourtuple load hold`: many connections from few ports, and nothing left behind.

use std::collections::HashSet;
use std::fs;
use std::process::Command;

use fourtuple::net::TcpState;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::event;
use crate::program::kernel::{FullServer, Row, process_state, table};
use crate::program::namespace::isolated;
use crate::program::{Listener, Program, path, until};

const PORTS: std::ops::RangeInclusive<u16> = 20_000..=20_149;

/// Two listeners of a network of their own.
fn listeners() -> [Listener; 2] {
    [3000, 3001].map(|port| Listener::at("127.0.0.1", port, &["--quiet", "--receive-timeout", "none"]))
}

/// Starts `hold` with so many descriptors a process, so that it takes several.
fn hold(descriptors: usize, options: &[&str]) -> Program {
    let script = format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"");
    let words = ["load", "hold", "--remote", "127.0.0.1:3000-3001", "--source-ports", "20000-20149"];
    let mut command = Command::new("sh");
    command.args(["-c", &script, path("fourtuple")]).args(words).args(["--format", "json"]).args(options);
    Program::spawn(&mut command)
}

/// Starts a `hold` of 300 connections by three holders, to listeners that serve as long as they are there, and waits until
/// all are held.
fn hold_300(options: &[&str]) -> ([Listener; 2], Program) {
    let listeners = listeners();
    let hold = hold(132, &[&["--count", "300"], options].concat());
    hold.line_with(&["\"event\":\"memory\"", "holders"]);
    (listeners, hold)
}

/// The rows of its own ends.
fn held() -> Vec<Row> {
    table().into_iter().filter(|row| PORTS.contains(&row.local.port())).collect()
}

fn children(program: &Program) -> Vec<String> {
    let list = fs::read_to_string(format!("/proc/{0}/task/{0}/children", program.pid())).unwrap();
    list.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn every_four_tuple_is_held_once_and_echoed_and_ctrl_c_leaves_nothing() {
    if !isolated() {
        return;
    }
    let (listeners, mut hold) = hold_300(&["--verify"]);
    let rows = held();
    let tuples: HashSet<_> = rows.iter().map(|row| (row.local, row.remote)).collect();
    assert_eq!((rows.len(), tuples.len()), (300, 300));
    assert!(rows.iter().all(|row| row.state == TcpState::Established));
    assert_eq!(rows.iter().map(|row| row.local).collect::<HashSet<_>>().len(), 150, "two owners a port");
    for listener in &listeners {
        listener.signal(Signal::SIGUSR2);
        listener.line("connections open=150");
    }
    assert_eq!(children(&hold).len(), 3);
    for pid in children(&hold) {
        assert_eq!(group(&pid), pid, "Ctrl-C is to reach the one that asks alone");
    }
    hold.signal(Signal::SIGINT);
    let end = hold.end().well();
    let held_line = event(&end, "held");
    assert_eq!((&held_line["connections"], &held_line["verified"]), (&300.into(), &300.into()));
    let spread = event(&end, "spread");
    assert_eq!((&spread["owners_per_port"], &spread["processes"]), (&2.into(), &3.into()));
    until("no row", || held().is_empty().then_some(()));
}

#[test]
fn killed_it_takes_its_holders_and_their_connections_with_it() {
    if !isolated() {
        return;
    }
    let (_listeners, mut hold) = hold_300(&[]);
    let holders = children(&hold);
    assert_eq!(holders.len(), 3);
    hold.signal(Signal::SIGKILL);
    assert_eq!(hold.end().status, None);
    until("no holder", || holders.iter().all(|pid| !runs(pid)).then_some(()));
    until("no row", || held().is_empty().then_some(()));
}

/// Whether a process is there and no zombie.
fn runs(pid: &str) -> bool {
    process_state(pid).is_some_and(|state| state != 'Z')
}

/// The process group of a process.
fn group(pid: &str) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(2).unwrap().to_owned()
}

fn end_all(pids: &[String]) {
    for pid in pids {
        kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGKILL).unwrap();
    }
}

#[test]
fn without_any_holder_left_it_ends_by_itself() {
    if !isolated() {
        return;
    }
    let (_listeners, mut hold) = hold_300(&[]);
    end_all(&children(&hold));
    let end = hold.end().with_status(1);
    assert_eq!(event(&end, "failures")["other"], 300);
}

#[test]
fn a_holder_that_is_killed_before_its_connections_stand_is_not_waited_for() {
    if !isolated() {
        return;
    }
    let full = FullServer::new();
    let words = ["--count", "2", "--format", "json", "--remote", &full.address().to_string()];
    let mut hold = Program::start("fourtuple", &[&["load", "hold"], &words[..]].concat());
    hold.line_with(&["\"event\":\"spread\""]);
    until("two in SYN-SENT", || {
        let rows = held();
        (rows.len() == 2 && rows.iter().all(|row| row.state == TcpState::SynSent)).then_some(())
    });
    end_all(&children(&hold));
    let end = hold.end().with_status(1);
    assert_eq!(event(&end, "held")["connections"], 0, "{}", end.stdout);
    assert!(end.stderr.contains("a holder of 0 connections ended by itself: signal: 9"), "{}", end.stderr);
}

#[test]
fn a_handshake_that_nobody_answers_times_out() {
    if !isolated() {
        return;
    }
    let full = FullServer::new();
    let words = ["--count", "2", "--format", "json", "--connect-timeout", "100ms", "--duration", "0s"];
    let remote = full.address().to_string();
    let end = Program::run("fourtuple", &[&["load", "hold", "--remote", &remote], &words[..]].concat());
    assert_eq!(event(&end.with_status(1), "failures")["timed_out"], 2);
}

#[test]
fn ipv6_is_held_from_its_loopback_address_with_all_descriptors_that_the_hard_limit_allows() {
    if !isolated() {
        return;
    }
    let listener = Listener::at("::1", 3000, &["--quiet"]);
    let script = "ulimit -Sn 40 && exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, path("fourtuple"), "load", "hold", "--format", "json", "--count", "100"]);
    let end = Program::spawn(command.args(["--remote", &listener.address.to_string(), "--duration", "0s"]));
    let end = { end }.end().well();
    let (spread, held) = (event(&end, "spread"), event(&end, "held"));
    assert_eq!((&spread["source"], &spread["source_ports"]), (&"::1".into(), &100.into()));
    assert_eq!((&held["connections"], held.get("verified")), (&100.into(), None));
}

#[test]
fn a_holder_that_is_killed_is_missed() {
    if !isolated() {
        return;
    }
    let (_listeners, mut hold) = hold_300(&[]);
    end_all(&children(&hold)[..1]);
    until("200 rows", || (held().len() == 200).then_some(()));
    hold.signal(Signal::SIGINT);
    let end = hold.end().with_status(1);
    assert_eq!(event(&end, "failures")["other"], 100);
    assert!(end.stderr.contains("a holder of 100 connections ended by itself: signal: 9"), "{}", end.stderr);
}

#[test]
fn an_end_by_fin_leaves_time_wait() {
    if !isolated() {
        return;
    }
    let _listeners = listeners();
    let mut hold = hold(1000, &["--count", "50", "--close", "fin", "--duration", "1ms"]);
    hold.end().well();
    until("50 in TIME-WAIT", || {
        let rows = held();
        (rows.len() == 50 && rows.iter().all(|row| row.state == TcpState::TimeWait)).then_some(())
    });
    // Which keeps no port from the next run.
    let mut again = self::hold(1000, &["--count", "300", "--duration", "0s"]);
    assert_eq!(event(&again.end().well(), "held")["connections"], 300);
}

#[test]
fn a_connection_lost_while_it_is_held_is_told() {
    if !isolated() {
        return;
    }
    let [mut first, _second] = listeners();
    let mut hold = hold(1000, &["--count", "50"]);
    hold.line_with(&["\"event\":\"memory\"", "holders"]);
    first.signal(Signal::SIGTERM);
    first.end().well();
    hold.signal(Signal::SIGTERM);
    let end = hold.end().with_status(1);
    assert_eq!(event(&end, "failures")["closed"], 25, "{}", end.stdout);
}

#[test]
fn a_port_that_somebody_has_is_left_out() {
    if !isolated() {
        return;
    }
    let _listeners = listeners();
    let _taken = Listener::at("127.0.0.1", 20_007, &["--quiet", "--reuse-port", "off"]);
    let mut hold = hold(1000, &["--count", "298", "--verify", "--duration", "0s"]);
    let end = hold.end().well();
    assert_eq!(event(&end, "spread")["source_ports"], 149);
}

/// What is said of a run that cannot succeed: on standard error, and nothing was opened.
#[track_caller]
fn refused(mut hold: Program) -> String {
    let end = hold.end().with_status(1);
    assert_eq!(event(&end, "failed")["call"], "hold");
    assert_eq!(end.stdout.lines().count(), 1, "{}", end.stdout);
    end.stderr
}

#[test]
fn what_does_not_suffice_is_said_before_anything_is_opened() {
    if !isolated() {
        return;
    }
    let _listeners = listeners();
    let said = refused(hold(1000, &["--count", "301"]));
    assert!(said.contains("150 free source ports from 20000 to 20149 and 2 destinations"), "{said}");
    assert!(said.contains("hint: 3 destinations"), "{said}");
    let said = refused(hold(1000, &["--count", "1M"]));
    assert!(said.contains("hint: more ports (--source-ports), at least 10000\n"), "{said}");
    let said = refused(hold(1000, &["--count", "7M"]));
    assert!(said.contains("hint: 6553500 connections at most"), "{said}");
    let said = refused(hold(32, &["--count", "30"]));
    assert!(said.contains("a process may open 32 descriptors"), "{said}");
    assert!(said.contains("hint: a hard limit of 33 at least"), "{said}");
    let said = refused(hold(1000, &["--count", "3", "--remote", "127.0.0.1:3002"]));
    assert!(said.contains("nothing listens on 127.0.0.1:3002"), "{said}");
    let said = refused(hold(1000, &["--count", "3", "--remote", "[::1]:3000"]));
    assert!(said.contains("127.0.0.1 and ::1 are of two families"), "{said}");
    let said = refused(hold(1000, &["--count", "301", "--remote", "127.0.0.1:3000"]));
    assert!(said.contains("2 destinations make 300"), "one address counts once: {said}");
}

#[test]
fn a_source_address_that_is_not_of_this_host_is_told_at_once() {
    let words = ["load", "hold", "--count", "1", "--remote", "127.0.0.1:3000", "--source", "192.0.2.1"];
    let end = Program::run("fourtuple", &words).with_status(1);
    assert!(end.stderr.contains("bind 192.0.2.1:0: EADDRNOTAVAIL"), "{}", end.stderr);
    assert!(end.stderr.contains("\nhint: "), "{}", end.stderr);
}

#[test]
fn a_listener_that_may_not_open_its_share_is_named() {
    if !isolated() {
        return;
    }
    let small = Listener::with_descriptors("-n", 64, &["--quiet"]);
    let words = ["load", "hold", "--count", "100", "--remote", &small.address.to_string()];
    let end = Program::run("fourtuple", &words).with_status(1);
    assert!(end.stderr.contains(&format!("100 of them go to {}", small.address)), "{}", end.stderr);
    assert!(end.stderr.contains("hint: 2 destinations"), "{}", end.stderr);
}
