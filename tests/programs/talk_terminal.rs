//! A conversation on a terminal: what is shown, what is typed, and a terminal that is as it was before.

use std::io::Write;
use std::net::{TcpListener, TcpStream};

use crate::program::client::{accept, read_to_fin, reset};
use crate::program::kernel::process_state;
use crate::program::terminal::Terminal;
use crate::program::{Listener, kernel, until};
use nix::sys::signal::Signal;

/// A `talk` on a terminal that has called, and the other end of its connection.
#[track_caller]
fn calling(options: &[&str]) -> (Terminal, TcpStream) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port().to_string();
    let terminal = Terminal::start("talk", &[&["127.0.0.1", &port], options].concat());
    let stream = accept(&server);
    terminal.shows("> ");
    terminal.is_taken();
    (terminal, stream)
}

/// Reads until so many bytes are there.
#[track_caller]
fn read(mut stream: &TcpStream, length: usize) -> String {
    let mut bytes = vec![0; length];
    std::io::Read::read_exact(&mut stream, &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn the_terminal_says_who_is_there_and_how_to_end() {
    let (terminal, stream) = calling(&[]);
    terminal.shows(&format!("Connected to {}\r\n", stream.local_addr().unwrap()));
    terminal.shows("To end the talk: revoir, quit, exit, Ctrl-C; your part of it: Ctrl-D\r\n");
}

#[test]
fn a_line_is_sent_when_it_is_entered_and_shown_as_it_was() {
    let (terminal, stream) = calling(&[]);
    terminal.press("où ça\x7f\x7f\x1b[D\x1b[Dx\r");
    assert_eq!(read(&stream, 6), "oxù \n");
    terminal.shows("> oxù \r\n");
}

#[test]
fn hostile_bytes_are_shown_and_not_obeyed() {
    let (terminal, mut stream) = calling(&[]);
    stream.write_all(b"\0\x1b[2J\rx\x9b2J\xff \xe2\x80\xae\ttab\r\n").unwrap();
    terminal.shows("remote: \\x00\\x1b[2J\\rx\\x9b2J\\xff \\u{202e}\\ttab\r\n");
    for piece in [&b"a\xe6"[..], b"\x97", b"\xa5b", b"\x1b", b"[3", b"1m\n"] {
        stream.write_all(piece).unwrap();
        // Each is a read of its own.
        kernel::wait_until_read(&stream);
    }
    terminal.shows("1m\r\n");
    // Where the machine was slow, a piece was shown before the next one came.
    let shown =
        terminal.shown().replace("\r\x1b[K> ", "").replace("\r\x1b[K", "").replace("\r\nremote: ", "");
    assert!(shown.contains("a日b\\x1b[31m\r\n"), "{shown}");
}

#[test]
fn a_line_without_an_end_is_shown_all_the_same() {
    let (terminal, mut stream) = calling(&[]);
    stream.write_all(b"login: ").unwrap();
    terminal.shows("remote: login: \r\n");
}

#[test]
fn the_terminal_is_as_before_after_every_end() {
    type End = fn(&Terminal, TcpStream);
    let ends: [(&str, End, Option<i32>); 11] = [
        ("the other side's end", |_, stream| drop(stream), Some(0)),
        ("RST", |_, stream| reset(stream), Some(1)),
        ("our keyword", |terminal, _| terminal.press("revoir\r"), Some(0)),
        ("their keyword", |_, mut stream| stream.write_all(b"quit\r\n").unwrap(), Some(0)),
        ("Ctrl-C", |terminal, _| terminal.press("half a line\x03"), Some(0)),
        ("Ctrl-D, then the other side's end", |terminal, _| terminal.press("\x04"), Some(0)),
        ("SIGTERM", |terminal, _| terminal.signal(Signal::SIGTERM), Some(0)),
        ("SIGINT", |terminal, _| terminal.signal(Signal::SIGINT), Some(0)),
        ("SIGHUP", |terminal, _| terminal.signal(Signal::SIGHUP), Some(0)),
        ("SIGQUIT", |terminal, _| terminal.signal(Signal::SIGQUIT), Some(131)),
        ("SIGUSR1", |terminal, _| terminal.signal(Signal::SIGUSR1), Some(0)),
    ];
    for (name, end, status) in ends {
        let (mut terminal, stream) = calling(&[]);
        let by_us = !["the other side's end", "RST", "their keyword", "SIGQUIT"].contains(&name);
        let other_end = by_us.then(|| stream.try_clone().unwrap());
        end(&terminal, stream);
        if let Some(other_end) = other_end {
            read_to_fin(&other_end);
        }
        assert_eq!(terminal.end(), status, "{name}: {}", terminal.shown());
        if status == Some(0) {
            terminal.shows("Disconnected\r\n");
        }
    }
}

#[test]
fn a_second_signal_ends_it_at_once_and_the_terminal_is_as_before() {
    let (mut terminal, stream) = calling(&[]);
    terminal.signal(Signal::SIGTERM);
    read_to_fin(&stream);
    terminal.signal(Signal::SIGTERM);
    assert_eq!(terminal.end(), Some(143));
}

#[test]
fn a_call_that_nobody_answers_leaves_the_terminal_as_it_was() {
    let port = kernel::ReservedPort::new();
    let port = port.address().port().to_string();
    let mut terminal = Terminal::start("talk", &["127.0.0.1", &port]);
    assert_eq!(terminal.end(), Some(1));
    terminal.shows("ECONNREFUSED (Connection refused)\r\n");
}

#[test]
fn a_keyword_is_a_whole_line() {
    let (mut terminal, mut stream) = calling(&[]);
    terminal.press("revoirez\r revoir\rquit\r");
    stream.write_all(b"exited\n").unwrap();
    assert_eq!(read(&stream, 22), "revoirez\n revoir\nquit\n");
    assert_eq!(read_to_fin(&stream), b"");
    drop(stream);
    assert_eq!(terminal.end(), Some(0));

    let (terminal, stream) = calling(&["--bye", "none"]);
    terminal.press("revoir\rquit\r");
    assert_eq!(read(&stream, 12), "revoir\nquit\n");
    terminal.shows("To end the talk: Ctrl-C; your part of it: Ctrl-D\r\n");
}

#[test]
fn after_ctrl_d_the_other_side_is_still_heard() {
    let (mut terminal, mut stream) = calling(&[]);
    terminal.press("last words\r\x04");
    assert_eq!(read_to_fin(&stream), b"last words\n");
    terminal.shows("You have ended your part; Ctrl-C ends the talk\r\n");
    terminal.press("nobody\r");
    stream.write_all(b"still here\n").unwrap();
    terminal.shows("remote: still here\r\n");
    drop(stream);
    assert_eq!(terminal.end(), Some(0));
}

#[test]
fn two_terminals_take_turns() {
    let mut server = Terminal::start("talk", &["--listen", "0", "127.0.0.1", "--turns"]);
    server.shows("Waiting for a caller on 127.0.0.1:");
    let address = server.shown().split("Waiting for a caller on ").nth(1).unwrap().trim().to_owned();
    let (ip, port) = address.split_once(':').unwrap();
    let mut client = Terminal::start("talk", &[ip, port, "--turns"]);
    client.shows("Line by line in turns: yours is the first\r\n");
    server.shows("Line by line in turns: the caller's is the first, yours wait for it\r\n");
    server.press("two\r");
    server.shows("> two\r\n");
    client.press("one\r");
    server.shows("remote: one\r\n");
    client.shows("remote: two\r\n");
    client.press("revoir\r");
    assert_eq!((client.end(), server.end()), (Some(0), Some(0)));
}

#[test]
fn a_window_of_another_width_shows_what_fits() {
    let (terminal, _stream) = calling(&[]);
    terminal.press("0123456789012345678901234567890123456789");
    terminal.shows("> 0123456789012345678901234567890123456789");
    terminal.resize(20);
    terminal.shows("\r\x1b[K> 34567890123456789");
}

#[test]
fn what_is_pasted_is_sent_whole_while_the_window_changes_and_the_talk_is_stopped() {
    let (terminal, stream) = calling(&[]);
    let pasted: Vec<String> = (0..50_000).map(|number| format!("wörd {number:015}\r")).collect();
    let sent: usize = pasted.iter().map(String::len).sum();
    assert!(sent > 1 << 20);
    let received = std::thread::spawn(move || read(&stream, sent));
    for (number, lines) in pasted.chunks(2_500).enumerate() {
        terminal.press(&lines.concat());
        terminal.resize(20 + number as u16);
        terminal.signal(Signal::SIGSTOP);
        terminal.signal(Signal::SIGCONT);
    }
    assert_eq!(received.join().unwrap(), pasted.concat().replace('\r', "\n"));
}

#[test]
fn in_a_file_of_its_own_standard_error_has_the_events() {
    let listener = Listener::start(&[]);
    let directory = tempfile::tempdir().unwrap();
    let events = directory.path().join("events");
    let port = listener.address.port().to_string();
    let mut terminal = Terminal::start("talk", &["127.0.0.1", &port, "--events", events.to_str().unwrap()]);
    terminal.shows("> ");
    terminal.press("hello\r");
    terminal.shows("remote: hello\r\n");
    terminal.press("revoir\r");
    assert_eq!(terminal.end(), Some(0));
    assert!(!terminal.shown().contains("established "), "{}", terminal.shown());
    let events = std::fs::read_to_string(&events).unwrap();
    let words: Vec<String> = events
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["event"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(words.first().map(String::as_str), Some("established"), "{events}");
    assert_eq!(words.last().map(String::as_str), Some("closed"), "{events}");
}

#[test]
fn two_terminals_talk_through_a_relay() {
    let mut relay = Listener::relay(&[]);
    let port = relay.address.port().to_string();
    let mut alice = Terminal::start("talk", &["127.0.0.1", &port, "--name", "alice"]);
    alice.shows("* waiting for a partner\r\n");
    let mut bob = Terminal::start("talk", &["127.0.0.1", &port, "--name", "bob"]);
    alice.shows("* connected to bob (");
    alice.shows("* status WRITE\r\n");
    bob.shows("* connected to alice (");
    bob.shows("* status READ\r\n");
    bob.press("held until it is my turn\r");
    alice.press("hello\r");
    bob.shows("alice: hello\r\n");
    alice.shows("bob: held until it is my turn\r\n");
    assert!(!format!("{}{}", alice.shown(), bob.shown()).contains("remote: "), "the relay says who speaks");
    alice.press("exit\r");
    assert_eq!((alice.end(), bob.end()), (Some(0), Some(0)));
    bob.shows("The other side has ended the talk\r\nDisconnected\r\n");
    relay.stop().well();
}

#[test]
fn a_talk_that_goes_on_takes_the_terminal_again() {
    let (mut terminal, _stream) = calling(&[]);
    terminal.press("half a line");
    terminal.shows("> half a line");
    terminal.signal(Signal::SIGSTOP);
    until("a process that is stopped", || (process_state(terminal.pid()) == Some('T')).then_some(()));
    terminal.take_back();
    let shown = terminal.shown().len();
    terminal.signal(Signal::SIGCONT);
    terminal.is_taken();
    until("the line again", || terminal.shown()[shown..].contains("> half a line").then_some(()));
    terminal.press("\x03");
    assert_eq!(terminal.end(), Some(0));
}
