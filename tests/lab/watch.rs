//! `fourtuple sockets --watch`: what sockets that change their state under its eyes are told to do.

#![cfg(target_os = "linux")]

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::program::client::{accept, connect};
use crate::program::kernel::{FullServer, loopbacks};
use crate::program::namespace::isolated;
use crate::program::{Program, field};
use nix::sys::signal::Signal;
use serde_json::Value;
use socket2::{Domain, SockRef, Socket, Type};

/// A watch that has begun.
#[track_caller]
fn watch(options: &[&str]) -> Program {
    let program = Program::start("fourtuple", &[&["sockets", "--watch"], options].concat());
    program.line_with(&["watching"]);
    program
}

/// The changes told of `local`, as `FROM TO`.
fn changes(said: &str, local: SocketAddr) -> Vec<String> {
    let of_socket = |line: &&str| line.starts_with("socket ") && field(line, "local") == local.to_string();
    let change = |line| format!("{} {}", field(line, "from"), field(line, "to"));
    said.lines().filter(of_socket).map(change).collect()
}

/// Waits until `local` is told to be in a state.
#[track_caller]
fn told(watch: &Program, local: SocketAddr, to: &str) -> String {
    watch.line_with(&[&format!("local={local} "), &format!(" to={to} ")])
}

/// A connection to `ip`, its own end first.
fn pair(ip: &str) -> (TcpListener, TcpStream, TcpStream) {
    let server = TcpListener::bind((ip, 0)).unwrap();
    let client = connect(server.local_addr().unwrap());
    let accepted = accept(&server);
    (server, client, accepted)
}

#[test]
fn both_ends_of_a_connection_are_followed_from_first_sight_to_the_last() {
    if !isolated() {
        return;
    }
    for ip in loopbacks() {
        let mut watch = watch(&[]);
        let (server, client, accepted) = pair(ip);
        let (local, remote) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
        told(&watch, local, "ESTABLISHED");
        watch.line_with(&[&format!("local={remote} remote={local} "), " to=ESTABLISHED "]);
        client.shutdown(Shutdown::Write).unwrap();
        told(&watch, local, "FIN-WAIT-2");
        told(&watch, remote, "CLOSE-WAIT");
        drop(accepted);
        told(&watch, local, "TIME-WAIT");
        watch.line_with(&[&format!("local={remote} remote={local} "), " to=gone "]);
        drop((server, client));
        let said = watch.stop().well().stdout;

        let mut seen = changes(&said, local);
        // These two are short: nobody holds them.
        seen.retain(|change| change != "- SYN-SENT" && change != "FIN-WAIT-1 FIN-WAIT-2");
        assert!(seen[0].ends_with(" ESTABLISHED"), "{said}");
        assert!(seen[1] == "ESTABLISHED FIN-WAIT-2" || seen[1] == "ESTABLISHED FIN-WAIT-1", "{said}");
        assert_eq!(seen[2..], ["FIN-WAIT-2 TIME-WAIT"], "{said}");
        let inodes: Vec<&str> = said
            .lines()
            .filter(|line| line.contains(&format!("local={local} ")))
            .map(|line| field(line, "inode"))
            .collect();
        assert!(inodes[0] != "0" && inodes.iter().all(|inode| *inode == inodes[0]), "{said}");
        let owner = format!("({})", std::process::id());
        assert!(field(&told(&watch, local, "TIME-WAIT"), "processes").ends_with(&owner), "{said}");
        assert!(changes(&said, remote).contains(&"LISTEN gone".to_owned()), "{said}");
    }
}

#[test]
fn a_socket_that_is_bound_and_then_connects_is_one() {
    if !isolated() {
        return;
    }
    let mut watch = watch(&[]);
    let full = FullServer::new();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 4000)).into()).unwrap();
    let local = socket.local_addr().unwrap().as_socket().unwrap();
    if fourtuple::kernel::inet_diag::shows_bound() {
        told(&watch, local, "BOUND");
    }
    socket.connect(&full.address().into()).unwrap_err();
    told(&watch, local, "SYN-SENT");
    drop(socket);
    told(&watch, local, "gone");
    let said = watch.stop().well().stdout;
    let seen = changes(&said, local);
    assert_eq!(seen[seen.len() - 2..], ["BOUND SYN-SENT", "SYN-SENT gone"], "{said}");
}

#[test]
fn a_four_tuple_out_of_time_wait_is_a_new_socket() {
    if !isolated() {
        return;
    }
    let mut watch = watch(&[]);
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let remote = server.local_addr().unwrap();
    let local = SocketAddr::from(([127, 0, 0, 1], 4000));
    let open = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&local.into()).unwrap();
        socket.connect(&remote.into()).unwrap();
        (socket, accept(&server))
    };
    let (client, accepted) = open();
    told(&watch, local, "ESTABLISHED");
    drop(client);
    drop(accepted);
    told(&watch, local, "TIME-WAIT");
    let second = open();
    let again = format!("local={local} remote={remote} from=");
    crate::program::until("the second connection", || {
        let lines = watch.said();
        (lines.lines().filter(|line| line.contains(&again) && line.contains(" to=ESTABLISHED ")).count() == 2)
            .then_some(())
    });
    drop(second);
    let said = watch.stop().well().stdout;
    let seen = changes(&said, local);
    let gone = seen.iter().position(|change| change == "TIME-WAIT gone").unwrap();
    assert!(seen[gone + 1].starts_with("- "), "{said}");
}

#[test]
fn what_is_there_at_the_start_and_what_changes_last_is_told() {
    if !isolated() {
        return;
    }
    let before = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let kept = TcpListener::bind("127.0.0.1:0").unwrap();
    for signal in [Signal::SIGINT, Signal::SIGTERM].repeat(10) {
        let mut watch = watch(&[]);
        told(&watch, kept.local_addr().unwrap(), "LISTEN");
        let last = TcpListener::bind("127.0.0.1:0").unwrap();
        watch.signal(signal);
        let said = watch.end().well().stdout;
        assert_eq!(changes(&said, kept.local_addr().unwrap()), ["- LISTEN"], "{said}");
        assert_eq!(changes(&said, last.local_addr().unwrap()).last().unwrap(), "- LISTEN", "{said}");
        assert_eq!(changes(&said, before), [""; 0]);
    }
}

#[test]
fn nothing_is_printed_while_nothing_changes() {
    if !isolated() {
        return;
    }
    let (_server, client, _accepted) = pair("127.0.0.1");
    let mut watch = watch(&[]);
    told(&watch, client.local_addr().unwrap(), "ESTABLISHED");
    watch.nth_line(3, "socket ");
    let first = watch.said();
    // A change afterwards shows that samples were taken meanwhile.
    let later = TcpListener::bind("127.0.0.1:0").unwrap();
    let line = told(&watch, later.local_addr().unwrap(), "LISTEN");
    let said = watch.stop().well().stdout;
    assert_eq!(said, format!("{first}{line}\n"));
    assert_eq!(first.lines().count(), 4, "{first}");
}

#[test]
fn filters_choose_sockets_and_changes() {
    if !isolated() {
        return;
    }
    let wanted = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = wanted.local_addr().unwrap().port().to_string();
    let mut by_port = watch(&["--port", &port]);
    let mut by_state = watch(&["--state", "time-wait"]);
    let (server, client, accepted) = pair("127.0.0.1");
    let local = client.local_addr().unwrap();
    drop(client);
    drop(accepted);
    told(&by_state, local, "TIME-WAIT");
    told(&by_port, wanted.local_addr().unwrap(), "LISTEN");
    drop(server);
    let said = by_port.stop().well().stdout;
    assert_eq!(said.lines().count(), 2, "{said}");
    let said = by_state.stop().well().stdout;
    assert_eq!(said.lines().count(), 2, "{said}");
}

#[test]
fn json_has_what_the_evidence_keeps() {
    if !isolated() {
        return;
    }
    let mut watch = watch(&["--format", "json"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let local = listener.local_addr().unwrap().to_string();
    watch.line_with(&[&local]);
    drop(listener);
    watch.line_with(&[&local, "\"gone\""]);
    let said = watch.stop().well().stdout;
    let objects: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&objects[0]["event"], &objects[0]["every_us"]), (&"watching".into(), &5000.into()));
    let of_listener: Vec<&Value> = objects.iter().filter(|object| object["local"] == local).collect();
    let first = of_listener.iter().find(|object| object["to"] == "LISTEN").unwrap();
    assert_eq!((&first["schema"], &first["event"]), (&1.into(), &"socket".into()));
    assert_eq!((&first["remote"], &first["source"]), (&"0.0.0.0:0".into(), &"sampled".into()));
    assert_eq!(first["processes"][0]["pid"], std::process::id());
    assert!(first["time_us"].is_u64() && first["inode"].is_u64() && first["uid"].is_u64(), "{first}");
    assert_eq!(of_listener[0]["from"], Value::Null);
    assert_eq!(of_listener.last().unwrap()["to"], "gone");
    assert!(objects.is_sorted_by_key(|object| object["time_us"].as_u64()), "{said}");
}

/// Ends the load when a test ends, failed or not.
struct EndLoad<'a>(&'a AtomicBool);

impl Drop for EndLoad<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn established_and_time_wait_are_seen_50_times_of_50_under_load() {
    if !isolated() {
        return;
    }
    let watch = watch(&[]);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _end = EndLoad(&stop);
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        for _ in 0..50 {
            let (_server, client, accepted) = pair("127.0.0.1");
            let local = client.local_addr().unwrap();
            told(&watch, local, "ESTABLISHED");
            drop(client);
            drop(accepted);
            let line = told(&watch, local, "TIME-WAIT");
            assert_ne!(field(&line, "inode"), "0", "not the socket that was ESTABLISHED: {line}");
        }
    });
}

#[test]
fn a_reset_connection_is_gone_on_both_sides() {
    if !isolated() {
        return;
    }
    let mut watch = watch(&[]);
    let (_server, client, accepted) = pair("127.0.0.1");
    let local = client.local_addr().unwrap();
    told(&watch, local, "ESTABLISHED");
    SockRef::from(&client).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(client);
    told(&watch, local, "gone");
    drop(accepted);
    let said = watch.stop().well().stdout;
    assert!(!said.contains("TIME-WAIT"), "{said}");
}
