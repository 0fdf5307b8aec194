//! System calls that fail: at most the connections concerned are lost, the rest is served on.
//!
//! `scripts/inject-faults` runs every call with every errno and prints the table.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]
#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a skipped test says so, and a table is printed"
)]

mod accept;
mod calls;
mod case;
mod load;
#[path = "../program/mod.rs"]
mod program;
mod rooms;
mod strace;
mod talks;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::thread;

use case::Outcome;
use program::Listener;
use strace::{Attached, EVERY_20TH, EVERY_TIME, FIRST, Fault, Record, SECOND, When};

/// Whether strace may attach to our programs; says so where it may not, and that is a failure under REQUIRE_ALL=1.
fn strace_works() -> bool {
    let listener = Listener::start(&[]);
    let Err(reason) = Attached::to(listener.pid(), None) else { return true };
    program::skip(format_args!("no fault can be injected here: {reason}"));
    false
}

#[derive(Clone, Copy)]
enum Case {
    /// Under this model.
    Listener(&'static str, Fault),
    Connector(Fault, SocketAddr),
    Relay(Fault),
    TalkCalling(Fault, SocketAddr),
    TalkCalled(Fault),
    TalkOnTerminal(Fault, SocketAddr),
}

impl Case {
    fn run(self) -> Outcome {
        match self {
            Self::Listener(model, fault) => case::listener(model, fault),
            Self::Connector(fault, server) => case::connector(fault, server),
            Self::Relay(fault) => rooms::relay(fault),
            Self::TalkCalling(fault, server) => talks::calling(fault, server),
            Self::TalkCalled(fault) => talks::called(fault),
            Self::TalkOnTerminal(fault, server) => talks::on_terminal(fault, server),
        }
    }
}

/// Runs the cases, a few at a time, and prints a line for each; those that failed.
fn run(cases: Vec<Case>) -> Vec<Outcome> {
    let cases = Mutex::new(cases.into_iter());
    let outcomes = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let next = || cases.lock().unwrap().next();
                while let Some(case) = next() {
                    let outcome = case.run();
                    println!("{outcome}");
                    outcomes.lock().unwrap().push(outcome);
                }
            });
        }
    });
    outcomes.into_inner().unwrap()
}

/// Fails if one of these was not ok, or a call was never made to fail.
#[track_caller]
fn judge(outcomes: &[Outcome]) {
    let failed: Vec<String> =
        outcomes.iter().filter(|outcome| outcome.complaint.is_some()).map(Outcome::to_string).collect();
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
    let name = |outcome: &Outcome| (outcome.program, outcome.fault.call);
    let reached: BTreeSet<_> = outcomes.iter().filter(|outcome| outcome.faults > 0).map(name).collect();
    let all: BTreeSet<_> = outcomes.iter().map(name).collect();
    let unreached: Vec<_> = all.difference(&reached).collect();
    assert!(unreached.is_empty(), "the load never leads to {unreached:?}");
}

/// Fails if the listener makes a call under this load that is neither made to fail nor left out for a reason.
fn every_call_is_known(model: &str, lists: &[&[calls::Call]]) {
    let (record, _) = case::load_listener(model, None).unwrap();
    calls_are_known(model, &record, lists);
}

/// Fails if one of the calls made is neither made to fail nor left out for a reason.
fn calls_are_known(program: &str, record: &Record, lists: &[&[calls::Call]]) {
    let known = |name: &str| {
        let left_out = |(what, _): &(&str, _)| what.split([' ', ',']).any(|word| word == name);
        lists.concat().iter().any(|&(call, _)| call == name) || calls::LEFT_OUT.iter().any(left_out)
    };
    let unknown: Vec<String> = record.calls().into_iter().filter(|name| !known(name)).collect();
    assert!(unknown.is_empty(), "not in tests/faults/calls.rs, for {program}: {unknown:?}");
}

const TIMES: &[When] = &[FIRST, SECOND, EVERY_20TH];

fn faults(calls: &'static [calls::Call], times: &'static [When]) -> impl Iterator<Item = Fault> {
    calls.iter().flat_map(move |&(call, errnos)| {
        let times = move |errno| times.iter().map(move |&when| Fault { call, errno, when });
        errnos.split_whitespace().flat_map(times)
    })
}

/// The faults under a model whose accepting thread makes these calls.
fn faults_of_model(model: &'static str, accepting: &'static [calls::Call]) -> impl Iterator<Item = Case> {
    every_call_is_known(model, &[accepting, calls::SERVING]);
    // Those who serve count anew, each its own calls, and would fail one and all the first time.
    faults(accepting, TIMES)
        .chain(faults(calls::SERVING, &[EVERY_20TH]))
        .map(move |fault| Case::Listener(model, fault))
}

/// The faults under relay, and under talk in each of its places.
fn conversations(server: SocketAddr) -> impl Iterator<Item = Case> {
    calls_are_known("relay", &rooms::fill(None).unwrap().0, &[calls::LISTENER]);
    calls_are_known("talk", &talks::talk_called(None).unwrap().0, &[calls::TALKING]);
    // It listens on one address, so it asks no connection for its own; and after so few, malloc gives back nothing.
    let reached = |fault: &Fault| !["getsockname", "madvise"].contains(&fault.call);
    let relay = faults(calls::LISTENER, TIMES).filter(reached).map(Case::Relay);
    let calling = faults(calls::CALLING, TIMES).map(move |fault| Case::TalkCalling(fault, server));
    let called = faults(calls::TALKING, TIMES).map(Case::TalkCalled);
    let terminal = faults(calls::TERMINAL, TIMES).chain(faults(calls::TERMINAL_FOR_GOOD, &[EVERY_TIME]));
    relay.chain(calling).chain(called).chain(terminal.map(move |fault| Case::TalkOnTerminal(fault, server)))
}

#[test]
#[ignore = "a part of every_call_with_every_errno"]
fn every_call_with_every_errno_of_a_conversation() {
    if strace_works() {
        let server = Listener::start(&["--quiet"]);
        judge(&run(conversations(server.address).collect()));
    }
}

#[test]
fn a_call_that_fails_costs_the_connections_concerned_and_no_other() {
    if !strace_works() {
        return;
    }
    let server = Listener::start(&["--quiet"]);
    let fault = |call, errno, when| Fault { call, errno, when };
    judge(&run(vec![
        Case::Listener("event-loop", fault("accept4", "EMFILE", EVERY_20TH)),
        Case::Listener("event-loop", fault("epoll_ctl", "ENOSPC", EVERY_20TH)),
        Case::Listener("event-loop", fault("epoll_wait", "EINTR", EVERY_20TH)),
        Case::Listener("event-loop", fault("getsockname", "ENOBUFS", FIRST)),
        Case::Listener("event-loop", fault("recvfrom", "ENOMEM", EVERY_20TH)),
        Case::Listener("event-loop", fault("sendto", "ENOBUFS", EVERY_20TH)),
        Case::Listener("event-loop", fault("write", "EIO", EVERY_20TH)),
        Case::Listener("thread", fault("clone3", "EAGAIN", SECOND)),
        Case::Listener("thread", fault("accept4", "EMFILE", EVERY_20TH)),
        Case::Listener("fork", fault("clone", "EAGAIN", SECOND)),
        Case::Listener("fork", fault("recvfrom", "ENOMEM", EVERY_20TH)),
        Case::Connector(fault("sendto", "ENOBUFS", SECOND), server.address),
        Case::Connector(fault("epoll_ctl", "ENOSPC", FIRST), server.address),
        Case::Relay(fault("recvfrom", "ENOMEM", EVERY_20TH)),
        Case::Relay(fault("accept4", "EMFILE", SECOND)),
        Case::TalkCalling(fault("eventfd2", "EMFILE", FIRST), server.address),
        Case::TalkCalled(fault("write", "EIO", FIRST)),
        Case::TalkCalled(fault("write", "EIO", EVERY_TIME)),
        Case::TalkCalled(fault("epoll_wait", "EINTR", EVERY_TIME)),
        Case::TalkOnTerminal(fault("write", "EIO", FIRST), server.address),
        Case::TalkOnTerminal(fault("write", "EIO", EVERY_TIME), server.address),
        Case::TalkOnTerminal(fault("epoll_wait", "EINTR", EVERY_TIME), server.address),
    ]));
}

#[test]
#[ignore = "long: scripts/inject-faults"]
fn every_call_with_every_errno() {
    if !strace_works() {
        return;
    }
    every_call_is_known("event-loop", &[calls::LISTENER]);
    let server = Listener::start(&["--quiet"]);
    let thread = faults_of_model("thread", calls::THREAD);
    let fork = faults_of_model("fork", calls::FORK);
    println!("program    call          errno           when  faults lost  verdict");
    let event_loop = faults(calls::LISTENER, TIMES).map(|fault| Case::Listener("event-loop", fault));
    let connector = faults(calls::CONNECTOR, TIMES).map(|fault| Case::Connector(fault, server.address));
    let cases = event_loop.chain(thread).chain(fork).chain(connector).chain(conversations(server.address));
    let outcomes = run(cases.collect());
    println!("\nLeft out:");
    for (what, why) in calls::LEFT_OUT {
        println!("  {what}: {why}");
    }
    let ok = outcomes.iter().filter(|outcome| outcome.complaint.is_none() && outcome.faults > 0).count();
    let faults: usize = outcomes.iter().map(|outcome| outcome.faults).sum();
    let failed = outcomes.iter().filter(|outcome| outcome.complaint.is_some()).count();
    let unreached = outcomes.len() - ok - failed;
    println!("\n{ok} ok, {failed} not ok, {unreached} not reached; {faults} faults");
    judge(&outcomes);
}
