//! A conversation on a terminal: what is shown, what is typed, and a terminal that is as it was before.

#![cfg(test)]

mod program;

use std::io::Write;
use std::net::{TcpListener, TcpStream};

use nix::sys::signal::Signal;
use program::client::{accept, reset};
use program::kernel;
use program::terminal::Terminal;

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
    terminal.shows("A line revoir or quit or exit ends the talk, and so does Ctrl-C\r\n");
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
        let other_end = stream.try_clone().unwrap();
        end(&terminal, stream);
        if name != "RST" {
            let _ = other_end.shutdown(std::net::Shutdown::Write);
        }
        drop(other_end);
        assert_eq!(terminal.end(), status, "{name}: {}", terminal.shown());
        if status == Some(0) {
            terminal.shows("Disconnected\r\n");
        }
    }
}
