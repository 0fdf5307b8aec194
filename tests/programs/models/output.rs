//! What is printed, and whoever does not read it.

use std::fs;
use std::io::{BufRead, BufReader, PipeReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::thread;

use nix::sys::signal::Signal::{SIGTERM, SIGUSR2};
use serde_json::Value;

use super::model::Model;
use crate::program::client::{connect, round_trip};
use crate::program::kernel::ReservedPort;
use crate::program::{Program, field, path, redirected, until};

claims! { every_model under event_loop, sequential, thread, fork: {
    quiet_tells_of_the_program_and_verbose_of_every_read,
    json_lines_carry_schema_and_event_and_tell_the_same,
    a_file_of_events_has_every_event_of_every_process,
    bytes_from_the_network_reach_the_output_escaped,
    a_full_or_closed_output_does_not_stop_it,
    a_broken_pipe_does_not_stop_it,
    output_that_nobody_reads_costs_lines_and_they_are_counted,
    output_that_nobody_ever_reads_keeps_it_neither_from_serving_nor_from_ending,
} }

claims! { many_at_once under event_loop, thread, fork: {
    lines_of_many_clients_are_whole,
} }

/// The lines of a listener that serves one client which says `hello`.
fn lines_of_one_hello(model: Model, options: &[&str]) -> Vec<String> {
    let mut listener = model.start(options);
    let stream = connect(listener.address);
    round_trip(&stream, b"hello");
    drop(stream);
    listener.signal(SIGUSR2);
    listener.line_with(&["connections"]);
    listener.stop().well().stdout.lines().map(str::to_owned).collect()
}

fn words(lines: &[String]) -> Vec<String> {
    let mut words: Vec<String> = lines.iter().map(|line| line.split(' ').next().unwrap().into()).collect();
    // The client's end and the signal may come in either order, and its end may come within the drain.
    words.retain(|word| word != "draining");
    words.sort();
    words
}

fn quiet_tells_of_the_program_and_verbose_of_every_read(model: Model) {
    let shown = |options: &[&str]| words(&lines_of_one_hello(model, options));
    assert_eq!(shown(&["--quiet"]), ["connections", "listening", "stopped"]);
    assert_eq!(shown(&[]), ["accepted", "closed", "connections", "listening", "stopped"]);
    let verbose = lines_of_one_hello(model, &["--verbose"]);
    assert_eq!(words(&verbose), ["accepted", "closed", "connections", "listening", "received", "stopped"]);
    let received = verbose.iter().find(|line| line.starts_with("received ")).unwrap();
    assert!(received.ends_with(" bytes=5 text=\"hello\""), "{received}");
    assert!(verbose.contains(&model.stopped(1, 5)), "{verbose:#?}");
}

fn json_lines_carry_schema_and_event_and_tell_the_same(model: Model) {
    let lines = lines_of_one_hello(model, &["--verbose", "--format", "json"]);
    let objects: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(objects.iter().all(|object| object["schema"] == 1), "{objects:#?}");
    let events: Vec<String> =
        objects.iter().map(|object| object["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(words(&events), words(&lines_of_one_hello(model, &["--verbose"])));
    let closed = objects.iter().find(|object| object["event"] == "closed").unwrap();
    assert_eq!((&closed["reason"], &closed["received"]), (&Value::from("fin"), &Value::from(5)));
}

fn bytes_from_the_network_reach_the_output_escaped(model: Model) {
    for format in ["text", "json"] {
        let mut listener = model.start(&["--verbose", "--format", format]);
        let stream = connect(listener.address);
        let all: Vec<u8> = (0..=255).collect();
        round_trip(&stream, &all);
        round_trip(&stream, "\x1b[2J\u{9b}31m\u{202e}\u{2066}\u{7f}".as_bytes());
        round_trip(&stream, b"\"\nclosed local=forged");
        drop(stream);
        listener.line_with(&["closed", "remote"]);
        let end = listener.stop().well();
        let raw = |character: char| {
            character != '\n'
                && (character.is_control() || matches!(character, '\u{202e}' | '\u{2066}' | '\u{fffd}'))
        };
        assert_eq!(end.stdout.find(raw), None, "{:?}", end.stdout);
        assert_eq!(end.stdout.lines().filter(|line| line.starts_with("closed local=forged")).count(), 0);
    }
}

/// A listener on a reserved port, started by a shell that redirects its output.
fn listening(model: Model, reserved: &ReservedPort, redirection: &str) -> Program {
    let port = reserved.address().port().to_string();
    let mut command = redirected("listener", redirection);
    command.args([&port, "127.0.0.1"]).args(model.options(&["--verbose"])).stdout(Stdio::null());
    Program::spawn_unheard(&mut command)
}

fn a_full_or_closed_output_does_not_stop_it(model: Model) {
    for redirection in [">/dev/full", ">&-", ">/dev/full 2>&1", ">&- 2>&-", "<&- >&- 2>&-"] {
        let reserved = ReservedPort::new();
        let mut listener = listening(model, &reserved, redirection);
        let stream = until(redirection, || TcpStream::connect(reserved.address()).ok());
        for _ in 0..20 {
            round_trip(&stream, b"hello");
        }
        drop(stream);
        let end = listener.stop();
        assert_eq!(end.status, Some(0), "{redirection}: {end:#?}");
        assert_eq!(end.stderr, "", "{redirection}");
    }
}

/// A listener that writes into a pipe, the pipe's other end, and the address that its first line told.
fn piped(model: Model, options: &[&str]) -> (Program, BufReader<PipeReader>, SocketAddr) {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = Command::new(path("listener"));
    command.args(["0", "127.0.0.1"]).args(model.options(options)).stdout(writer);
    let program = Program::spawn_unheard(&mut command);
    drop(command);
    let (mut reader, mut line) = (BufReader::with_capacity(64, reader), String::new());
    reader.read_line(&mut line).unwrap();
    let address = field(&line, "local").parse().unwrap();
    (program, reader, address)
}

fn a_broken_pipe_does_not_stop_it(model: Model) {
    let (mut listener, reader, address) = piped(model, &["--verbose"]);
    drop(reader);
    for _ in 0..20 {
        round_trip(&connect(address), b"hello");
    }
    let end = listener.stop();
    assert_eq!((end.status, end.stderr.as_str()), (Some(0), ""));
}

fn output_that_nobody_reads_costs_lines_and_they_are_counted(model: Model) {
    const READS: usize = 2500;
    let (mut listener, mut reader, address) = piped(model, &["--verbose"]);
    let stream = connect(address);
    for _ in 0..READS {
        // Escaped it is four times as long: some 1,100 lines fill the pipe and the queue.
        round_trip(&stream, &[0; 256]);
    }
    drop(stream);
    let rest = thread::spawn(move || {
        let mut rest = String::new();
        reader.read_to_string(&mut rest).map(|_| rest)
    });
    listener.signal(SIGTERM);
    listener.end().well();
    let rest = rest.join().unwrap().unwrap();
    let (counts, told): (Vec<&str>, Vec<&str>) =
        rest.lines().partition(|line| line.starts_with("output-dropped "));
    let dropped: usize = counts.iter().map(|line| field(line, "lines").parse::<usize>().unwrap()).sum();
    assert!(dropped > 0, "nothing was dropped");
    // Accepted, received, closed, stopped; and draining, where the signal came before the client's end.
    let all = READS + 3;
    assert!([all, all + 1].contains(&(told.len() + dropped)), "{} told and {dropped} dropped", told.len());
}

fn output_that_nobody_ever_reads_keeps_it_neither_from_serving_nor_from_ending(model: Model) {
    let (mut listener, reader, address) = piped(model, &["--verbose"]);
    let stream = connect(address);
    for _ in 0..200 {
        // Some 1,100 bytes a line: the pipe holds 64 KiB.
        round_trip(&stream, &[0; 256]);
    }
    drop(stream);
    listener.stop().well();
    drop(reader);
}

fn a_file_of_events_has_every_event_of_every_process(model: Model) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let lines = lines_of_one_hello(model, &["--quiet", "--events", file.path().to_str().unwrap()]);
    assert_eq!(words(&lines), ["connections", "listening", "stopped"]);
    let recorded = fs::read_to_string(file.path()).unwrap();
    let objects = recorded.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let events: Vec<String> = objects.map(|object| object["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(words(&events), ["accepted", "closed", "connections", "listening", "received", "stopped"]);
}

fn lines_of_many_clients_are_whole(model: Model) {
    const CLIENTS: usize = 30;
    const READS: usize = 20;
    let mut listener = model.start(&["--verbose", "--format", "json"]);
    let address = listener.address;
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let stream = connect(address);
                // Escaped twice, it is the longest line that there is.
                (0..READS).for_each(|_| round_trip(&stream, &[0; 256]));
            });
        }
    });
    until("all closed", || (listener.said().matches("\"closed\"").count() == CLIENTS).then_some(()));
    let end = listener.stop().well();
    let words: Vec<String> = end
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .map(|object| object["event"].as_str().unwrap().to_owned())
        .collect();
    let count = |word| words.iter().filter(|&other| other == word).count();
    assert_eq!((count("accepted"), count("received"), count("closed")), (CLIENTS, CLIENTS * READS, CLIENTS));
}
