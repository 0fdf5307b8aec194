//! `fourtuple load`: what it measures, and what it says of a server that does not do its part.

mod faults;
mod hold;
mod rate;
mod spin;

use crate::program::namespace::isolated;
use crate::program::usage::{help_is_kept, short_help};
use crate::program::{End, Listener, Program, field};
use nix::sys::signal::Signal;
use serde_json::Value;

/// Runs a load in JSON to its end.
fn load(mode: &str, remote: impl ToString, options: &[&str]) -> End {
    let remote = remote.to_string();
    let words = [&["load", mode, &remote, "--format", "json"], options].concat();
    Program::run("fourtuple", &words)
}

/// The lines with this word.
fn events(stdout: &str, word: &str) -> Vec<Value> {
    let values = stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    values.filter(|value| value["event"] == word).collect()
}

/// The one line with this word.
#[track_caller]
fn event(end: &End, word: &str) -> Value {
    let found = events(&end.stdout, word);
    assert_eq!(found.len(), 1, "{word} in {}", end.stdout);
    found[0].clone()
}

#[test]
fn rr_counts_what_the_listener_has_echoed() {
    let mut listener = Listener::start(&["--quiet"]);
    let pid = listener.pid().to_string();
    let options =
        ["--size", "100B", "--duration", "200ms", "--verify", "--connections", "7", "--server-pid", &pid];
    let end = load("rr", listener.address, &options).well();
    let result = event(&end, "result");
    let requests = result["requests"].as_u64().unwrap();
    assert_eq!(result["bytes"], requests * 100);
    let totals = listener.stop().well();
    let echoed: u64 = field(totals.lines("stopped ")[0], "sent").parse().unwrap();
    // Beside those counted: one a connection that was under way at the end.
    assert!((requests * 100..=(requests + 7) * 100).contains(&echoed), "{requests} counted, {echoed} bytes");
    let latency = event(&end, "latency");
    let quantiles = ["p50_ns", "p90_ns", "p99_ns", "p99_9_ns", "max_ns"].map(|key| latency[key].as_u64());
    assert!(quantiles.is_sorted() && quantiles[0] > Some(0), "{latency}");
    assert!(result.get("due").is_none(), "no rate was asked for: {result}");
    let cpus = events(&end.stdout, "cpu");
    assert_eq!(cpus.len(), 2, "{}", end.stdout);
    for (cpu, of) in cpus.iter().zip(["self", "server"]) {
        assert_eq!(cpu["of"], of);
        let spent = cpu["user_us"].as_u64().unwrap() + cpu["system_us"].as_u64().unwrap();
        assert!((1..=200_000 * 2).contains(&spent), "{cpu}");
    }
}

#[test]
fn clients_that_wait_all_the_time_are_not_among_those_served() {
    let listener = Listener::start(&["--quiet", "--model", "sequential"]);
    let options = ["--connections", "3", "--duration", "1s", "--threads", "2", "--warm-up", "50ms"];
    let result = event(&load("rr", listener.address, &options).well(), "result");
    assert!(result["requests"].as_u64() > Some(0), "{result}");
    assert_eq!(result["served"], 1, "{result}");
}

#[test]
fn the_warm_up_lasts_no_longer_than_its_answers() {
    let listener = Listener::start(&["--quiet", "--model", "fork"]);
    let options = ["--connections", "3", "--duration", "1s", "--warm-up", "1h"];
    let result = event(&load("rr", listener.address, &options).well(), "result");
    assert_eq!(result["served"], 3, "{result}");
}

#[test]
fn threads_have_all_connections_together_and_none_is_without_one() {
    let listener = Listener::start(&["--quiet"]);
    for (threads, expected) in [("2", 2), ("9", 3)] {
        let options = ["--connections", "3", "--duration", "1s", "--threads", threads];
        let end = load("rr", listener.address, &options).well();
        assert_eq!(event(&end, "running")["threads"], expected);
        assert_eq!(event(&end, "result")["served"], 3, "{}", end.stdout);
    }
}

#[test]
fn bulk_verifies_every_byte_of_many_requests_under_way() {
    let listener = Listener::start(&["--quiet"]);
    let end = load("bulk", listener.address, &["--duration", "1s", "--verify", "--connections", "2"]);
    let result = event(&end.well(), "result");
    assert!(result["bytes"].as_u64() > Some(1024 * 1024), "{result}");
    assert_eq!(result["bytes"], result["requests"].as_u64().unwrap() * 64 * 1024);
}

#[test]
fn connect_makes_a_connection_for_each_request() {
    let mut listener = Listener::start(&["--quiet"]);
    let options = ["--duration", "1s", "--connections", "5", "--threads", "2"];
    let end = load("connect", listener.address, &options).well();
    let requests = event(&end, "result")["requests"].as_u64().unwrap();
    let totals = listener.stop().well();
    let accepted: u64 = field(totals.lines("stopped ")[0], "accepted").parse().unwrap();
    assert!(requests > 10 && (requests..=requests + 5).contains(&accepted), "{requests} {accepted}");
}

#[test]
fn the_plot_is_a_picture_of_its_own() {
    let listener = Listener::start(&["--quiet"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("latency.svg");
    let options = ["--duration", "4s", "--plot", file.to_str().unwrap()];
    load("rr", listener.address, &options).well();
    let picture = std::fs::read_to_string(&file).unwrap();
    assert!(picture.starts_with("<svg ") && picture.trim_end().ends_with("</svg>"), "{picture}");
    let points = picture.split("<polyline ").skip(1).map(|line| line.split(' ').count()).max();
    assert!(points > Some(20), "a line through {points:?} points");
    assert!(["90", "99"].iter().all(|label| picture.contains(&format!("\n{label}\n"))), "{picture}");
}

#[test]
fn a_file_that_cannot_be_written_is_told_before_the_time_is_spent() {
    let listener = Listener::start(&["--quiet"]);
    let end = load("rr", listener.address, &["--plot", "/nowhere/latency.svg", "--duration", "1h"]);
    assert!(end.with_status(1).stderr.contains("open /nowhere/latency.svg: ENOENT"));
}

#[test]
fn help_says_what_there_is() {
    for mode in ["", "rr", "bulk", "connect", "hold"] {
        let words: Vec<&str> = ["load", mode].into_iter().filter(|word| !word.is_empty()).collect();
        short_help("fourtuple", &words);
        for flag in ["-h", "--help"] {
            help_is_kept("fourtuple", &[&words[..], &[flag]].concat());
        }
    }
}

#[test]
fn ctrl_c_ends_the_run_early_and_it_is_told_as_it_is() {
    let listener = Listener::start(&["--quiet"]);
    for mode in ["rr", "bulk", "connect"] {
        let remote = listener.address.to_string();
        let mut run =
            Program::start("fourtuple", &["load", mode, &remote, "--duration", "1h", "--format", "json"]);
        run.line_with(&["\"event\":\"running\""]);
        run.signal(Signal::SIGINT);
        let end = run.end().well();
        assert!(event(&end, "result")["elapsed_us"].as_u64() < Some(10_000_000), "{mode}: {}", end.stdout);
        assert_eq!(end.stderr, "");
    }
}

#[test]
fn connect_uses_its_source_ports_again_and_passes_over_those_of_others() {
    if !isolated() {
        return;
    }
    let listener = Listener::start(&["--quiet"]);
    let _taken = Listener::at("127.0.0.1", 20_001, &["--quiet", "--reuse-port", "off"]);
    let options = ["--source-ports", "20000-20009", "--connections", "2", "--duration", "2s"];
    let end = load("connect", listener.address, &options).well();
    assert!(event(&end, "result")["requests"].as_u64() > Some(20), "{}", end.stdout);
}
