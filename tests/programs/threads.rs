//! A thread that does not start is said in a line, and those that have started end.

use std::process::Command;

use crate::program::{End, Listener, Program, path};

/// Runs a program whose threads have 256 MiB of stack each, in memory for three of them.
fn with_three_threads(program: &str, arguments: &[&str]) -> End {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v 1000000 && exec \"$0\" \"$@\"", path(program)]);
    command.args(arguments).env("RUST_MIN_STACK", "268435456");
    Program::spawn(&mut command).end()
}

#[test]
fn a_worker_that_does_not_start_ends_the_listener() {
    let end = with_three_threads("listener", &["0", "127.0.0.1", "--workers", "9"]).with_status(1);
    assert!(end.stderr.starts_with("listener: clone for a worker: EAGAIN"), "{}", end.stderr);
}

#[test]
fn a_thread_of_a_load_that_does_not_start_ends_it() {
    let listener = Listener::start(&["--quiet"]);
    let remote = listener.address.to_string();
    let end = with_three_threads("fourtuple", &["load", "rr", &remote, "--threads", "9"]).with_status(1);
    assert!(end.stderr.starts_with("fourtuple: clone for a thread: EAGAIN"), "{}", end.stderr);
    assert!(end.stderr.contains("hint: fewer --threads"), "{}", end.stderr);
}
