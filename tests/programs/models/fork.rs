//! What only a process for each client has: children that are reaped, told, counted, and never left behind.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal::{SIGINT, SIGKILL, SIGSTOP, SIGTERM};
use nix::sys::signal::{kill, killpg};
use nix::unistd::Pid;

use super::model::{Model, children};
use crate::program::client::{connect, exchange, read_to_fin, round_trip};
use crate::program::kernel::{ReservedPort, process_state};
use crate::program::{Listener, Program, field, path, until};

/// How long a child that has ended may be a zombie.
const SAMPLE: Duration = Duration::from_millis(100);

fn start(options: &[&str]) -> Listener {
    Model::fork().start(options)
}

fn zombies(parent: u32) -> HashSet<i32> {
    children(parent).into_iter().filter(|&child| process_state(child) == Some('Z')).collect()
}

/// Clients, each with a child of its own.
fn served(listener: &Listener, clients: usize) -> (Vec<TcpStream>, Vec<i32>) {
    let streams: Vec<TcpStream> = (0..clients).map(|_| connect(listener.address)).collect();
    for stream in &streams {
        round_trip(stream, b"hello");
    }
    (streams, children(listener.pid()))
}

#[track_caller]
fn wait_until_gone(pids: &[i32]) {
    for &pid in pids {
        // Where nobody reaps orphans, a dead one stays as a zombie, which holds nothing.
        until(&format!("{pid} has ended"), || matches!(process_state(pid), None | Some('Z')).then_some(()));
    }
}

#[test]
fn of_a_thousand_clients_that_come_and_go_no_child_stays_a_zombie() {
    const CLIENTS: usize = 1000;
    let listener = start(&["--quiet"]);
    let (address, parent, done) = (listener.address, listener.pid(), AtomicBool::new(false));
    thread::scope(|scope| {
        let sampling = scope.spawn(|| {
            let (mut before, mut samples) = (HashSet::new(), 0);
            while !done.load(Ordering::Relaxed) {
                // A parent that waits for the processor is about to reap them; one that sleeps has forgotten them.
                let now = if process_state(parent) == Some('S') { zombies(parent) } else { HashSet::new() };
                assert!(now.is_disjoint(&before), "zombies in two samples: {now:?} and {before:?}");
                (before, samples) = (now, samples + 1);
                thread::sleep(SAMPLE);
            }
            samples
        });
        let coming: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..CLIENTS / 4).for_each(|_| round_trip(&connect(address), b"hello"))))
            .collect();
        let outcomes: Vec<_> = coming.into_iter().map(|clients| clients.join()).collect();
        done.store(true, Ordering::Relaxed);
        assert!(sampling.join().unwrap() > 0);
        outcomes.into_iter().for_each(|outcome| outcome.unwrap());
    });
    until("no child is left", || children(parent).is_empty().then_some(()));
}

#[test]
fn three_are_served_by_three_children_and_a_fourth_once_one_has_left() {
    let listener = start(&["--max-connections", "3"]);
    let (mut streams, pids) = served(&listener, 3);
    assert_eq!(pids.len(), 3);
    for _ in 0..20 {
        assert_eq!(read_to_fin(&connect(listener.address)), b"");
    }
    listener.nth_line(20, "refused ");
    assert_eq!(children(listener.pid()), pids);
    for left in 1..=20 {
        // Whoever has read of its end may count on the place.
        drop(streams.remove(0));
        listener.nth_line(left, "closed ");
        let stream = connect(listener.address);
        round_trip(&stream, b"hello");
        streams.push(stream);
    }
    assert_eq!(listener.said().matches("refused ").count(), 20);
}

#[test]
fn a_stop_leaves_no_process() {
    for (clients, drain) in [(1, "1h"), (50, "200ms")] {
        let mut listener = start(&["--drain", drain]);
        let (streams, pids) = served(&listener, clients);
        assert_eq!(pids.len(), clients);
        listener.signal(SIGTERM);
        listener.line("draining ");
        if drain == "1h" {
            drop(streams);
        }
        let end = listener.end().well();
        assert_eq!(end.lines("closed ").len(), clients, "{end:#?}");
        pids.iter().for_each(|&pid| assert_eq!(process_state(pid), None, "{pid}"));
    }
}

#[test]
fn a_child_that_does_not_run_keeps_the_parent_only_for_its_grace_and_dies_with_it() {
    let mut listener = start(&["--drain", "100ms"]);
    let (_streams, pids) = served(&listener, 2);
    kill(Pid::from_raw(pids[0]), SIGSTOP).unwrap();
    let end = listener.stop().well();
    assert_eq!(end.lines("closed ").len(), 1, "{end:#?}");
    wait_until_gone(&pids);
}

#[test]
fn the_death_of_the_parent_is_that_of_its_children() {
    let mut listener = start(&[]);
    let (_streams, pids) = served(&listener, 20);
    listener.signal(SIGKILL);
    assert_eq!(listener.end().status, None);
    wait_until_gone(&pids);
}

#[test]
fn ctrl_c_reaches_parent_and_children_and_is_obeyed_once() {
    let mut command = Command::new(path("listener"));
    command.args(["0", "127.0.0.1", "--model", "fork", "--drain", "1h"]).process_group(0);
    let mut listener = Program::spawn(&mut command);
    let address = field(&listener.line("listening "), "local").parse().unwrap();
    let stream = connect(address);
    round_trip(&stream, b"hello");
    killpg(Pid::from_raw(listener.pid().cast_signed()), SIGINT).unwrap();
    assert_eq!(read_to_fin(&stream), b"");
    listener.line("draining ");
    drop(stream);
    let end = listener.end().well();
    assert_eq!(field(end.lines("closed ")[0], "reason"), "fin");
}

#[test]
fn sigterm_to_a_child_finishes_its_client_alone() {
    let listener = start(&[]);
    let (streams, _) = served(&listener, 1);
    let first = children(listener.pid())[0];
    let second = connect(listener.address);
    round_trip(&second, b"hello");
    kill(Pid::from_raw(first), SIGTERM).unwrap();
    assert_eq!(read_to_fin(&streams[0]), b"");
    drop(streams);
    assert_eq!(field(&listener.line("closed "), "reason"), "fin");
    round_trip(&second, b"hello again");
}

#[test]
fn a_child_that_was_killed_is_told_and_its_place_given_again() {
    let listener = start(&["--max-connections", "1"]);
    let (streams, pids) = served(&listener, 1);
    kill(Pid::from_raw(pids[0]), SIGKILL).unwrap();
    let remote = streams[0].local_addr().unwrap();
    let killed = format!("killed local={} remote={remote} pid={}", listener.address, pids[0]);
    assert_eq!(listener.line("killed "), killed);
    served(&listener, 1);
}

/// The sockets that a process has, as proc_pid_fd(5) names them.
fn sockets(pid: i32) -> HashSet<String> {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let links = links.map(|link| fs::read_link(link?.path())).collect::<io::Result<Vec<_>>>().unwrap();
    links.iter().map(|link| link.display().to_string()).filter(|name| name.starts_with("socket:")).collect()
}

/// The listening socket on this port, in the same words.
fn listening(port: u16) -> String {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!(":{port:04X} 00000000:0000 0A");
    let row = table.lines().find(|row| row.contains(&local)).unwrap();
    format!("socket:[{}]", row.split_whitespace().nth(9).unwrap())
}

#[test]
fn a_child_does_not_hold_the_listening_socket_nor_the_parent_those_of_its_clients() {
    let listener = start(&[]);
    let (streams, pids) = served(&listener, 3);
    let (parent, listening) = (listener.pid().cast_signed(), listening(listener.address.port()));
    assert!(sockets(parent).contains(&listening));
    for &pid in &pids {
        // Either closes its copies soon after the fork; the child answers meanwhile.
        until("each has its own sockets alone", || {
            let own = sockets(pid);
            let is_apart = own.difference(&sockets(parent)).count() == 1 && !own.contains(&listening);
            is_apart.then_some(())
        });
    }
    drop(streams);
}

#[test]
fn a_listener_that_was_killed_leaves_its_port_free() {
    let reserved = ReservedPort::new();
    let port = reserved.address().port();
    let mut first = Listener::at("127.0.0.1", port, &["--model", "fork"]);
    let (_streams, pids) = served(&first, 3);
    first.signal(SIGKILL);
    first.end();
    wait_until_gone(&pids);
    let again = Listener::at("127.0.0.1", port, &["--model", "fork", "--reuse-address", "on"]);
    served(&again, 1);
}

#[test]
fn many_children_exchange_much_at_once() {
    let listener = start(&["--quiet"]);
    let address = listener.address;
    thread::scope(|scope| {
        for seed in 1..=16 {
            scope.spawn(move || {
                let (sent, received) = exchange(address, 4 * 1024 * 1024, seed);
                assert_eq!(received, sent);
            });
        }
    });
    round_trip(&connect(address), b"last");
}
