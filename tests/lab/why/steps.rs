//! Which steps are advised, and in which order: the cheapest first, and none that asks for more than it takes.

use std::fs;
use std::process;

use fourtuple::lab::why::{Goal, Remedy, why};

use super::advice::Answer;
use super::agrees::{at, question, sysctl};
use super::scene::{self, Options, State};
use crate::program::namespace::{as_ordinary_user, isolated, listener_of_another_user};
use crate::program::{Program, path};

const RA: Options = Options::of(true, false);
const RP: Options = Options::of(false, true);
const BOTH: Options = Options::of(true, true);

const RESTART_RP: &str = "SO_REUSEPORT on both sockets: restart ME with it";
const RESTART_RA: &str = "SO_REUSEADDR on both sockets: restart ME with it";
const SET_RA: &str = "SO_REUSEADDR on the new socket";
const SET_RP: &str = "SO_REUSEPORT on the new socket";
const ADDRESS: &str = "another address: 127.0.0.2";
const PORT: &str = "another port: NEXT";
const STOP: &str = "stop ME";
const STOP_AND_RA: &str = "stop ME, and SO_REUSEADDR on the new socket: connections leave TIME-WAIT";
const STOP_AND_WAIT: &str = "stop ME, and wait a minute: its connections leave TIME-WAIT";
const NEXT_TIME: &str = "next time, SO_REUSEADDR on the old socket and on the new one: then it works at once";

/// The old sockets, all at one address, and the new one that wants the port; then what helps.
type Case<'a> = (&'a [(State, Options)], &'a str, &'a str, Options, &'a [&'a str]);

#[rustfmt::skip]
const CASES: [Case; 18] = [
    (&[(State::Listen, Options::NONE)], "127.0.0.1", "127.0.0.1", Options::NONE, &[RESTART_RP, ADDRESS, PORT, STOP]),
    (&[(State::Listen, RA)], "127.0.0.1", "127.0.0.1", RA, &[RESTART_RP, ADDRESS, PORT, STOP]),
    (&[(State::Listen, BOTH)], "127.0.0.1", "127.0.0.1", Options::NONE, &[SET_RP, ADDRESS, PORT, STOP]),
    (&[(State::Bound, RA)], "127.0.0.1", "127.0.0.1", Options::NONE, &[SET_RA, ADDRESS, PORT, STOP]),
    (&[(State::Bound, BOTH)], "127.0.0.1", "127.0.0.1", Options::NONE, &[SET_RA, SET_RP, ADDRESS, PORT, STOP]),
    (&[(State::Bound, Options::NONE)], "127.0.0.1", "0.0.0.0", RP, &[RESTART_RA, PORT, STOP]),
    (&[(State::ChildBesideListener, Options::NONE)], "127.0.0.1", "127.0.0.1", Options::NONE, &[RESTART_RP, ADDRESS, PORT, STOP_AND_WAIT]),
    (&[(State::ChildBesideListener, RA)], "127.0.0.1", "127.0.0.1", Options::NONE, &[RESTART_RP, ADDRESS, PORT, STOP_AND_RA]),
    (&[(State::TimeWait, RA), (State::Listen, RA)], "127.0.0.1", "127.0.0.1", Options::NONE, &[RESTART_RP, ADDRESS, PORT, STOP_AND_RA]),
    (&[(State::Client, Options::NONE)], "127.0.0.1", "127.0.0.1", Options::NONE, &[RESTART_RA, ADDRESS, PORT, STOP_AND_WAIT]),
    (&[(State::CloseWait, Options::NONE)], "127.0.0.1", "127.0.0.1", Options::NONE, &[RESTART_RA, ADDRESS, PORT, STOP]),
    // Closed by its listener's end before anybody accepted it, a connection leaves nothing.
    (&[(State::NotAccepted, Options::NONE)], "127.0.0.1", "127.0.0.1", Options::NONE, &[RESTART_RP, ADDRESS, PORT, STOP]),
    (&[(State::TimeWait, Options::NONE)], "127.0.0.1", "127.0.0.1", Options::NONE, &["wait", ADDRESS, PORT, NEXT_TIME]),
    (&[(State::TimeWait, RA)], "127.0.0.1", "127.0.0.1", Options::NONE, &[SET_RA, "wait", ADDRESS, PORT]),
    (&[(State::OrphanedFinWait2, Options::NONE)], "127.0.0.1", "127.0.0.1", RA, &["wait", ADDRESS, PORT, NEXT_TIME]),
    (&[(State::Listen, Options::NONE)], "0.0.0.0", "::", Options::NONE, &["IPV6_V6ONLY on the new socket", "another address: ::1", PORT, STOP]),
    (&[(State::Listen, Options::NONE)], "::", "0.0.0.0", Options::NONE, &["restart ME with IPV6_V6ONLY", PORT, STOP]),
    (&[(State::Listen, Options::NONE)], "::1", "::", Options { v6_only: true, ..Options::NONE }, &[RESTART_RP, PORT, STOP]),
];

/// The steps in words, without what differs from run to run: this process, which has the old sockets, and the times.
fn steps(answer: &Answer, port: u16) -> Vec<String> {
    let name = fs::read_to_string("/proc/self/comm").unwrap();
    let me = format!("pid {} ({})", process::id(), name.trim_end());
    let words = |words: &str| match words.starts_with("wait ") {
        true => "wait".to_owned(),
        false => words.replace(&me, "ME").replace(&format!("port: {}", port + 1), "port: NEXT"),
    };
    for advice in answer.of("advice") {
        assert_eq!(advice["tried_out"], true, "{advice}");
    }
    answer.of("advice").map(|advice| words(advice["words"].as_str().unwrap())).collect()
}

#[test]
fn of_what_helps_all_is_told_the_cheapest_first_and_nothing_more() {
    if !isolated() {
        return;
    }
    for (index, (olds, held, asked, new, expected)) in CASES.into_iter().enumerate() {
        let port = 3000 + index as u16 * 10;
        let _scenes: Vec<_> =
            olds.iter().map(|&(state, old)| scene::set(state, at(held, port), old)).collect();
        let answer = Answer::about(Goal::Listen(at(asked, port)), new);
        assert_eq!(steps(&answer, port), expected, "{olds:?} {held}; {asked} {new:?}");
    }
}

#[test]
fn a_four_tuple_in_time_wait_is_waited_for_where_there_are_no_timestamps() {
    if !isolated() {
        return;
    }
    sysctl("ipv4/tcp_timestamps", "0");
    let scene = scene::set(State::TimeWait, at("127.0.0.1", 3000), RA);
    let (local, remote) = scene.tuple.unwrap();
    let answer = Answer::about(Goal::Connect { local: Some(local), remote }, RA);
    assert_eq!(steps(&answer, 3000), ["wait", ADDRESS, "port 0: the kernel picks a free one"]);
    // The wildcard address leaves the choice to the route, and so does another one no good for sure.
    let any = Goal::Connect { local: Some(at("0.0.0.0", 3000)), remote };
    assert_eq!(steps(&Answer::about(any, RA), 3000), ["wait", "port 0: the kernel picks a free one"]);
}

#[test]
fn in_place_of_a_foreign_address_one_is_told_that_is_free() {
    if !isolated() {
        return;
    }
    let told = |port| {
        let answer = Answer::about(Goal::Bind(at("192.0.2.1", port)), Options::NONE);
        answer.of("advice").map(|advice| advice["words"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let free = told(3000);
    let answer = Answer::about(Goal::Bind(at("192.0.2.1", 3000)), Options::NONE);
    assert_eq!(answer.of("advice").filter(|advice| advice["tried_out"] == true).count(), 3);
    assert_eq!(free[..2], ["another address: 127.0.0.1", "another address: 0.0.0.0"]);
    assert!(
        free[2].starts_with("give the address to this host: `sudo ip addr add 192.0.2.1/32 dev lo`"),
        "{free:?}"
    );
    let _scene = scene::set(State::Listen, at("127.0.0.1", 3001), Options::NONE);
    assert_eq!(told(3001).len(), 1, "neither is free");
}

#[test]
fn who_listens_on_a_wildcard_address_is_connected_to_on_loopback() {
    if !isolated() {
        return;
    }
    let remote = |asked: &str, port| {
        let goal = Goal::Connect { local: None, remote: at(asked, port) };
        Answer::about(goal, Options::NONE)
            .step("remote")
            .map(|step| step["words"].as_str().unwrap().to_owned())
    };
    let _ipv4 = scene::set(State::Listen, at("0.0.0.0", 3000), Options::NONE);
    assert_eq!(remote("::1", 3000).unwrap(), "connect to 127.0.0.1:3000");
    let only = Options { v6_only: true, ..Options::NONE };
    let _ipv6 = scene::set(State::Listen, at("::", 3001), only);
    assert_eq!(remote("127.0.0.1", 3001).unwrap(), "connect to [::1]:3001");
    let bound = Goal::Connect { local: Some(at("127.0.0.1", 0)), remote: at("127.0.0.1", 3001) };
    let advice = why(&question(bound, Options::NONE)).unwrap().advice;
    assert!(
        !advice.iter().any(|advice| matches!(advice.remedy, Remedy::Remote(..))),
        "of the other family: {advice:?}"
    );
}

#[test]
fn a_process_that_asks_is_not_advised_to_stop_itself() {
    if !isolated() {
        return;
    }
    let scene = scene::set(State::Client, at("127.0.0.1", 3000), RA);
    let (local, remote) = scene.tuple.unwrap();
    for goal in [Goal::Bind(local), Goal::Connect { local: Some(local), remote }] {
        let options = if matches!(goal, Goal::Bind(_)) { Options::NONE } else { RA };
        let answer = why(&question(goal, options)).unwrap();
        assert_eq!(answer.in_the_way[0].holder.processes[0].pid, process::id());
        let stops = |step: &Remedy| matches!(step, Remedy::Stop(..) | Remedy::Restart(..));
        assert!(!answer.advice.iter().any(|advice| stops(&advice.remedy)), "{goal:?}: {:?}", answer.advice);
    }
}

#[test]
fn without_a_word_of_it_ipv6_only_is_as_the_setting_says() {
    if !isolated() {
        return;
    }
    let _scene = scene::set(State::Listen, at("0.0.0.0", 3000), Options::NONE);
    let answer = Answer::to(&["[::]:3000"]);
    assert_eq!(answer.of("in-the-way").count(), 1);
    assert_eq!(answer.step("set").unwrap()["v6_only"], true);
    sysctl("ipv6/bindv6only", "1");
    assert!(Answer::to(&["[::]:3000"]).works());
}

#[test]
fn of_several_that_wait_the_last_to_go_is_waited_for() {
    if !isolated() {
        return;
    }
    let _scenes = [("127.0.0.1", "40"), ("127.0.0.2", "10")].map(|(ip, seconds)| {
        sysctl("ipv4/tcp_fin_timeout", seconds);
        scene::set(State::OrphanedFinWait2, at(ip, 3000), Options::NONE)
    });
    let answer = Answer::about(Goal::Bind(at("0.0.0.0", 3000)), Options::NONE);
    let wait = answer.step("wait").unwrap();
    assert!((20_000_000..=40_000_000).contains(&wait["wait_us"].as_u64().unwrap()), "{wait}");
    assert!(wait["wait_at_most_us"].as_u64() > wait["wait_us"].as_u64(), "{wait}");
}

#[test]
fn what_is_not_known_of_one_in_the_way_is_not_made_up_for_by_another() {
    if !isolated() {
        return;
    }
    let _root = scene::set(State::Listen, at("127.0.0.1", 3000), RP);
    let Some(theirs) = listener_of_another_user("127.0.0.2") else { return };
    // One of the two is theirs: to stop that is not enough.
    let mut ask = as_ordinary_user(path("fourtuple"));
    let end = Program::spawn(ask.args(["why", "3000"])).end().with_status(1);
    assert!(end.stdout.contains(&format!("pid={}", theirs.pid())), "{}", end.stdout);
    assert!(!end.stdout.contains("stop pid"), "{}", end.stdout);
    assert!(end.stdout.contains("stop the process that has it, which was not seen: "), "{}", end.stdout);
    // Neither is it to be them: root has the other one.
    let answer = why(&question(Goal::Listen(at("0.0.0.0", 3000)), RP)).unwrap();
    assert_eq!(answer.in_the_way.len(), 1);
    assert!(
        !answer.advice.iter().any(|advice| matches!(advice.remedy, Remedy::User(_))),
        "{:?}",
        answer.advice
    );
}
