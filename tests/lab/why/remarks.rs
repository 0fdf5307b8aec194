//! What `fourtuple why` notes.

use std::process::Command;

use fourtuple::lab::why::{Goal, Reason, Verdict, why};

use super::advice::Answer;
use super::agrees::{at, question, sysctl};
use super::scene::{self, Options, State};
use crate::program::namespace::isolated;
use crate::program::{Program, path};

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
    if !isolated() {
        return;
    }
    sysctl("ipv4/ip_local_port_range", "40000 40999");
    remarked(&["40001"], true, "`sudo sysctl net.ipv4.ip_local_reserved_ports=40001` keeps it free");
    sysctl("ipv4/ip_local_reserved_ports", "40001,40100-40200");
    remarked(&["40001"], true, "port 40001 is in net.ipv4.ip_local_reserved_ports");
    remarked(&["40002"], true, "net.ipv4.ip_local_reserved_ports=40001,40100-40200,40002`");
    sysctl("ipv4/ip_nonlocal_bind", "1");
    remarked(&["bind", "192.0.2.1:80"], true, "net.ipv4.ip_nonlocal_bind allows the bind");
    sysctl("ipv4/ip_unprivileged_port_start", "0");
    assert!(Answer::to(&["80"]).works());
}

#[test]
fn how_a_connection_came_by_a_port_is_told() {
    if !isolated() {
        return;
    }
    let _child = scene::set(State::Child, at("127.0.0.1", 3000), Options::NONE);
    remarked(&["3000"], false, "its connections were accepted by a listener that is gone");
    let _client = scene::set(State::Client, at("127.0.0.1", 40_000), Options::NONE);
    remarked(&["40000"], false, "the kernel may have picked it for an outgoing connection");
}

#[test]
fn what_a_connection_would_meet_is_told() {
    if !isolated() {
        return;
    }
    remarked(&["connect", "127.0.0.1:3000", "127.0.0.1:3000"], true, "would connect to itself");
    remarked(&["connect", "127.0.0.1:40000"], false, "which then connects to itself");
    let _listening = scene::set(State::Listen, at("::1", 3001), Options::of(true, true));
    remarked(&["connect", "[::1]:3001"], true, "LISTEN [::1]:3001 pid=");
    remarked(
        &["listen", "[::1]:3001", "--reuse-port", "on"],
        true,
        "shared by SO_REUSEPORT, with listeners already there: 1",
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
        return crate::program::skip(&end.stderr);
    }
    let end = end.with_status(1);
    assert!(end.stdout.contains("fails at connect with ENETUNREACH"), "{}", end.stdout);
    assert!(
        end.stdout.contains("lo is down in this network namespace: `ip link set lo up`"),
        "{}",
        end.stdout
    );
}

/// The remarks on a question asked by this process.
fn remarks(goal: Goal, options: Options) -> Vec<String> {
    why(&question(goal, options)).unwrap().remarks
}

#[test]
fn what_is_not_so_is_not_remarked() {
    if !isolated() {
        return;
    }
    let (plain, sharing) = (Options::NONE, Options::of(true, true));
    assert!(remarks(Goal::Bind(at("192.0.2.1", 3000)), plain).is_empty(), "lo is up");
    sysctl("ipv4/ip_local_port_range", "40000 40999");
    sysctl("ipv4/ip_local_reserved_ports", "3500");
    sysctl("ipv4/ip_nonlocal_bind", "1");
    let foreign = at("192.0.2.1", 3002);
    let _scenes = [
        scene::set(State::Listen, at("127.0.0.1", 3001), plain),
        scene::set(State::Listen, foreign, plain),
        scene::set(State::Child, at("127.0.0.1", 3003), sharing),
        scene::set(State::Bound, at("127.0.0.1", 3003), sharing),
        scene::set(State::Bound, at("127.0.0.1", 3004), plain),
        scene::set(State::NotAccepted, at("127.0.0.1", 3005), plain),
        scene::set(State::OrphanedFinWait2, at("127.0.0.1", 40_006), plain),
        scene::set(State::ChildBesideListener, at("127.0.0.1", 3007), plain),
        scene::set(State::Listen, at("127.0.0.1", 3008), sharing),
    ];
    for (goal, options) in [
        (Goal::Listen(at("0.0.0.0", 3000)), plain),
        (Goal::Listen(at("127.0.0.1", 3500)), plain),
        (Goal::Listen(at("127.0.0.1", 3001)), plain),
        (Goal::Bind(foreign), plain),
        (Goal::Listen(at("127.0.0.1", 3003)), plain),
        (Goal::Listen(at("127.0.0.1", 3004)), plain),
        (Goal::Listen(at("127.0.0.1", 3005)), plain),
        (Goal::Listen(at("127.0.0.1", 3007)), plain),
        (Goal::Listen(at("0.0.0.0", 3008)), Options::of(false, true)),
        (Goal::Connect { local: None, remote: at("127.0.0.1", 3600) }, plain),
        (Goal::Connect { local: Some(at("127.0.0.1", 3601)), remote: at("127.0.0.1", 40_002) }, plain),
    ] {
        assert_eq!(remarks(goal, options), Vec::<String>::new(), "{goal:?} {options:?}");
    }
    let client = Goal::Connect { local: Some(at("127.0.0.1", 40_003)), remote: at("127.0.0.1", 3001) };
    let told = remarks(client, plain);
    assert!(told.len() == 1 && told[0].ends_with(" would get it"), "{told:?}");
}

#[test]
fn that_ipv6_is_switched_off_is_the_cause_and_no_remark() {
    if !isolated() {
        return;
    }
    assert!(remarks(Goal::Bind(at("2001:db8::1", 3000)), Options::NONE).is_empty());
    sysctl("ipv6/conf/all/disable_ipv6", "1");
    let answer = why(&question(Goal::Bind(at("::1", 3000)), Options::NONE)).unwrap();
    assert!(matches!(answer.verdict, Verdict::Fails { reason: Reason::Ipv6Off(_), .. }), "{answer:?}");
    let step = answer.advice[0].remedy.to_string();
    assert!(step.contains("`sudo sysctl net.ipv6.conf.all.disable_ipv6=0`"), "{step}");
    assert!(answer.remarks.is_empty(), "{answer:?}");
}

#[test]
fn of_several_listeners_the_one_that_the_kernel_chooses_would_take_it() {
    if !isolated() {
        return;
    }
    let sharing = Options::of(false, true);
    for (port, [first, second], chosen) in [
        (3000, ["127.0.0.1", "0.0.0.0"], "127.0.0.1"),
        (3001, ["0.0.0.0", "127.0.0.1"], "127.0.0.1"),
        (3002, ["0.0.0.0", "::"], "0.0.0.0"),
        (3003, ["::", "0.0.0.0"], "0.0.0.0"),
    ] {
        let listening = [first, second].map(|ip| {
            let socket = scene::open(at(ip, port), sharing);
            socket.bind(&at(ip, port).into()).unwrap();
            socket.listen(1).unwrap();
            socket.set_nonblocking(true).unwrap();
            (ip, socket)
        });
        let goal = Goal::Connect { local: None, remote: at("127.0.0.1", port) };
        // As many as the queue holds may wait.
        let _waiting = std::net::TcpStream::connect(at("127.0.0.1", port)).unwrap();
        let told = remarks(goal, Options::NONE);
        assert!(told[0].starts_with(&format!("LISTEN {} ", at(chosen, port))), "{told:?}");
        for (ip, socket) in listening {
            assert_eq!(socket.accept().is_ok(), ip == chosen, "{ip}:{port}");
        }
    }
}

#[test]
fn a_socket_beside_is_told_once() {
    if !isolated() {
        return;
    }
    let sharing = Options::of(true, false);
    let _beside = scene::set(State::Client, at("127.0.0.1", 3000), sharing);
    let _listening = scene::set(State::Listen, at("127.0.0.1", 3001), sharing);
    let goal = Goal::Connect { local: Some(at("127.0.0.1", 3000)), remote: at("127.0.0.1", 3001) };
    assert_eq!(why(&question(goal, sharing)).unwrap().beside.len(), 1);
}
