//! A conversation: exact bytes on a pipe, lines on a terminal, and every way it can end.

#![cfg(test)]

mod program;

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use program::client::{Pattern, connect, read_to_fin};
use program::{Listener, Program, field, path};

/// A command that calls `address`.
fn call(address: SocketAddr, options: &[&str]) -> Command {
    let mut command = Command::new(path("talk"));
    command.args([address.ip().to_string(), address.port().to_string()]).args(options);
    command
}

/// A `talk --listen` on 127.0.0.1 and any port, whose input is a pipe; and its address.
#[track_caller]
fn listening(options: &[&str]) -> (Program, SocketAddr) {
    let mut command = Command::new(path("talk"));
    command.args(["--listen", "0", "127.0.0.1"]).args(options).stdin(Stdio::piped());
    let program = Program::spawn_with_input(&mut command);
    let line = program.error_line("listening ");
    (program, field(&line, "local").parse().unwrap())
}

#[test]
fn two_talks_hold_a_conversation_both_ways_until_both_inputs_end() {
    let (mut server, address) = listening(&[]);
    let mut client = Program::spawn_with_input(call(address, &[]).stdin(Stdio::piped()));
    client.input().write_all(b"from the caller\n").unwrap();
    server.input().write_all(b"from the called").unwrap();
    assert_eq!(client.end().well().stdout, "from the called");
    assert_eq!(server.end().well().stdout, "from the caller\n");
}

/// Starts `talk` with `input` as its standard input, and ends it.
#[track_caller]
fn pipe_through(command: &mut Command, input: &[u8]) -> program::End {
    let mut program = Program::spawn_with_input(command.stdin(Stdio::piped()));
    program.input().write_all(input).unwrap();
    program.end()
}

#[test]
fn a_text_with_lines_that_are_keywords_passes_a_pipe_whole() {
    let listener = Listener::start(&[]);
    let text = b"hello\nquit\nrevoir\r\nexit\n\0\x1b[2Jno newline at the end";
    let end = pipe_through(&mut call(listener.address, &[]), text).well();
    assert_eq!(end.stdout.as_bytes(), text);
}

#[test]
fn a_100_mb_file_comes_back_from_an_echo_equal() {
    let listener = Listener::start(&[]);
    let directory = tempfile::tempdir().unwrap();
    let (input, output) = (directory.path().join("in"), directory.path().join("out"));
    let bytes = Pattern::new(5).bytes(100_000_000);
    std::fs::write(&input, &bytes).unwrap();
    let mut command = call(listener.address, &[]);
    command.stdin(File::open(&input).unwrap()).stdout(File::create(&output).unwrap());
    assert!(command.stderr(Stdio::null()).status().unwrap().success());
    assert!(std::fs::read(&output).unwrap() == bytes, "other bytes came back");
}

#[test]
fn a_keyword_named_on_a_pipe_ends_both_sides_and_nothing_behind_it_passes() {
    let (mut server, address) = listening(&["--bye", "fin"]);
    let mut client = call(address, &["--bye", "fin"]);
    let end = pipe_through(&mut client, b"fine\nfin\nmore\n").well();
    assert_eq!(end.stdout, "");
    assert_eq!(server.end().well().stdout, "fine\nfin\n");
}

#[test]
fn what_the_called_side_says_behind_its_half_close_still_arrives() {
    let (mut server, address) = listening(&[]);
    let mut stream = connect(address);
    stream.write_all(b"one\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    server.input().write_all(b"two").unwrap();
    assert_eq!(read_to_fin(&stream), b"two");
    assert_eq!(server.end().well().stdout, "one\n");
}
