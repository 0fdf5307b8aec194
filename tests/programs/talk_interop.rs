//! Conversations with what people have: nc, socat, and Python's socket module.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use crate::program::kernel::{self, ReservedPort};
use crate::program::{Program, field, has, path, until};
use fourtuple::net::TcpState;

/// Holds a conversation of a line each way between a `talk --listen` and what `caller` starts with a port, until both
/// inputs have ended.
#[track_caller]
fn talk_listens_to(caller: impl Fn(&str) -> Command) {
    let mut command = Command::new(path("talk"));
    command.args(["--listen", "0", "127.0.0.1"]).stdin(Stdio::piped());
    let mut talk = Program::spawn_with_input(&mut command);
    let address: SocketAddr = field(&talk.error_line("listening "), "local").parse().unwrap();
    let mut caller = Program::spawn_with_input(caller(&address.port().to_string()).stdin(Stdio::piped()));
    let (mut said, mut answered) = (caller.input(), talk.input());
    said.write_all(b"hello from the caller\n").unwrap();
    talk.line("hello from the caller");
    answered.write_all(b"hello from talk\n").unwrap();
    caller.line("hello from talk");
    said.write_all(b"bye").unwrap();
    drop((said, answered));
    assert_eq!(talk.end().well().stdout, "hello from the caller\nbye");
    assert_eq!(caller.end().well().stdout, "hello from talk\n");
}

#[test]
fn talk_listens_to_nc() {
    if has("nc", "-h") {
        talk_listens_to(|port| {
            let mut nc = Command::new("nc");
            nc.args(["-N", "127.0.0.1", port]);
            nc
        });
    }
}

#[test]
fn talk_listens_to_socat() {
    if has("socat", "-V") {
        talk_listens_to(|port| {
            let mut socat = Command::new("socat");
            socat.args(["-t", "10", "-", &format!("TCP:127.0.0.1:{port}")]);
            socat
        });
    }
}

#[test]
fn talk_listens_to_python() {
    if has("python3", "--version") {
        talk_listens_to(|port| {
            let script = "
import socket, sys
remote = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
remote.sendall(sys.stdin.buffer.readline())
answer = remote.recv(100)
sys.stdout.buffer.write(answer)
sys.stdout.flush()
remote.sendall(sys.stdin.buffer.read())
remote.shutdown(socket.SHUT_WR)
assert remote.recv(100) == b''
";
            let mut python = Command::new("python3");
            python.args(["-c", script, port]);
            python
        });
    }
}

/// Starts a server on a port of 127.0.0.1, which the command is made with, and waits until it listens.
#[track_caller]
fn server(command: impl FnOnce(&str) -> Command) -> (Program, String) {
    let reserved = ReservedPort::new();
    let port = reserved.address().port().to_string();
    let server = Program::spawn_with_input(command(&port).stdin(Stdio::piped()));
    until("a listening socket", || {
        let listens = |row: &kernel::Row| row.local == reserved.address() && row.state == TcpState::Listen;
        kernel::table().into_iter().find(listens)
    });
    (server, port)
}

/// An echo server of one connection.
#[track_caller]
fn socat_echoes() -> (Program, String) {
    server(|port| {
        let mut socat = Command::new("socat");
        socat.args([&format!("TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr"), "PIPE"]);
        socat
    })
}

fn talk_to(port: &str) -> Program {
    Program::spawn_with_input(Command::new(path("talk")).args(["127.0.0.1", port]).stdin(Stdio::piped()))
}

#[test]
fn talk_calls_the_echo_of_socat() {
    if !has("socat", "-V") {
        return;
    }
    let (mut socat, port) = socat_echoes();
    let mut talk = talk_to(&port);
    let mut input = talk.input();
    input.write_all(b"one\n").unwrap();
    talk.line("one");
    input.write_all(b"two").unwrap();
    drop(input);
    assert_eq!(talk.end().well().stdout, "one\ntwo");
    socat.end().well();
}

#[test]
fn talk_calls_nc() {
    if !has("nc", "-h") {
        return;
    }
    let (mut nc, port) = server(|port| {
        let mut nc = Command::new("nc");
        nc.args(["-l", "-N", "127.0.0.1", port]);
        nc
    });
    let mut talk = talk_to(&port);
    let (mut said, mut answered) = (talk.input(), nc.input());
    said.write_all(b"hello\n").unwrap();
    nc.line("hello");
    answered.write_all(b"hello yourself\n").unwrap();
    talk.line("hello yourself");
    drop((said, answered));
    talk.end().well();
    nc.end().well();
}

#[test]
fn the_test_passes_against_socat() {
    if !has("socat", "-V") {
        return;
    }
    let (_socat, port) = socat_echoes();
    let end = Program::run("talk", &["--test", "127.0.0.1", &port]).well();
    assert_eq!(end.lines("test ").len(), 5);
}
