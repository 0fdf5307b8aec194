//! Which process has a socket, wherever it has it; and what is said where none is found.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{self, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use fourtuple::kernel::holders::Ownership;
use fourtuple::lab::why::{Goal, why};
use serde_json::Value;
use socket2::Socket;

use super::advice::Answer;
use super::agrees::{at, question};
use super::hands::{self, PLACES};
use super::holder::{only, pids};
use super::scene::{self, Options, State};
use crate::program::namespace::{as_ordinary_user, has_ordinary_user, isolated};
use crate::program::{Program, has, path, skip, until};

/// A socket of this process that listens on a port of 127.0.0.1.
fn listening(port: u16) -> Socket {
    let socket = scene::open(at("127.0.0.1", port), Options::NONE);
    socket.bind(&at("127.0.0.1", port).into()).unwrap();
    socket.listen(8).unwrap();
    socket
}

fn remarks(answer: &Answer) -> Vec<&str> {
    answer.of("remark").map(|remark| remark["words"].as_str().unwrap()).collect()
}

/// The one step of this name whose words have all of these parts.
#[track_caller]
fn advised(answer: &Answer, name: &str, parts: &[&str]) {
    let steps: Vec<&Value> = answer.of("advice").collect();
    let has = |step: &&&Value| {
        let words = step["words"].as_str().unwrap();
        step["step"] == name && parts.iter().all(|part| words.contains(part))
    };
    assert_eq!(steps.iter().filter(has).count(), 1, "{name} {parts:?}: {steps:#?}");
}

#[test]
fn a_socket_is_found_in_the_table_of_a_thread_and_in_an_io_uring() {
    if !isolated() || !has("python3", "--version") {
        return;
    }
    for (port, place) in (3000..).zip(PLACES) {
        let socket = format!("listen,127.0.0.1,{port}");
        let Some(process) = hands::process(place, &[socket], false) else { continue };
        let answer = Answer::to(&[&format!("127.0.0.1:{port}")]);
        let found = only(&answer);
        assert_eq!(pids(found), BTreeSet::from([process.pid().into()]), "{place}: {found}");
        assert_eq!(found["ownership"], "known", "{place}: {found}");
        assert_eq!(remarks(&answer), Vec::<&str>::new(), "{place}");
        assert_eq!(pids(answer.step("stop").unwrap()), pids(found), "{place}");
    }
}

#[test]
fn a_closed_connection_is_nobodys_and_its_other_end_is_told() {
    if !isolated() {
        return;
    }
    let other_end = hands::unacknowledged(at("127.0.0.1", 3000));
    let remote = other_end.local_addr().unwrap().as_socket().unwrap();
    let answer = Answer::to(&["127.0.0.1:3000"]);
    let found = only(&answer);
    assert_eq!((&found["state"], &found["ownership"]), (&"FIN-WAIT-1".into(), &"nobody".into()));
    assert!(pids(found).is_empty(), "{found}");
    let other = format!("have the other end, pid {} (", process::id());
    let command = format!("`sudo ss -K src 127.0.0.1:3000 dst {remote}`");
    advised(&answer, "elsewhere", &[&other, &command]);
    assert!(answer.step("stop").is_none() && answer.step("restart").is_none());
    let text = Program::run("fourtuple", &["why", "127.0.0.1:3000"]).with_status(1).stdout;
    assert!(text.contains(&format!("-> {remote}, which no process has: it was closed")), "{text}");
    assert!(!text.contains("PID namespace") && !text.contains("stop the process"), "{text}");
    // Followed: the other end closes.
    drop(other_end);
    until("the port to be free", || Answer::to(&["127.0.0.1:3000"]).works().then_some(()));
}

#[test]
fn of_a_socket_that_no_process_has_open_it_is_said_where_it_may_be() {
    if !isolated() {
        return;
    }
    let _way = hands::in_flight(listening(3000));
    let answer = Answer::to(&["127.0.0.1:3000"]);
    let found = only(&answer);
    assert_eq!(found["ownership"], "not-found", "{found}");
    let remarks = remarks(&answer);
    assert!(remarks.iter().any(|remark| remark.contains("(SCM_RIGHTS)")), "{remarks:?}");
    advised(&answer, "elsewhere", &["stop what has it: no process that /proc shows here does"]);
}

#[test]
fn nobody_is_said_to_have_what_is_gone_while_it_is_looked_for() {
    if !isolated() {
        return;
    }
    let is_over = AtomicBool::new(false);
    let steps = "socket; setsockopt SO_REUSEADDR 1; bind 127.0.0.1:3000; listen 1";
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                Program::run("fourtuple", &["perform", steps]);
            }
        });
        let mut held = 0;
        for _ in 0..500 {
            let answer = why(&question(Goal::Listen(at("127.0.0.1", 3000)), Options::NONE)).unwrap();
            held += answer.in_the_way.len();
            let said = answer.in_the_way.iter().find(|found| found.holder.ownership() == Ownership::NotFound);
            assert!(said.is_none(), "{answer:#?}");
        }
        eprintln!("{held} sockets were in the way");
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_process_forges_no_other_by_its_name() {
    if !isolated() {
        return;
    }
    fs::write("/proc/self/comm", "a) pid=1 (init").unwrap();
    let _socket = listening(3000);
    let why = Program::run("fourtuple", &["why", "127.0.0.1:3000"]).with_status(1).stdout;
    let given = ["3000", "127.0.0.1", "--reuse-address", "off", "--reuse-port", "off"];
    let listener = Program::run("listener", &given).with_status(1).stderr;
    for said in [why, listener] {
        assert!(said.contains(r"(a\x29\x20pid\x3d1\x20\x28init)"), "{said}");
        let own = format!("pid={} ", process::id());
        assert_eq!(said.matches("pid=").count(), said.matches(&own).count(), "{said}");
        assert!(!said.contains("(init"), "{said}");
    }
}

#[test]
fn of_many_processes_some_are_told_and_all_in_json() {
    if !isolated() {
        return;
    }
    const COUNT: usize = 100;
    let socket = listening(3000);
    let script = format!(
        "exec 3<&0; for each in $(seq {COUNT}); do sleep 3600 <&3 3<&- >/dev/null 2>&1 & done; exec 3<&- </dev/null; \
         echo ready; wait"
    );
    let many = hands::with_socket(Command::new("sh").args(["-c", &script]), &socket);
    many.line("ready");
    drop(socket);
    let answer = Answer::to(&["127.0.0.1:3000"]);
    assert_eq!(pids(only(&answer)).len(), COUNT);
    assert_eq!(pids(answer.step("stop").unwrap()).len(), COUNT);
    let text = Program::run("fourtuple", &["why", "127.0.0.1:3000"]).with_status(1).stdout;
    assert!(text.contains(&format!("{COUNT} processes share one socket")), "{text}");
    assert!(text.contains("and 95 more"), "{text}");
    assert!(text.lines().all(|line| line.len() < 400), "{text}");
}

/// The first process of a PID namespace, called `name`, has a listening socket and asks about it.
fn asked_by_the_first(name: &str, port: u16) -> Option<String> {
    let socket = listening(port);
    let script = format!("printf {name} >/proc/self/comm; \"$0\" why 127.0.0.1:{port} </dev/null; true");
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", "sh", "-c", &script, path("fourtuple")]);
    let mut asked = hands::with_socket(&mut command, &socket);
    drop(socket);
    let end = asked.end();
    if end.stdout.is_empty() {
        skip(&end.stderr);
        return None;
    }
    Some(end.stdout)
}

#[test]
fn the_first_process_is_not_to_be_stopped() {
    if !isolated() {
        return;
    }
    let Some(said) = asked_by_the_first("systemd", 3000) else { return };
    assert!(said.contains("`sudo systemctl list-sockets` names it"), "{said}");
    assert!(said.contains("`sudo systemctl stop NAME.socket`"), "{said}");
    let Some(other) = asked_by_the_first("nginx", 3001) else { return };
    assert!(other.contains("stop the container: pid 1 (nginx) is the first process here"), "{other}");
    for said in [said, other] {
        assert!(
            said.contains(" pid=1 (") && !said.contains("stop pid") && !said.contains("restart"),
            "{said}"
        );
    }
}

#[test]
fn a_listener_that_a_child_has_inherited_is_told_as_that() {
    if !isolated() {
        return;
    }
    let socket = listening(3000);
    let script = "exec 3<&0; sleep 3600 <&3 3<&- >/dev/null 2>&1 & echo $!";
    let mut maker = Command::new("sh");
    let end = hands::with_socket(maker.args(["-c", script]).process_group(0), &socket).end().well();
    let heir: u64 = end.stdout.trim().parse().unwrap();
    // The command has the socket too, as what is to be its standard input.
    drop((socket, maker));
    // Until sleep(1) is executed, it is still sh(1).
    until("sleep to run", || {
        fs::read_to_string(format!("/proc/{heir}/comm")).unwrap().starts_with("sleep").then_some(())
    });
    let answer = Answer::to(&["127.0.0.1:3000"]);
    assert_eq!(pids(only(&answer)), BTreeSet::from([heir]));
    let words = format!("pid {heir} (sleep) may have inherited the socket");
    assert!(remarks(&answer).iter().any(|remark| remark.starts_with(&words)), "{:?}", remarks(&answer));
    assert_eq!(pids(answer.step("stop").unwrap()), BTreeSet::from([heir]));
    assert!(answer.step("restart").is_none(), "sleep does not listen when it is started again");
}

#[test]
fn what_has_ended_hides_no_network_namespace() {
    if !isolated() {
        return;
    }
    let mut zombie = Command::new("true").spawn().unwrap();
    until("it to end", || crate::program::kernel::process_state(zombie.id()).filter(|&state| state == 'Z'));
    let words = "not every other network namespace was looked into";
    // A name that is left of a namespace, too.
    let script =
        "mount -t tmpfs none /run && mkdir /run/netns && touch /run/netns/gone && exec \"$0\" \"$@\"";
    let question = ["why", "connect", "127.0.0.1:4000"];
    let mut stale = Command::new("unshare");
    stale.args(["--mount", "sh", "-c", script, path("fourtuple")]).args(question);
    for mut asked in [Program::start("fourtuple", &question), Program::spawn(&mut stale)] {
        let said = asked.end().with_status(1).stdout;
        assert!(!said.contains(words), "{said}");
    }
    zombie.wait().unwrap();
    if !has_ordinary_user(path("fourtuple")) {
        return skip("nobody here is another user");
    }
    let said = Program::spawn(as_ordinary_user(path("fourtuple")).args(question)).end().with_status(1).stdout;
    assert!(
        said.contains(words) && said.contains("may not be looked into; that takes CAP_SYS_PTRACE"),
        "{said}"
    );
}

#[test]
fn a_closed_socket_beside_others_is_no_process_to_stop() {
    if !isolated() {
        return;
    }
    let _other_end = hands::unacknowledged(at("127.0.0.1", 3000));
    let _left = scene::set(State::TimeWait, at("127.0.0.2", 3000), Options::NONE);
    let answer = Answer::to(&["0.0.0.0:3000"]);
    assert!(answer.of("in-the-way").all(|found| found["ownership"] == "nobody"));
    advised(&answer, "elsewhere", &["have the other end, pid "]);
}
