//! Who is in the way is named, and does not notice.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::process::Command;

use fourtuple::lab::why::Goal;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use super::advice::Answer;
use super::agrees::{at, made, question, sysctl};
use super::scene::{self, Options, State};
use crate::program::kernel::FullServer;
use crate::program::namespace::{
    as_ordinary_user, has_ordinary_user, isolated, listener_of_another_user, segments_sent,
};
use crate::program::{Listener, Program, client, path};

/// Steps of `fourtuple perform`, run by another process; it is there until this is dropped.
fn perform(steps: &str) -> Program {
    let program = Program::start("fourtuple", &["perform", &format!("{steps}; getsockname; pause")]);
    program.line_with(&["getsockname"]);
    program
}

/// The one socket in the way.
#[track_caller]
pub fn only(answer: &Answer) -> &Value {
    let all: Vec<&Value> = answer.of("in-the-way").collect();
    let [only] = all[..] else { panic!("{all:#?}") };
    only
}

/// The processes that are said to have a socket, or that a step is about.
pub fn pids(socket: &Value) -> BTreeSet<u64> {
    let processes = socket["processes"].as_array().unwrap();
    processes.iter().map(|process| process["pid"].as_u64().unwrap()).collect()
}

#[test]
fn a_socket_that_is_only_bound_by_another_process_is_named_with_its_pid() {
    if !isolated() {
        return;
    }
    let holder = perform("socket; setsockopt SO_REUSEPORT 1; bind 127.0.0.1:3000");
    let answer = Answer::to(&["3000"]);
    let found = only(&answer);
    assert_eq!(found["state"], "BOUND");
    assert_eq!(found["local"], "127.0.0.1:3000");
    assert_eq!(pids(found), BTreeSet::from([u64::from(holder.pid())]));
    assert_eq!(found["processes"][0]["name"], "fourtuple");
    assert_eq!((&found["reuse_address"], &found["reuse_port"]), (&Value::from(false), &Value::from(true)));
    let text = Program::run("fourtuple", &["why", "3000"]).with_status(1).stdout;
    let expected = format!(
        "no: listen 0.0.0.0:3000 fails at bind with EADDRINUSE (Address already in use)\n\
         another socket has the address\n\n\
         in the way\n  \
         BOUND 127.0.0.1:3000 pid={} (fourtuple), SO_REUSEADDR off, SO_REUSEPORT on, uid 0 (root)\n",
        holder.pid()
    );
    assert!(text.starts_with(&expected), "{text}");
}

/// The kernel lists it as SYN-RECEIVED, but it has no address until the handshake is over.
#[test]
fn a_connection_request_is_in_nobodys_way() {
    if !isolated() {
        return;
    }
    let half_open =
        "s: socket; bind 127.0.0.1:3000; listen 1; a: socket; hide segments; nonblocking on; connect @s";
    let _holder = perform(half_open);
    let requests = Program::run("fourtuple", &["sockets", "--state", "syn-received", "--no-header"]).well();
    assert_eq!(requests.stdout.lines().count(), 1, "{}", requests.stdout);
    assert_eq!(only(&Answer::to(&["3000"]))["state"], "LISTEN");
}

#[test]
fn the_holder_listens_accepts_and_keeps_its_options_whatever_is_asked() {
    if !isolated() {
        return;
    }
    for (index, options) in Options::ALL.into_iter().enumerate() {
        let on_off = |on| if on { "on" } else { "off" };
        let port = 3000 + index as u16;
        let given =
            ["--reuse-address", on_off(options.reuse_address), "--reuse-port", on_off(options.reuse_port)];
        let mut holder = Listener::at("127.0.0.1", port, &given);
        let mut open = client::connect(holder.address);
        client::round_trip(&open, b"before");
        for new in Options::ALL {
            for ip in ["127.0.0.1", "0.0.0.0", "::"] {
                Answer::about(Goal::Listen(at(ip, port)), new);
                let remote = at(if ip == "::" { "::ffff:127.0.0.1" } else { "127.0.0.1" }, port);
                Answer::about(Goal::Connect { local: Some(at(ip, port)), remote }, new);
            }
            // A connection that comes while it is asked about its port is its own.
            client::round_trip(&client::connect(holder.address), b"meanwhile");
        }
        open.write_all(b"after").unwrap();
        open.read_exact(&mut [0; 5]).unwrap();
        let found = Answer::about(Goal::Bind(at("127.0.0.1", port)), Options::NONE);
        let listening = found.of("in-the-way").find(|socket| socket["state"] == "LISTEN").unwrap();
        assert_eq!(listening["reuse_address"], options.reuse_address);
        assert_eq!(listening["reuse_port"], options.reuse_port);
        drop(open);
        let end = holder.stop().well();
        assert_eq!(end.lines("accepted ").len(), 5, "{}", end.stdout);
    }
}

#[test]
fn every_process_that_shares_a_socket_is_named() {
    if !isolated() {
        return;
    }
    let _scene = scene::set(State::Listen, at("127.0.0.1", 3000), Options::NONE);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&at("127.0.0.1", 3001).into()).unwrap();
    fcntl(&socket, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    assert!(socket.as_raw_fd() > 2);
    let heir = Program::spawn(Command::new("sleep").arg("60"));
    fcntl(&socket, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
    let answer = Answer::to(&["bind", "127.0.0.1:3001"]);
    let expected = BTreeSet::from([u64::from(std::process::id()), u64::from(heir.pid())]);
    assert_eq!(pids(only(&answer)), expected);
    let stop = answer.step("stop").unwrap();
    assert_eq!(pids(stop), expected);
    assert_eq!(stop["tried_out"], true, "{stop}");
    let told =
        answer.of("remark").any(|remark| remark["words"].as_str().unwrap().contains("2 processes share"));
    assert!(told);
}

#[test]
fn the_options_of_a_socket_that_nobody_has_are_concluded() {
    if !isolated() {
        return;
    }
    // With SO_REUSEPORT it takes a second user to ask without leaving a trace.
    let alone = !has_ordinary_user(path("fourtuple"));
    let mut port = 3000;
    for state in [State::TimeWait, State::OrphanedFinWait2] {
        for options in Options::ALL {
            for ip in ["127.0.0.1", "::1", "0.0.0.0", "::"] {
                port += 1;
                let _scene = scene::set(state, at(ip, port), options);
                let answer = Answer::about(Goal::Bind(at(ip, port)), Options::NONE);
                let found = only(&answer);
                assert_eq!(found["options"], "inferred", "{found}");
                assert_eq!(found["reuse_port"], options.reuse_port, "{found}");
                let unknown = alone && options.reuse_port && found["reuse_address"].is_null();
                assert!(unknown || found["reuse_address"] == options.reuse_address, "{found}");
            }
        }
    }
}

#[test]
fn an_ordinary_user_is_told_what_cannot_be_seen_and_what_it_means() {
    if !isolated() {
        return;
    }
    let _scene = scene::set(State::Listen, at("127.0.0.1", 3000), Options::of(true, true));
    let ask = |arguments: &[&str]| {
        Program::spawn(as_ordinary_user(path("fourtuple")).arg("why").args(arguments)).end()
    };
    if !has_ordinary_user(path("fourtuple")) {
        return crate::program::skip("nobody here is another user");
    }
    let end = ask(&["127.0.0.1:3000", "--reuse-port", "on"]).with_status(1);
    assert!(
        end.stdout.contains("LISTEN 127.0.0.1:3000 pid unknown (uid 0), options unknown"),
        "{}",
        end.stdout
    );
    let words = "which process has the socket of uid 0, and with which options, was not seen: ";
    assert!(end.stdout.contains(words), "{}", end.stdout);
    assert!(end.stdout.contains("; that takes CAP_SYS_PTRACE, as root of the host has it"), "{}", end.stdout);
    assert!(end.stdout.contains("another port: 3001 [tried out]"), "{}", end.stdout);
    // A free address, a foreign one, a connection: nothing of it takes rights.
    assert!(ask(&["3500"]).well().stdout.starts_with("yes: "));
    let end = ask(&["connect", "127.0.0.1:3000"]).well();
    assert!(end.stdout.contains("would get it"), "{}", end.stdout);
    let end = ask(&["80"]).with_status(1);
    assert!(end.stdout.contains("fails at bind with EACCES"), "{}", end.stdout);
    assert!(end.stdout.contains("another port: 8080 [tried out]"), "{}", end.stdout);
    sysctl("ipv4/ip_unprivileged_port_start", "20000");
    let end = ask(&["80"]).with_status(1);
    assert!(end.stdout.contains("another port: 20000 [tried out]"), "{}", end.stdout);
}

#[test]
fn of_a_port_that_another_user_shares_it_is_told_which_user() {
    if !isolated() {
        return;
    }
    let Some(_theirs) = listener_of_another_user("127.0.0.1") else { return };
    let answer = Answer::to(&["127.0.0.1:3000", "--reuse-port", "on"]);
    let refusal = only(&answer)["refusal"].as_str().unwrap();
    assert_eq!(refusal, "SO_REUSEPORT shares among sockets of one user, and uid 65534 has this one");
    let user = answer.step("user").unwrap();
    assert_eq!((&user["uid"], &user["tried_out"]), (&Value::from(65_534), &Value::from(true)));
    // Followed: that user may.
    listener_of_another_user("127.0.0.1");
}

#[test]
fn who_does_not_accept_is_told_and_nothing_is_sent() {
    if !isolated() {
        return;
    }
    sysctl("ipv4/tcp_syn_retries", "1");
    let full = FullServer::new();
    let goal = Goal::Connect { local: None, remote: full.address() };
    let before = segments_sent();
    let answer = Answer::about(goal, Options::NONE);
    assert_eq!(segments_sent(), before, "a segment was sent");
    let verdict = answer.of("verdict").next().unwrap();
    assert_eq!(
        (verdict["fails_at"].as_str(), verdict["errno"].as_str()),
        (Some("connect"), Some("ETIMEDOUT"))
    );
    assert_eq!(only(&answer)["state"], "LISTEN");
    assert_eq!(made(&question(goal, Options::NONE), Options::NONE), Some(("connect", Errno::ETIMEDOUT)));
}

#[test]
fn a_foreign_address_is_answered_for_and_not_sent_to() {
    if !isolated() {
        return;
    }
    let up = Command::new("ip").args(["route", "add", "192.0.2.0/24", "dev", "lo"]).status();
    if !up.is_ok_and(|status| status.success()) {
        return crate::program::skip("ip(8) is not installed");
    }
    let before = segments_sent();
    for arguments in [&["connect", "192.0.2.7:443"][..], &["connect", "127.0.0.1:0", "127.0.0.9:443"]] {
        Answer::to(arguments);
    }
    let end = Program::run("fourtuple", &["why", "connect", "192.0.2.7:443"]).well();
    assert!(end.stdout.starts_with("yes: connect 192.0.2.7:443 would work, as far as this host decides\n"));
    assert!(end.stdout.contains("nothing was sent"), "{}", end.stdout);
    assert_eq!(segments_sent(), before, "a segment was sent");
}

#[test]
fn a_listener_in_another_network_namespace_is_found() {
    if !isolated() {
        return;
    }
    let mut inside = Command::new(path("fourtuple"));
    inside.args(["isolate", "--", path("listener"), "5391", "127.0.0.1"]);
    let inside = Program::spawn(&mut inside);
    inside.line("listening ");
    let answer = Answer::to(&["connect", "127.0.0.1:5391"]);
    assert!(!answer.works());
    let found = answer.of("elsewhere").next().unwrap();
    let own = format!("nsenter -t {} -n", pids(found).first().unwrap());
    assert_eq!(found["command"], own, "by the process that has it");
    assert_eq!((&found["state"], &found["local"]), (&Value::from("LISTEN"), &Value::from("127.0.0.1:5391")));
    // The command that is shown asks there.
    let words = found["command"].as_str().unwrap().split(' ');
    let [program, arguments @ ..] = &words.collect::<Vec<_>>()[..] else { panic!("{found}") };
    let mut there = Command::new(program);
    there.args(arguments).arg(path("fourtuple")).args(["why", "connect", "127.0.0.1:5391"]);
    let end = Program::spawn(&mut there).end().well();
    assert!(end.stdout.starts_with("yes: "), "{}", end.stdout);
    // Of a port that is free here too, and of none that is answered for here.
    let answer = Answer::to(&["5391"]);
    assert!(answer.works() && answer.of("elsewhere").count() == 1);
    let _here = scene::set(State::Listen, at("127.0.0.1", 5391), Options::NONE);
    let answer = Answer::to(&["connect", "127.0.0.1:5391"]);
    assert!(answer.works() && answer.of("elsewhere").count() == 0);
    let answer = Answer::to(&["connect", "[::1]:5391"]);
    assert_eq!(answer.of("elsewhere").count(), 1, "this network is no other one");
}
