//! `fourtuple load`: what it measures, and what it says of a server that does not do its part.

#![cfg(test)]

mod program;

use program::{Listener, Program};
use serde_json::Value;

/// The lines of a run with `--format json`, by their word.
fn events(stdout: &str, word: &str) -> Vec<Value> {
    let values = stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    values.filter(|value| value["event"] == word).collect()
}

#[test]
fn rr_counts_what_the_listener_has_echoed() {
    let mut listener = Listener::start(&["--quiet"]);
    let (remote, pid) = (listener.address.to_string(), listener.pid().to_string());
    let options = ["--size", "100B", "--duration", "200ms", "--verify", "--format", "json"];
    let arguments = [&["load", "rr", &remote, "--server-pid", &pid, "--connections", "7"], &options[..]];
    let end = Program::run("fourtuple", &arguments.concat()).well();
    let result = &events(&end.stdout, "result")[0];
    let requests = result["requests"].as_u64().unwrap();
    assert_eq!(result["bytes"], requests * 100);
    let totals = listener.stop().well();
    let echoed: u64 = program::field(totals.lines("stopped ")[0], "sent").parse().unwrap();
    // Beside those counted: one a connection that was under way at the end.
    assert!((requests * 100..=(requests + 7) * 100).contains(&echoed), "{requests} counted, {echoed} bytes");
    let latency = &events(&end.stdout, "latency")[0];
    let quantiles = ["p50_ns", "p90_ns", "p99_ns", "p99.9_ns", "max_ns"].map(|key| latency[key].as_u64());
    assert!(quantiles.is_sorted() && quantiles[0] > Some(0), "{latency}");
    for (cpu, of) in events(&end.stdout, "cpu").iter().zip(["self", "server"]) {
        assert_eq!(cpu["of"], of);
        let spent = cpu["user_us"].as_u64().unwrap() + cpu["system_us"].as_u64().unwrap();
        assert!((1..=200_000 * 2).contains(&spent), "{cpu}");
    }
}

#[test]
fn nobody_there_is_refused_in_words() {
    let nobody = program::kernel::ReservedPort::new().address();
    let end = Program::run("fourtuple", &["load", "rr", &nobody.to_string(), "--connections", "3"]);
    let end = end.with_status(1);
    assert_eq!(program::field(end.lines("failures ")[0], "refused"), "3");
    assert!(end.stderr.contains("ECONNREFUSED") && end.stderr.contains("\nhint: nothing listens"), "{end:?}");
}

#[test]
fn bulk_verifies_every_byte_of_many_requests_under_way() {
    let listener = Listener::start(&["--quiet"]);
    let remote = listener.address.to_string();
    let options = ["--duration", "200ms", "--verify", "--connections", "2", "--format", "json"];
    let end = Program::run("fourtuple", &[&["load", "bulk", &remote], &options[..]].concat()).well();
    let result = &events(&end.stdout, "result")[0];
    assert!(result["bytes"].as_u64() > Some(1024 * 1024), "{result}");
    assert_eq!(result["bytes"], result["requests"].as_u64().unwrap() * 64 * 1024);
}

#[test]
fn connect_makes_a_connection_for_each_request() {
    let mut listener = Listener::start(&["--quiet"]);
    let remote = listener.address.to_string();
    let options = ["--duration", "200ms", "--connections", "5", "--threads", "2", "--format", "json"];
    let end = Program::run("fourtuple", &[&["load", "connect", &remote], &options[..]].concat()).well();
    let requests = events(&end.stdout, "result")[0]["requests"].as_u64().unwrap();
    let totals = listener.stop().well();
    let accepted: u64 = program::field(totals.lines("stopped ")[0], "accepted").parse().unwrap();
    assert!(requests > 10 && (requests..=requests + 5).contains(&accepted), "{requests} {accepted}");
}
