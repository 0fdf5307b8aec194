//! A conversation: exact bytes on a pipe, lines on a terminal, and every way it can end.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::program::client::{Pattern, accept, connect, read_to_fin, reset};
use crate::program::usage::refused;
use crate::program::{Listener, Program, field, kernel, path, until};
use fourtuple::net::TcpState;
use nix::sys::signal::Signal;

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
fn pipe_through(command: &mut Command, input: &[u8]) -> crate::program::End {
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
    stream.shutdown(Shutdown::Write).unwrap();
    server.input().write_all(b"two").unwrap();
    assert_eq!(read_to_fin(&stream), b"two");
    assert_eq!(server.end().well().stdout, "one\n");
}

#[test]
fn memory_stays_bounded_whoever_does_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let input = directory.path().join("in");
    let bytes = Pattern::new(6).bytes(50_000_000);
    std::fs::write(&input, &bytes).unwrap();

    // The other side does not read what the file brings.
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = call(server.local_addr().unwrap(), &[]);
    let mut sender = Program::spawn_with_input(command.stdin(File::open(&input).unwrap()));
    let stream = accept(&server);
    wait_until_stuck(stream.peer_addr().unwrap(), stream.local_addr().unwrap());
    let peak = peak_memory(&sender);
    assert!(peak < 16_000, "{peak} KiB while the other side does not read");
    assert!(read_to_fin(&stream) == bytes, "other bytes arrived");
    drop(stream);
    sender.end().well();

    // Nobody reads what the other side says.
    let (read_end, write_end) = std::io::pipe().unwrap();
    let mut command = call(server.local_addr().unwrap(), &["--drain", "1ms"]);
    let mut receiver = Program::spawn_unheard(command.stdout(write_end));
    drop(command);
    let stream = accept(&server);
    let sender = std::thread::spawn({
        let (stream, bytes) = (stream.try_clone().unwrap(), bytes.clone());
        move || {
            stream.set_write_timeout(None).unwrap();
            (&stream).write_all(&bytes).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        }
    });
    wait_until_stuck(stream.local_addr().unwrap(), stream.peer_addr().unwrap());
    let peak = peak_memory(&receiver);
    assert!(peak < 16_000, "{peak} KiB while nobody reads");
    let mut said = Vec::new();
    { read_end }.read_to_end(&mut said).unwrap();
    assert!(said == bytes, "{} of {} bytes", said.len(), bytes.len());
    sender.join().unwrap();
    receiver.end().well();
}

/// Waits until nothing moves any more of what one end sends and the other does not read.
#[track_caller]
fn wait_until_stuck(from: SocketAddr, to: SocketAddr) {
    let queues = || (kernel::unsent(from, to), kernel::row_of(to, from).map_or(0, |row| row.unread));
    until("a connection that is stuck", || {
        let before = queues();
        std::thread::sleep(Duration::from_millis(300));
        (before.0 > 0 && before.1 > 0 && queues() == before).then_some(())
    });
}

/// The most memory that a program has had, in KiB.
fn peak_memory(program: &Program) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn what_was_said_before_the_end_is_written_however_late_it_is_read() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut read_end, write_end) = std::io::pipe().unwrap();
    let mut command = call(server.local_addr().unwrap(), &["--drain", "1ms"]);
    let mut program = Program::spawn_unheard(command.stdout(write_end));
    drop(command);
    let bytes = Pattern::new(8).bytes(200_000);
    accept(&server).write_all(&bytes).unwrap();
    program.error_line("closed ");
    std::thread::sleep(Duration::from_millis(100));
    let mut said = Vec::new();
    read_end.read_to_end(&mut said).unwrap();
    assert!(said == bytes, "{} of {} bytes", said.len(), bytes.len());
    program.end().well();
}

#[test]
fn a_signal_ends_it_within_its_limit_though_nobody_reads() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let (_read_end, write_end) = std::io::pipe().unwrap();
    let mut command = call(server.local_addr().unwrap(), &["--drain", "100ms"]);
    let mut program = Program::spawn_unheard(command.stdout(write_end));
    drop(command);
    let stream = accept(&server);
    (&stream).write_all(&Pattern::new(9).bytes(200_000)).unwrap();
    kernel::wait_until_read(&stream);
    program.stop().well();
}

#[test]
fn whoever_reads_one_line_and_goes_has_seen_enough() {
    let listener = Listener::start(&[]);
    let mut command = call(listener.address, &[]);
    let (read_end, write_end) = std::io::pipe().unwrap();
    let mut program = Program::spawn_with_input_unheard(command.stdin(Stdio::piped()).stdout(write_end));
    drop(command);
    let mut input = program.input();
    input.write_all(b"one\n").unwrap();
    let mut line = String::new();
    BufReader::new(read_end).read_line(&mut line).unwrap();
    assert_eq!(line, "one\n");
    // Nobody reads any more; the next bytes are the ones that tell.
    input.write_all(b"two\n").unwrap();
    program.end().well();
}

#[test]
fn a_full_disk_is_said_and_ends_it() {
    let listener = Listener::start(&[]);
    let mut command = call(listener.address, &[]);
    command.stdin(Stdio::piped()).stdout(File::options().write(true).open("/dev/full").unwrap());
    let mut program = Program::spawn_with_input_unheard(&mut command);
    program.input().write_all(b"one\n").unwrap();
    let end = program.end().with_status(1);
    assert!(end.stderr.contains("talk: write standard output: ENOSPC"), "{}", end.stderr);
}

#[test]
fn in_json_everything_is_an_event_on_standard_output_and_no_line_is_dropped() {
    let listener = Listener::start(&[]);
    let mut command = call(listener.address, &["--format", "json"]);
    let mut program = Program::spawn_with_input(command.stdin(Stdio::piped()));
    let mut input = program.input();
    for number in 0..100_000 {
        writeln!(input, "line {number}").unwrap();
    }
    input.write_all(b"\xff\x1b\"").unwrap();
    drop(input);
    let end = program.end().well();
    assert_eq!(end.stderr, "");
    let events: Vec<serde_json::Value> =
        end.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.first().unwrap()["event"], "established");
    assert_eq!(events.last().unwrap()["event"], "closed");
    // On a busy machine the rest of a line may be late, and what has come of it is said before.
    let mut lines = vec![String::new()];
    for said in events.iter().filter(|event| event["event"] == "said") {
        lines.last_mut().unwrap().push_str(said["text"].as_str().unwrap());
        if said["unfinished"] == false {
            lines.push(String::new());
        }
    }
    assert_eq!(lines.len(), 100_001);
    assert_eq!(lines.pop().unwrap(), "\\xff\\x1b\\\"", "without its end");
    for (number, line) in lines.iter().enumerate() {
        assert_eq!(*line, format!("line {number}"));
    }
}

#[test]
fn a_reset_is_said_in_words_and_is_a_failure() {
    let (mut server, address) = listening(&[]);
    let stream = connect(address);
    server.error_line("accepted ");
    reset(stream);
    let end = server.end().with_status(1);
    assert!(
        end.stderr.contains("ECONNRESET (Connection reset by peer)\nthe other side broke off (RST)"),
        "{}",
        end.stderr
    );
}

#[test]
fn the_other_sides_end_ends_it_though_input_stays_open() {
    let (mut server, address) = listening(&[]);
    let _input = server.input();
    drop(connect(address));
    assert!(server.end().well().stderr.contains(" reason=fin "));
}

#[test]
fn a_file_is_sent_whole_to_whoever_half_closed_at_once() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (input, bytes) = (directory.path().join("in"), Pattern::new(7).bytes(10_000_000));
    std::fs::write(&input, &bytes).unwrap();
    let mut command = call(server.local_addr().unwrap(), &[]);
    let mut program = Program::spawn_with_input(command.stdin(File::open(&input).unwrap()));
    let stream = accept(&server);
    stream.shutdown(Shutdown::Write).unwrap();
    // For longer than input may be silent.
    std::thread::sleep(Duration::from_millis(1500));
    assert!(read_to_fin(&stream) == bytes);
    program.end().well();
}

#[test]
fn a_second_caller_is_told_busy_and_the_first_is_not_disturbed() {
    let (mut server, address) = listening(&[]);
    let mut first = connect(address);
    server.error_line("accepted ");
    let mut second = connect(address);
    second.write_all(b"hello?").unwrap();
    assert_eq!(read_to_fin(&second), b"busy\n");
    drop(second);
    first.write_all(b"still here").unwrap();
    first.shutdown(Shutdown::Write).unwrap();
    drop(server.input());
    read_to_fin(&first);
    let end = server.end().well();
    assert_eq!(end.stdout, "still here");
    assert!(end.stderr.contains(" reason=busy\n"), "{}", end.stderr);
}

#[test]
fn a_name_is_the_first_line_and_control_characters_are_none() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let _program = Program::spawn(&mut call(server.local_addr().unwrap(), &["--name", "Zoë"]));
    assert_eq!(read_to_fin(&accept(&server)), "/name Zoë\n".as_bytes());
    for name in ["", "a\nb", "a\x1b[2J", "a\u{202e}b"] {
        refused("talk", &["--name", name], "for '--name <NAME>'");
    }
}

#[test]
fn signals_end_it_and_tell_how_it_stands() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGUSR1] {
        let (mut server, address) = listening(&[]);
        let mut stream = connect(address);
        stream.write_all(b"hello").unwrap();
        server.error_line("accepted ");
        kernel::wait_until_read(&stream);
        server.signal(Signal::SIGUSR2);
        let status = server.error_line("conversation ");
        assert_eq!((field(&status, "state"), field(&status, "received")), ("talking", "5"), "{status}");
        server.signal(signal);
        read_to_fin(&stream);
        drop(stream);
        let end = server.end().well();
        assert_eq!(end.stdout, "hello");
        assert_eq!(end.stderr.contains("SIGUSR1"), signal == Signal::SIGUSR1, "{}", end.stderr);
    }
}

#[test]
fn a_signal_ends_a_wait_and_a_call_that_is_not_answered() {
    let (mut server, _) = listening(&[]);
    server.signal(Signal::SIGUSR2);
    assert_eq!(field(&server.error_line("conversation "), "state"), "waiting");
    server.stop().well();

    let full = kernel::FullServer::new();
    let mut caller = Program::spawn(&mut call(full.address(), &[]));
    until("SYN-SENT", || {
        kernel::table().into_iter().find(|row| row.remote == full.address() && row.state == TcpState::SynSent)
    });
    caller.stop().well();
}

#[test]
fn a_call_that_is_not_answered_has_a_limit() {
    let full = kernel::FullServer::new();
    let end = Program::spawn(&mut call(full.address(), &["--connect-timeout", "100ms"])).end().with_status(1);
    assert!(end.stderr.contains("no answer to SYN within 100ms (--connect-timeout)"), "{}", end.stderr);
}

#[test]
fn turns_are_kept_on_a_pipe_too() {
    let (mut server, address) = listening(&["--turns"]);
    let mut client = Program::spawn_with_input(call(address, &["--turns"]).stdin(Stdio::piped()));
    server.input().write_all(b"two\nfour\nsix").unwrap();
    server.error_line("accepted ");
    client.input().write_all(b"one\nthree\nfive\n").unwrap();
    assert_eq!(client.end().well().stdout, "two\nfour\nsix");
    assert_eq!(server.end().well().stdout, "one\nthree\nfive\n");
}

#[test]
fn turns_with_an_echo_server_and_with_a_caller_that_never_sends_are_said_in_words() {
    let listener = Listener::start(&[]);
    let end = pipe_through(&mut call(listener.address, &["--turns"]), b"one\ntwo\n").well();
    assert_eq!(end.stdout, "one\ntwo\n");
    assert!(end.stderr.contains("Your first line came back as it was: an echo server?"), "{}", end.stderr);

    let (mut server, address) = listening(&["--turns"]);
    let mut input = server.input();
    let _silent = connect(address);
    input.write_all(b"held\n").unwrap();
    let notice = server.error_line(
        "notice words=\"It is the other side's turn, and it has ended no line for 5s; yours that wait: 1.",
    );
    assert!(notice.contains("talk without --turns"), "{notice}");
    server.stop().well();
}

#[test]
fn events_and_text_in_one_pipe_stand_in_their_order() {
    for _ in 0..20 {
        let listener = Listener::start(&[]);
        let port = listener.address.port().to_string();
        let script = "echo hello | \"$0\" 127.0.0.1 \"$1\" 2>&1";
        let end = Program::spawn(Command::new("sh").args(["-c", script, path("talk"), &port])).end().well();
        let words: Vec<&str> = end.stdout.lines().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(words, ["established", "hello", "closed"]);
    }
}
