//! An open loop: requests come at a rate of their own, and what one waits for is not left out.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::faults::server;
use super::{event, load};
use crate::program::{End, Listener};

/// How long the server stalls, once a connection.
const STALL: Duration = Duration::from_millis(800);

fn stall_once(mut stream: TcpStream) {
    let (mut buffer, mut echoed) = (vec![0; 1 << 20], 0);
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        if (echoed..echoed + length).contains(&640) {
            thread::sleep(STALL);
        }
        echoed += length;
        if stream.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}

fn milliseconds(latency: &Value, key: &str) -> u64 {
    latency[key].as_u64().unwrap() / 1_000_000
}

fn stalled(options: &[&str]) -> End {
    load("rr", server(stall_once), &[&["--connections", "1", "--duration", "2s"], options].concat()).well()
}

/// Latencies with the one stall, where no other program stalled the rest: on a busy machine it is tried again.
fn undisturbed(options: &[&str], key: &str, limit_ms: u64) -> Value {
    const ATTEMPTS: usize = 20;
    let mut latencies = (0..ATTEMPTS).map(|_| event(&stalled(options), "latency"));
    let found = latencies.find(|latency| milliseconds(latency, key) < limit_ms);
    found.unwrap_or_else(|| panic!("{key} is never below {limit_ms} ms"))
}

#[test]
fn a_stall_is_felt_by_every_request_that_was_due_in_it() {
    let open = undisturbed(&["--rate", "1k/s"], "p50_ns", 400);
    // Due in the stall: 800 of 2,000, which wait 800 ms to 1 ms.
    assert!(milliseconds(&open, "p90_ns") >= 500, "{open}");
    assert!(milliseconds(&open, "max_ns") >= 780, "{open}");
    // A closed loop sends nothing in the stall: one request feels it.
    let closed = undisturbed(&[], "p90_ns", 200);
    assert!(milliseconds(&closed, "max_ns") >= 780, "{closed}");
}

#[test]
fn every_request_that_was_due_is_sent_and_waited_for() {
    let listener = Listener::start(&["--quiet"]);
    let options =
        ["--rate", "2k/s", "--duration", "300ms", "--threads", "2", "--connections", "7", "--verify"];
    let result = event(&load("rr", listener.address, &options).well(), "result");
    assert_eq!((&result["due"], &result["requests"]), (&600.into(), &600.into()));
}

#[test]
fn a_rate_beyond_the_server_shows_as_latency_and_time() {
    let listener = Listener::start(&["--quiet"]);
    let options = ["--rate", "10M/s", "--duration", "10ms", "--verify", "--reply-timeout", "60s"];
    let end = load("rr", listener.address, &options).well();
    let result = event(&end, "result");
    assert_eq!((&result["due"], &result["requests"]), (&100_000.into(), &100_000.into()));
    assert!(result["elapsed_us"].as_u64() > Some(10_000), "{result}");
}

#[test]
fn answers_that_do_not_come_are_no_answers() {
    fn read_only(mut stream: TcpStream) {
        while let Ok(1..) = stream.read(&mut [0; 4096]) {}
    }
    let options = ["--rate", "1k/s", "--duration", "100ms", "--connections", "2", "--reply-timeout", "200ms"];
    let end = load("rr", server(read_only), &options).with_status(1);
    assert_eq!(event(&end, "failures")["timed_out"], 2);
    assert_eq!(event(&end, "result")["requests"], 0);
}
