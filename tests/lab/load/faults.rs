//! Servers that do not do their part: told apart, and not averaged in.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use super::{event, events, load};
use crate::program::Listener;
use crate::program::client::{read_to_fin, reset};
use crate::program::kernel::{FullServer, ReservedPort};
use crate::program::usage::refused;

/// A server that does this to each connection.
pub fn server(behave: Behave) -> SocketAddr {
    let listening = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listening.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listening.incoming() {
            thread::spawn(move || behave(stream.unwrap()));
        }
    });
    address
}

fn read_some(mut stream: &TcpStream) {
    let _ = stream.read(&mut [0; 64]);
}

fn close(stream: TcpStream) {
    read_some(&stream);
}

fn send_rst(stream: TcpStream) {
    read_some(&stream);
    reset(stream);
}

fn say_nothing(stream: TcpStream) {
    let _ = thread::spawn(move || (&stream).read_to_end(&mut Vec::new())).join();
}

fn answer_something_else(mut stream: TcpStream) {
    read_some(&stream);
    let _ = stream.write_all(&[0; 64]);
    read_to_fin(&stream);
}

fn say_too_much(mut stream: TcpStream) {
    let mut request = [0; 64];
    let _ = stream.read_exact(&mut request);
    let _ = stream.write_all(&[&request[..], b"!"].concat());
    read_to_fin(&stream);
}

type Behave = fn(TcpStream);

/// Every server, what its connections are counted as, and the words for it.
const FAULTS: [(Behave, &str, &str); 5] = [
    (close, "closed", "the remote side sent FIN"),
    (send_rst, "reset", "ECONNRESET"),
    (say_nothing, "timed_out", "no answer within 200ms (--reply-timeout)"),
    (answer_something_else, "wrong", "sent"),
    (say_too_much, "wrong", "sent"),
];

const KINDS: [&str; 6] = ["refused", "reset", "closed", "timed_out", "wrong", "other"];

#[test]
fn each_fault_is_counted_as_what_it_is_and_as_no_request() {
    for mode in ["rr", "connect"] {
        for (behave, kind, words) in FAULTS {
            let timeout = if kind == "timed_out" { "200ms" } else { "60s" };
            let options = ["--connections", "3", "--duration", "60s", "--reply-timeout", timeout];
            let end = load(mode, server(behave), &options).with_status(1);
            let failures = event(&end, "failures");
            for other in KINDS {
                let expected = if other == kind { 3 } else { 0 };
                assert_eq!(failures[other], expected, "{mode} {kind}: {failures}");
            }
            assert_eq!(event(&end, "result")["requests"], 0, "{mode} {kind}");
            assert!(events(&end.stdout, "latency").is_empty(), "{mode} {kind}");
            assert!(end.stderr.contains(words), "{mode} {kind}: {}", end.stderr);
            assert!(end.stderr.contains("3 connections failed; this was the first"), "{}", end.stderr);
        }
    }
}

#[test]
fn nobody_there_is_refused_with_the_next_step() {
    for mode in ["rr", "bulk", "connect"] {
        let nobody = ReservedPort::new().address();
        let end = load(mode, nobody, &["--connections", "3"]).with_status(1);
        assert_eq!(event(&end, "failures")["refused"], 3, "{mode}");
        // A load of connect begins with the first connection, the others with the last.
        assert_eq!(events(&end.stdout, "running").len(), usize::from(mode == "connect"), "{mode}");
        assert!(end.stderr.contains("ECONNREFUSED"), "{mode}: {}", end.stderr);
        assert!(end.stderr.contains(&format!("hint: nothing listens on {nobody}")), "{mode}: {}", end.stderr);
    }
}

#[test]
fn a_handshake_that_nobody_answers_times_out() {
    let full = FullServer::new();
    for mode in ["rr", "connect"] {
        let options = ["--connections", "2", "--connect-timeout", "100ms"];
        let end = load(mode, full.address(), &options).with_status(1);
        assert_eq!(event(&end, "failures")["timed_out"], 2, "{mode}");
        assert!(end.stderr.contains("no answer to SYN within 100ms"), "{mode}: {}", end.stderr);
    }
}

#[test]
fn the_connections_that_do_their_part_are_measured_all_the_same() {
    let listener = Listener::start(&["--quiet", "--max-connections", "4"]);
    let end = load("rr", listener.address, &["--connections", "6", "--duration", "1s"]).with_status(1);
    // Closed with a request unread it is RST.
    let failures = event(&end, "failures");
    assert_eq!(failures["closed"].as_u64().unwrap() + failures["reset"].as_u64().unwrap(), 2, "{failures}");
    assert!(event(&end, "result")["requests"].as_u64() > Some(100), "{}", end.stdout);
}

#[test]
fn a_server_that_is_no_process_is_told_before_anything_is_sent() {
    let listener = Listener::start(&["--quiet"]);
    let options = ["--server-pid", "2147483647"];
    let end = load("rr", listener.address, &options).with_status(1);
    assert!(end.stderr.contains("there is no process 2147483647"), "{}", end.stderr);
    assert_eq!(end.stdout.lines().count(), 1, "{}", end.stdout);
    assert_eq!(event(&end, "failed")["call"], "open");
}

#[test]
fn wrong_usage_names_the_argument() {
    for (arguments, argument) in [
        (&["rr"][..], "<REMOTE>"),
        (&["rr", "127.0.0.1"], "'127.0.0.1' for '<REMOTE>'"),
        (&["rr", "127.0.0.1:0"], "'127.0.0.1:0' for '<REMOTE>'"),
        (&["rr", "127.0.0.1:3000", "--size", "64"], "'64' for '--size"),
        (&["rr", "127.0.0.1:3000", "--size", "0B"], "'0B' for '--size"),
        (&["rr", "127.0.0.1:3000", "--connections", "0"], "'0' for '--connections"),
        (&["rr", "127.0.0.1:3000", "--duration", "5"], "'5' for '--duration"),
        (&["rr", "127.0.0.1:3000", "--rate", "500"], "'500' for '--rate"),
        (&["rr", "127.0.0.1:3000", "--rate", "500/s", "--depth", "2"], "--depth"),
        (&["hold", "--remote", "127.0.0.1:3000"], "--count"),
        (&["hold", "--count", "1"], "--remote"),
        (&["hold", "--count", "1.5M", "--remote", "127.0.0.1:1"], "'1.5M' for '--count"),
        (&["hold", "--count", "1", "--remote", "127.0.0.1:2-1"], "'127.0.0.1:2-1' for '--remote"),
    ] {
        refused("fourtuple", &[&["load"], arguments].concat(), argument);
    }
}

#[test]
fn after_the_first_answer_only_verify_sees_a_wrong_byte() {
    fn corrupt_the_third(mut stream: TcpStream) {
        let mut request = [0; 64];
        for number in 0.. {
            if stream.read_exact(&mut request).is_err() {
                return;
            }
            request[63] ^= u8::from(number == 2);
            let _ = stream.write_all(&request);
        }
    }
    let options = ["--connections", "2", "--duration", "1s"];
    let blind = load("rr", server(corrupt_the_third), &options).well();
    assert!(event(&blind, "result")["requests"].as_u64() > Some(6));
    let end = load("rr", server(corrupt_the_third), &[&options[..], &["--verify"]].concat()).with_status(1);
    assert_eq!(event(&end, "failures")["wrong"], 2);
    assert!(end.stderr.contains("byte 191 of the answers is not the one that was sent"), "{}", end.stderr);
    assert_eq!(event(&end, "result")["requests"], 4, "two right answers each");
}
