//! Help, wrong usage, and what is not to be had.

use std::fs::File;
use std::process::{Command, Stdio};

use super::agrees::at;
use super::scene::{self, Options, State};
use crate::program::namespace::isolated;
use crate::program::{Program, path, usage};

#[test]
fn help() {
    usage::short_help("fourtuple", &["why"]);
    usage::help_is_kept("fourtuple", &["why", "-h"]);
    usage::help_is_kept("fourtuple", &["why", "--help"]);
}

#[test]
fn wrong_usage_names_the_argument_and_what_it_lacks() {
    for (arguments, words) in [
        (&["70000"][..], "'70000' for '<LOCAL>': not a port, a number from 0 to 65535"),
        (&["127.0.0.1"], "it lacks the port, as in 127.0.0.1:3000"),
        (&["listen", "::1"], "it lacks the port, as in [::1]:3000"),
        (&["bind", "localhost:3000"], "a host name is not taken"),
        (&["bind"], "<LOCAL>"),
        (&["connect"], "<REMOTE>"),
        (&["connect", "127.0.0.1:0"], "not a port, a number from 1 to 65535"),
        (&["connect", "3001", "3000"], "'3000' for '<REMOTE>'"),
        (&["connect", "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"], "'127.0.0.1:3'"),
        (&["connect", "127.0.0.1:1", "[::1]:2"], "127.0.0.1:1 is IPv4 and [::1]:2 is IPv6"),
        (&["3000", "--reuse-address", "yes"], "'yes' for '--reuse-address"),
        (&["3000", "--v6-only"], "--v6-only"),
        (&["3000", "--format", "xml"], "'xml' for '--format"),
        (&["--reuse-port", "on"], "<LOCAL>"),
    ] {
        usage::refused("fourtuple", &[&["why"], arguments].concat(), words);
    }
}

#[test]
fn an_argument_shows_a_terminal_no_sequence() {
    for hostile in ["\x1b[35m:3000", "1.2.3.4\n:5", "[::1%\u{202e}x]:1"] {
        let end = Program::run("fourtuple", &["why", hostile]).with_status(2);
        assert!(!end.stderr.contains(hostile) && !end.stderr.contains('\x1b'), "{:?}", end.stderr);
    }
}

#[test]
fn output_that_cannot_be_written_is_told() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(path("fourtuple"));
    let end =
        Program::spawn_unheard(command.args(["why", "bind", "127.0.0.1:0"]).stdout(Stdio::from(full))).end();
    let end = end.with_status(1);
    assert!(end.stderr.starts_with("fourtuple: write standard output: ENOSPC"), "{}", end.stderr);
}

/// Where no namespace may be made the answer stands, and says that nothing was tried out.
#[test]
fn without_namespaces_nothing_is_tried_out_and_that_is_told() {
    if !isolated() {
        return;
    }
    let _scene = scene::set(State::Listen, at("127.0.0.1", 3000), Options::NONE);
    let script = "echo 0 >/proc/sys/user/max_net_namespaces && exec \"$0\" why 127.0.0.1:3000";
    // A user namespace of its own, so that the limit is one of this command alone.
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "sh", "-c", script, path("fourtuple")]);
    let end = Program::spawn(&mut command).end();
    if end.stdout.is_empty() {
        return crate::program::skip(&end.stderr);
    }
    assert_eq!(end.status, Some(1));
    assert!(
        end.stdout.contains("2. another port: 3001 [not tried: unshare CLONE_NEWNET: ENOSPC"),
        "{}",
        end.stdout
    );
}
