//! `--reply ack` and `--reply-prefix`, by the clients that people have.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Stdio;
use std::thread;

use super::model::{Model, children};
use crate::program::client::{connect, read_to_fin};
use crate::program::tool::Tool;
use crate::program::{Listener, Program};

claims! { every_model under event_loop, sequential, thread, fork: {
    each_line_is_acknowledged_when_it_ends,
    the_last_line_needs_no_newline,
    a_prefix_stands_before_each_line,
    the_reply_to_one_client_is_not_begun_by_another,
    an_answer_longer_than_its_question_arrives_whole,
    a_client_that_does_not_read_long_answers_costs_little_memory,
    the_clients_that_people_have_are_answered,
    the_test_of_talk_passes,
} }

#[track_caller]
fn expect(mut stream: &TcpStream, answer: &str) {
    let mut bytes = vec![0; answer.len()];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(String::from_utf8_lossy(&bytes), answer);
}

fn each_line_is_acknowledged_when_it_ends(model: Model) {
    let listener = model.start(&["--reply", "ack"]);
    let mut stream = connect(listener.address);
    for (sent, answer) in
        [("one\n", "Ack!\n"), ("\n\r\n", "Ack!\nAck!\n"), ("no ", ""), ("newline", ""), (" yet\n", "Ack!\n")]
    {
        stream.write_all(sent.as_bytes()).unwrap();
        expect(&stream, answer);
    }
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_fin(&stream), b"");
}

fn the_last_line_needs_no_newline(model: Model) {
    for (options, answer) in
        [(&["--reply", "ack"][..], "Ack!\nAck!\n"), (&["--reply-prefix", "> "], "> one\n> two")]
    {
        let listener = model.start(options);
        let mut stream = connect(listener.address);
        stream.write_all(b"one\ntwo").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(String::from_utf8(read_to_fin(&stream)).unwrap(), answer);
    }
}

fn a_prefix_stands_before_each_line(model: Model) {
    let listener = model.start(&["--reply-prefix", "Server received: "]);
    let mut stream = connect(listener.address);
    for (sent, answer) in [
        ("hello\n", "Server received: hello\n"),
        ("\n\r\n", "Server received: \nServer received: \r\n"),
        ("hal", "Server received: hal"),
        ("f\n", "f\n"),
    ] {
        stream.write_all(sent.as_bytes()).unwrap();
        expect(&stream, answer);
    }
}

fn the_reply_to_one_client_is_not_begun_by_another(model: Model) {
    let listener = model.start(&["--reply-prefix", "> "]);
    for _ in 0..2 {
        let mut stream = connect(listener.address);
        stream.write_all(b"in a line").unwrap();
        expect(&stream, "> in a line");
    }
}

fn an_answer_longer_than_its_question_arrives_whole(model: Model) {
    const LINES: usize = 1024 * 1024;
    let listener = model.start(&["--reply", "ack"]);
    let mut stream = connect(listener.address);
    let answer = thread::scope(|scope| {
        let reading = scope.spawn(|| read_to_fin(&stream));
        (&mut { &stream }).write_all(&vec![b'\n'; LINES]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        reading.join().unwrap()
    });
    assert!(answer == b"Ack!\n".repeat(LINES), "{} bytes", answer.len());
    let closed = listener.line("closed ");
    assert!(closed.contains(&format!(" reason=fin received={LINES} sent={} ", 5 * LINES)), "{closed}");
    stream.flush().unwrap();
}

/// The most memory that any process of a listener has had, in KiB.
fn peak(listener: &Listener) -> u64 {
    let peak = |pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    let children = children(listener.pid()).into_iter().map(i32::unsigned_abs);
    children.chain([listener.pid()]).map(peak).max().unwrap()
}

fn a_client_that_does_not_read_long_answers_costs_little_memory(model: Model) {
    let listener = model.start(&["--reply-prefix", &"x".repeat(1024)]);
    let mut stream = connect(listener.address);
    stream.set_nonblocking(true).unwrap();
    while stream.write(&[b'\n'; 65_536]).is_ok() {}
    stream.set_nonblocking(false).unwrap();
    // Some of it has been answered, and more is to come.
    stream.read_exact(&mut vec![0; 1024 * 1024]).unwrap();
    assert!(peak(&listener) < 48 * 1024, "{} KiB", peak(&listener));
}

fn the_clients_that_people_have_are_answered(model: Model) {
    let (echo, ack) = (model.start(&[]), model.start(&["--reply", "ack"]));
    for tool in Tool::ALL.into_iter().filter(|tool| tool.is_here()) {
        for (server, answer) in [(&echo, "one\ntwo\n"), (&ack, "Ack!\nAck!\n")] {
            let mut client = tool.command(server.address);
            let mut client = Program::spawn_with_input(client.stdin(Stdio::piped()));
            client.input().write_all(b"one\ntwo\n").unwrap();
            assert_eq!(client.end().well().stdout, answer, "{tool:?}");
        }
    }
}

fn the_test_of_talk_passes(model: Model) {
    for (options, expected) in [
        (&[][..], "echo"),
        (&["--reply", "ack"], "ack"),
        (&["--reply-prefix", "Server received: "], "prefix:Server received: "),
    ] {
        let listener = model.start(options);
        let port = listener.address.port().to_string();
        Program::run("talk", &["--test", "127.0.0.1", &port, "--expect", expected]).well();
    }
}
