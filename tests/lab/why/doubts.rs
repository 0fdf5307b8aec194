//! What cannot be read is said as that, with what comes of it.

use std::process::Command;
use std::time::Duration;

use fourtuple::lab::why::Goal;
use fourtuple::net::TcpState;
use fourtuple::{FourTuple, connection};
use nix::errno::Errno;
use serde_json::Value;
use socket2::Socket;

use super::advice::Answer;
use super::agrees::{at, made, question, sysctl};
use super::scene::{self, Options, State};
use crate::program::namespace::isolated;
use crate::program::{Program, path, skip, until};

/// Fails unless it is said that the call may fail at connect with this errno, for this reason.
#[track_caller]
fn may_fail(answer: &Answer, errno: Errno, reason: &str) {
    let verdict = answer.of("verdict").next().unwrap();
    let said = ["unknown", "works", "fails_at", "errno", "reason"].map(|key| verdict[key].clone());
    let errno = format!("{errno:?}");
    assert_eq!(said, [Value::from(true), false.into(), "connect".into(), errno.into(), reason.into()]);
}

/// A socket that listens with SO_REUSEPORT, for so many connections and one.
fn member(backlog: i32) -> Socket {
    let local = at("127.0.0.1", 3000);
    let socket = scene::open(local, Options::of(false, true));
    socket.bind(&local.into()).unwrap();
    socket.listen(backlog).unwrap();
    socket
}

#[test]
fn a_full_member_of_a_group_may_be_given_the_connection() {
    if !isolated() {
        return;
    }
    let [full, other] = [member(0), member(1000)];
    let goal = Goal::Connect { local: None, remote: at("127.0.0.1", 3000) };
    assert!(Answer::about(goal, Options::NONE).works());
    // Each goes to one or the other.
    let mut waiting = Vec::new();
    until("a full queue", || {
        let client = scene::open(at("127.0.0.1", 0), Options::NONE);
        client.set_nonblocking(true).unwrap();
        let _ = client.connect(&at("127.0.0.1", 3000).into());
        waiting.push(client);
        let answer = Answer::about(goal, Options::NONE);
        (!answer.works()).then_some(())
    });
    let answer = Answer::about(goal, Options::NONE);
    may_fail(&answer, Errno::ETIMEDOUT, "queue");
    assert_eq!(answer.of("in-the-way").count(), 1);
    assert_eq!(answer.of("in-the-way").next().unwrap()["local"], "127.0.0.1:3000");
    let text = Program::run("fourtuple", &["why", "connect", "127.0.0.1:3000"]).with_status(1).stdout;
    let words = "unknown: connect 127.0.0.1:3000 may fail at connect with ETIMEDOUT (Connection timed out)\n\
                 1 of the 2 listeners that share the address have a full accept queue";
    assert!(text.starts_with(words), "{text}");
    // Alone it takes none.
    drop(other);
    let verdict = Answer::about(goal, Options::NONE);
    assert_eq!(verdict.of("verdict").next().unwrap()["reason"], "queue-full");
    drop(full);
}

#[test]
fn whether_a_far_end_had_timestamps_cannot_be_told() {
    if !isolated() {
        return;
    }
    let far_away = "echo 0 >/proc/sys/net/ipv4/tcp_timestamps; until ip link set v1 up 2>/dev/null; do sleep .01; done; \
                    ip addr add 10.0.0.2/24 dev v1; exec \"$0\" 4000 10.0.0.2";
    let far_away =
        Program::spawn(Command::new("unshare").args(["--net", "sh", "-c", far_away, path("listener")]));
    let ip = |arguments: &str| {
        let status = Command::new("ip").args(arguments.split(' ')).status();
        status.is_ok_and(|status| status.success())
    };
    if !ip(&format!("link add v0 type veth peer name v1 netns {}", far_away.pid())) {
        return skip("no veth(4) can be made here");
    }
    assert!(ip("addr add 10.0.0.1/24 dev v0") && ip("link set v0 up"));
    far_away.line("listening ");
    let (local, remote, shared) = (at("10.0.0.1", 3001), at("10.0.0.2", 4000), Options::of(true, false));
    let goal = Goal::Connect { local: Some(local), remote };
    let begin = || connection(FourTuple { local, remote }).unwrap().map(|row| row.state);
    assert_eq!(made(&question(goal, shared), shared), None);
    until("TIME-WAIT", || begin().filter(|state| *state == TcpState::TimeWait));
    let answer = Answer::about(goal, shared);
    may_fail(&answer, Errno::EADDRNOTAVAIL, "timestamps");
    assert_eq!(answer.of("in-the-way").next().unwrap()["state"], "TIME-WAIT");
    assert_eq!(made(&question(goal, shared), shared), Some(("connect", Errno::EADDRNOTAVAIL)));
    // Without timestamps here it is sure.
    sysctl("ipv4/tcp_timestamps", "0");
    let verdict = Answer::about(goal, shared);
    assert_eq!(verdict.of("verdict").next().unwrap()["reason"], "four-tuple");
}

#[test]
fn what_is_half_closed_may_become_time_wait_at_its_end() {
    if !isolated() {
        return;
    }
    sysctl("ipv4/tcp_fin_timeout", "5");
    let _scene = scene::set(State::OrphanedFinWait2, at("127.0.0.1", 3000), Options::NONE);
    let answer = Answer::to(&["127.0.0.1:3000"]);
    let wait = answer.step("wait").unwrap();
    let [least, most] =
        ["wait_us", "wait_at_most_us"].map(|key| Duration::from_micros(wait[key].as_u64().unwrap()));
    assert!(least <= Duration::from_secs(5) && most > Duration::from_secs(60), "{wait}");
    let told =
        answer.of("remark").any(|remark| remark["words"].as_str().unwrap().contains("becomes TIME-WAIT"));
    assert!(told);
}

#[test]
fn a_port_that_udp_has_is_free_and_that_is_told() {
    if !isolated() {
        return;
    }
    let _udp = std::net::UdpSocket::bind(at("127.0.0.1", 53)).unwrap();
    let answer = Answer::to(&["53"]);
    assert!(answer.works());
    let words = "this is about TCP: a UDP socket has port 53 too (127.0.0.1:53), and the two share no ports";
    assert!(answer.of("remark").any(|remark| remark["words"] == words));
    assert_eq!(Answer::to(&["54"]).of("remark").count(), 0);
}
