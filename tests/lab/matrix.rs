//! `fourtuple matrix`: what the kernel is known to do, measured; and that a measurement can be trusted.

#![cfg(target_os = "linux")]

use std::collections::HashMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::program::kernel::{has_ipv6, process_state};
use crate::program::namespace::{as_ordinary_user, isolated};
use crate::program::usage::{help, help_is_kept, refused, short_help};
use crate::program::{End, Program, path, processor_time, skip, until};
use fourtuple::kernel::inet_diag::sockets;
use fourtuple::kernel::port_range::PortRange;
use fourtuple::kernel::time_wait::TIME_WAIT;
use fourtuple::lab::matrix::{Cell, State, User, expected};
use fourtuple::net::TcpState;
use fourtuple::net::sharing_rule::{Claim, Newcomer, Sharing, Stage, conflict};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tempfile::NamedTempFile;

/// Runs `fourtuple matrix`; none where this machine gives out no namespaces, which is said.
#[track_caller]
fn matrix(arguments: &[&str]) -> Option<End> {
    of(Command::new(path("fourtuple")).arg("matrix").args(arguments))
}

#[track_caller]
fn of(command: &mut Command) -> Option<End> {
    let end = Program::spawn(command).end();
    let refused = end.status == Some(1) && end.stderr.contains("unshare CLONE_");
    if refused {
        skip(&end.stderr);
    }
    (!refused).then_some(end)
}

/// Every cell by its name, and what came of it.
fn measured(end: &End) -> HashMap<String, String> {
    let line = |line: &str| -> (String, String) {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        let word = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
        let keys = ["state", "first", "second", "pair", "user"];
        let outcome = [word("outcome"), word("errno")].join(" ");
        (keys.map(word).join(","), outcome.trim().to_owned())
    };
    end.stdout.lines().skip(1).map(line).collect()
}

#[track_caller]
fn full() -> Option<End> {
    Some(matrix(&["--full", "--format", "json"])?.well())
}

#[test]
fn the_kernel_does_what_it_is_known_to_do() {
    let Some(end) = full() else { return };
    let cells = measured(&end);
    assert_eq!(cells.len(), 7 * 4 * 4 * 15 * 2);
    let in_use = "bind EADDRINUSE";
    for (cell, outcome) in [
        ("BOUND,none,none,same", in_use),
        ("BOUND,RA,RA,same", "1st-listen EADDRINUSE"),
        ("BOUND,RA,RP,same", in_use),
        ("BOUND,RP,RP,same", "ok"),
        ("BOUND,RA,RA+RP,wildcards", "1st-listen EADDRINUSE"),
        ("LISTEN,RA,RA,same", in_use),
        ("LISTEN,RP,RP,same", "ok"),
        ("LISTEN,RA,RA,wildcard-specific", in_use),
        ("LISTEN,RA,RA,specific-wildcard", in_use),
        ("LISTEN,none,none,specifics", "ok"),
        ("LISTEN,none,none,dual-specific", in_use),
        ("LISTEN,none,none,wildcard-dual", in_use),
        ("LISTEN,none,none,v6only-wildcard", "ok"),
        ("LISTEN,none,none,specific-v6only", "ok"),
        ("LISTEN,none,none,mapped-specific", in_use),
        ("ESTABLISHED,RA,RA,same", "ok"),
        ("ESTABLISHED,none,RA,same", in_use),
        // The old socket needs the option too, TIME-WAIT and accepted ones included.
        ("TIME-WAIT,none,RA+RP,same", in_use),
        ("TIME-WAIT,RA,none,same", in_use),
        ("TIME-WAIT,RA,RA,same", "ok"),
        ("TIME-WAIT,RP,RP,same", "ok"),
        ("TIME-WAIT,RA,RP,same", in_use),
        ("ACCEPTED,none,RA,wildcards", in_use),
        ("ACCEPTED,RA,RA,wildcards", "ok"),
        ("FIN-WAIT-2,RA,RA,same", "ok"),
        ("CLOSE-WAIT,RP,RA,same", in_use),
    ] {
        assert_eq!(cells[&format!("{cell},same-user")], outcome, "{cell}");
    }
    for (cell, outcome) in [
        ("LISTEN,RP,RP,same", in_use),
        ("BOUND,RP,RP,same", in_use),
        ("BOUND,RA,RA,same", "1st-listen EADDRINUSE"),
        ("ESTABLISHED,RP,RP,same", in_use),
        ("TIME-WAIT,RP,RP,same", "ok"),
        ("LISTEN,RP,RP,specifics", "ok"),
    ] {
        let outcome = if geteuid().is_root() { outcome } else { "no-other-user" };
        assert_eq!(cells[&format!("{cell},other-user")], outcome, "{cell}");
    }
}

#[test]
fn every_cell_is_as_the_function_that_why_asks_has_it() {
    let Some(end) = full() else { return };
    let (mut measured_cells, cells) = (0, measured(&end));
    for (name, outcome) in cells.iter().filter(|(_, outcome)| !outcome.starts_with("no-")) {
        let cell: Cell = name.parse().unwrap();
        // What the function says of the second socket beside the first, without the way that `matrix` takes to it.
        let [place, asked] = cell.pair.places();
        let new = Newcomer {
            ip: asked.ip,
            device: None,
            reuse_address: cell.second.reuse_address(),
            reuse_port: cell.second.reuse_port(),
            v6_only: asked.v6_only == Some(true),
            uid: u32::from(cell.user == User::Other),
        };
        let stage = match cell.state {
            State::Listen => Stage::Listening,
            State::TimeWait => Stage::Waiting,
            _ => Stage::Open,
        };
        let (reuse_address, reuse_port) = (cell.first.reuse_address(), cell.first.reuse_port());
        let sharing = Sharing {
            reuse_address: Some(reuse_address),
            reuse_port: Some(reuse_port),
            v6_only: place.v6_only,
        };
        let found = conflict(&new, &Claim { ip: place.ip, device: None, sharing, uid: 0, stage });
        assert_eq!(found.is_some(), outcome == "bind EADDRINUSE", "{name}: {outcome}, {found:?}");
        assert_eq!(expected(cell).to_string().replace('/', " "), *outcome, "{name}");
        measured_cells += 1;
    }
    assert!([3360, 1680].contains(&measured_cells) || !has_ipv6(), "{measured_cells}");
}

#[test]
fn the_range_that_a_measurement_is_stamped_with_is_the_one_that_is_counted_with() {
    if !isolated() {
        return;
    }
    let Some(end) = matrix(&["--format", "json"]) else { return };
    let stamp: serde_json::Value = serde_json::from_str(end.well().stdout.lines().next().unwrap()).unwrap();
    let range = PortRange::now();
    let stamped = stamp["sysctls"]["net.ipv4.ip_local_port_range"].as_str().unwrap();
    assert_eq!(stamped.replace(' ', "-"), range.to_string());
    assert_eq!(range.ports().count(), 28_232);
}

#[test]
fn a_first_socket_in_time_wait_has_as_long_left_as_is_counted_with() {
    if !isolated() {
        return;
    }
    let Some((.., again)) = explained("TIME-WAIT,RA,RA,same") else { return };
    let steps = again.unwrap();
    let steps = steps.strip_prefix("perform '").and_then(|steps| steps.strip_suffix('\'')).unwrap();
    Program::run("fourtuple", &["perform", steps]).well();
    let rows = sockets().unwrap();
    let first = rows.iter().find(|row| row.state == TcpState::TimeWait).expect("it is there for a minute");
    let left = first.timer.unwrap().remaining;
    assert!(left <= TIME_WAIT && left > TIME_WAIT - Duration::from_secs(20), "{left:?}");
}

#[test]
fn two_runs_are_byte_for_byte_one() {
    let (Some(first), Some(second)) = (full(), full()) else { return };
    assert_eq!(first.stdout, second.stdout);
    let stamp: serde_json::Value = serde_json::from_str(first.stdout.lines().next().unwrap()).unwrap();
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!((&stamp["event"], &stamp["cells"]), (&"matrix".into(), &3360.into()));
    assert_eq!(stamp["kernel"], release.trim());
    assert_eq!(stamp["sysctls"]["net.ipv4.tcp_timestamps"], "1");
}

#[test]
fn the_table_takes_less_than_a_second_of_the_processor_and_all_of_it_less_than_six() {
    if matrix(&[]).is_none() {
        return;
    }
    for (arguments, limit) in [(&["matrix"][..], 1), (&["matrix", "--full"], 6)] {
        let (end, time) = processor_time(Command::new(path("fourtuple")).args(arguments));
        end.well();
        assert!(time < Duration::from_secs(limit), "{time:?}");
    }
}

#[test]
fn an_ordinary_user_measures_all_but_another_users_sockets() {
    let ordinary = || {
        let mut command = as_ordinary_user(path("fourtuple"));
        command.arg("matrix");
        command
    };
    let Some(whole) = full() else { return };
    let Some(end) = of(ordinary().args(["--full", "--format", "json"])) else { return };
    let (whole, cells) = (measured(&whole), measured(&end.well()));
    assert_eq!(cells.len(), whole.len());
    for (cell, outcome) in cells {
        match cell.ends_with("other-user") {
            true => assert_eq!(outcome, "no-other-user", "{cell}"),
            false => assert_eq!(outcome, whole[&cell], "{cell}"),
        }
    }
    let table = of(ordinary().arg("--full")).unwrap().well();
    assert!(table.stdout.contains("\n1680 more could not be measured: needs root (a second user)."));
    assert!(table.stdout.contains("LISTEN; same user;"), "{}", table.stdout);
    assert!(!table.stdout.contains("; other user"), "{}", table.stdout);
}

#[test]
fn the_table_holds_every_grid_once_in_80_columns() {
    let Some(end) = matrix(&[]) else { return };
    let end = end.well();
    let expected = "\
BOUND                     none   bind        bind        bind        bind
                          RA     bind        1st-listen  bind        1st-listen
                          RP     bind        bind        ok          ok
                          RA+RP  bind        1st-listen  ok          ok

LISTEN                    none   bind        bind        bind        bind
                          RA     bind        bind        bind        bind
                          RP     bind        bind        ok          ok
                          RA+RP  bind        bind        ok          ok

ESTABLISHED, TIME-WAIT    none   bind        bind        bind        bind
                          RA     bind        ok          bind        ok
                          RP     bind        bind        ok          ok
                          RA+RP  bind        ok          ok          ok

overlapping addresses: same, wildcard-specific, specific-wildcard, wildcards
";
    assert!(end.stdout.contains(expected), "{}", end.stdout);
    let full = matrix(&["--full"]).unwrap().well();
    for text in [&end.stdout, &full.stdout] {
        let wide: Vec<&str> = text.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(wide.is_empty(), "{wide:#?}");
        assert!(text.contains(" cells measured, all follow it.\n"), "{text}");
    }
    assert!(full.stdout.contains("\naddresses apart           RA     ok "), "{}", full.stdout);
}

#[test]
fn a_line_a_cell_says_the_same() {
    let Some(end) = matrix(&["--cells"]) else { return };
    let end = end.well();
    assert!(end.stdout.starts_with("matrix kernel="), "{}", end.stdout);
    assert_eq!(end.lines("cell ").len(), 256);
    let line = "cell state=LISTEN first=RA second=RP pair=same user=same-user outcome=bind errno=EADDRINUSE";
    assert_eq!(end.lines("cell state=LISTEN first=RA second=RP pair=same "), [line]);
    assert_eq!(
        end.lines("cell state=LISTEN first=RP second=RP pair=same ").concat().split(' ').next_back(),
        Some("errno=-")
    );
}

/// A file with this text.
fn file_of(text: &str) -> (NamedTempFile, String) {
    let file = NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    (file, path)
}

#[test]
fn a_diff_names_the_cells_that_differ() {
    let Some(whole) = full() else { return };
    let (_file, same) = file_of(&whole.stdout);
    let end = matrix(&["--diff", &same]).unwrap().well();
    assert!(end.stdout.starts_with("compared cells=3360 differing=0 not-measured="), "{}", end.stdout);

    let altered: Vec<String> = whole
        .stdout
        .lines()
        .map(|line| {
            match line.contains(r#""TIME-WAIT","first":"RA","second":"RA","pair":"same","user":"same-user""#)
            {
                true => line.replace(r#""ok","errno":null"#, r#""bind","errno":"EADDRINUSE""#),
                false => {
                    line.replacen(r#""net.ipv4.tcp_timestamps":"1""#, r#""net.ipv4.tcp_timestamps":"0""#, 1)
                }
            }
        })
        .collect();
    let (_file, altered) = file_of(&altered.join("\n"));
    let end = matrix(&["--diff", &altered]).unwrap().with_status(1);
    assert_eq!(end.lines("differs "), ["differs cell=TIME-WAIT,RA,RA,same file=bind/EADDRINUSE now=ok"]);
    assert_eq!(
        end.lines("sysctl-differs "),
        [r#"sysctl-differs key="net.ipv4.tcp_timestamps" file="1" now="0""#
            .replace(r#"file="1" now="0""#, r#"file="0" now="1""#)]
    );
    assert_eq!(end.stderr, "");
}

#[test]
fn a_setting_of_the_network_that_is_measured_in_can_be_set() {
    let sysctl = ["--sysctl", "net.ipv4.tcp_timestamps=0", "--format", "json"];
    let Some(end) = matrix(&sysctl) else { return };
    assert!(end.well().stdout.lines().next().unwrap().contains(r#""net.ipv4.tcp_timestamps":"0""#));
    let end = matrix(&["--sysctl", "net.ipv4.no_such_thing=1"]).unwrap().with_status(1);
    assert!(end.stderr.contains("this kernel has no such setting"), "{}", end.stderr);
}

#[test]
fn without_ipv6_its_cells_are_not_measured() {
    let without = ["--full", "--sysctl", "net.ipv6.conf.all.disable_ipv6=1"];
    let Some(end) = matrix(&without) else { return };
    // A kernel without IPv6 has no such setting, and all is said already.
    if end.stderr.contains("no such setting") {
        return;
    }
    assert!(end.well().stdout.contains(" more could not be measured: there is no IPv6 here.\n"));
    let end = matrix(&[&without[..], &["--format", "json"]].concat()).unwrap().well();
    for (cell, outcome) in measured(&end) {
        let ipv6 = ["dual", "v6only", "mapped"].iter().any(|word| cell.contains(word));
        assert_eq!(outcome == "no-ipv6", ipv6, "{cell}");
    }
}

/// The last call that `explain` shows, its outcome, and the command that makes the calls again.
#[track_caller]
fn explained(cell: &str) -> Option<(String, String, Option<String>)> {
    let end = matrix(&["--explain", cell])?.well();
    let calls: Vec<&str> =
        end.stdout.lines().filter(|line| line.starts_with("  ") && line.contains(": ")).collect();
    let (call, outcome) = calls.last().unwrap_or_else(|| panic!("{}", end.stdout)).rsplit_once("  ").unwrap();
    let again =
        end.stdout.lines().next_back().and_then(|line| {
            line.trim_start_matches("sudo ").strip_prefix("fourtuple isolate -- fourtuple ")
        });
    Some((call.trim().to_owned(), outcome.to_owned(), again.map(str::to_owned)))
}

#[test]
fn an_explanations_calls_made_again_return_the_same() {
    for (cell, call, outcome) in [
        ("BOUND,RA,RA,same", "first: listen 1", "EADDRINUSE"),
        ("LISTEN,RP,RP,wildcards", "second: listen 1", "ok"),
        ("ESTABLISHED,none,RA,same", "second: bind 127.0.0.1:3000", "EADDRINUSE"),
        ("ACCEPTED,RA,RA,dual-specific", "second: listen 1", "ok"),
        ("FIN-WAIT-2,RP,RA,mapped-specific", "second: bind 127.0.0.1:3000", "EADDRINUSE"),
        ("CLOSE-WAIT,none,none,v6only-wildcard", "second: listen 1", "ok"),
        ("TIME-WAIT,none,RA,specific-wildcard", "second: bind 0.0.0.0:3000", "EADDRINUSE"),
        ("LISTEN,RP,RP,same,other-user", "second: bind 127.0.0.1:3000", "EADDRINUSE"),
        ("TIME-WAIT,RP,RP,same,other-user", "second: listen 1", "ok"),
    ] {
        if cell.ends_with("other-user") && !geteuid().is_root() {
            eprintln!("skipped {cell}: needs root (a second user)");
            continue;
        }
        let Some(explained) = explained(cell) else { return };
        let (last, what, again) = explained;
        assert_eq!((last.as_str(), what.as_str()), (call, outcome), "{cell}");
        let steps = again.unwrap();
        let steps = steps.strip_prefix("perform '").and_then(|steps| steps.strip_suffix('\'')).unwrap();
        let fourtuple = path("fourtuple");
        let end = Program::run("fourtuple", &["isolate", "--", fourtuple, "perform", steps]).well();
        let result = if outcome == "ok" { "0".to_owned() } else { format!("-1 {outcome}") };
        let lines: Vec<&str> = end.stdout.lines().collect();
        assert_eq!(*lines.last().unwrap(), format!("{call} = {result}"), "{cell}");
        // Nothing but that last call failed.
        assert!(!lines[..lines.len() - 1].iter().any(|line| line.contains("= -1")), "{cell}: {}", end.stdout);
    }
}

#[test]
fn an_explanation_says_which_part_of_the_rule_does_not_hold() {
    for (cell, words) in [
        ("LISTEN,RA,RA,same", &["      no, the first one listens\n", "      no, neither has it\n"][..]),
        ("TIME-WAIT,none,RA,same", &["      no, the first one lacks it\n", "first: TIME-WAIT."]),
        (
            "ESTABLISHED,RP,RP,same",
            &["      no, neither has it\n", "      yes\n", "\nBoth may have the port: no call fails.\n"],
        ),
        ("BOUND,RA,RA,same", &["      yes for bind; no for the last listen"]),
        // A state is waited for, never taken for granted.
        ("ESTABLISHED,RA,RA,same", &["  first: wait ESTABLISHED  "]),
        ("ACCEPTED,RA,RA,same", &["  child: wait ESTABLISHED  "]),
        ("FIN-WAIT-2,RA,RA,same", &["  first: wait FIN-WAIT-2  "]),
        ("CLOSE-WAIT,RA,RA,same", &["  first: wait CLOSE-WAIT  "]),
        ("TIME-WAIT,RA,RA,same", &["  first: wait TIME-WAIT  "]),
        ("ACCEPTED,RA+RP,RA+RP,v6only-specific,other-user", &["same port of 127.0.0.1."]),
        ("LISTEN,none,none,specifics", &["they differ, and neither is the wildcard."]),
        ("LISTEN,none,none,v6only-specific", &["IPV6_V6ONLY leaves IPv4 to others."]),
        ("LISTEN,RP,RP,same,other-user", &["      no, they belong to different users\n", "another user's"]),
        ("TIME-WAIT,RP,RP,same,other-user", &["in TIME-WAIT the user does not matter\n"]),
    ] {
        let Some(end) = matrix(&["--explain", cell]) else { return };
        let end = end.well();
        for words in words {
            assert!(end.stdout.contains(words), "{cell}: {}", end.stdout);
        }
        let wide = |line: &&str| line.chars().count() > 80 && !line.contains("fourtuple perform");
        assert_eq!(end.stdout.lines().find(wide), None, "{cell}");
    }
    let end = matrix(&["--explain", "LISTEN,RA,RA,same", "--format", "json"]).unwrap().well();
    let object: serde_json::Value = serde_json::from_str(&end.stdout).unwrap();
    assert_eq!(object["cell"]["state"], "LISTEN");
    assert_eq!((&object["outcome"], &object["rule"]), (&object["rule"], &object["outcome"]));
    assert_eq!(object["calls"].as_array().unwrap().last().unwrap()["errno"], "EADDRINUSE");
}

#[test]
fn wrong_usage_names_what_is_wrong_and_what_is_right() {
    for (arguments, said) in [
        (&["--explain", "LISTEN"][..], "such as LISTEN,RA,RP,same"),
        (
            &["--explain", "LISTENS,RA,RA,same"],
            "`LISTENS` is not a state of the first socket; one of BOUND, ",
        ),
        (&["--explain", "LISTEN,RA,RA,\u{1b}[2J"], r"`\x1b[2J` is not a pair of addresses"),
        (&["--explain", "LISTEN,RA,RA,same", "--full"], "--full"),
        (&["--sysctl", "net.ipv4"], "KEY=VALUE"),
        (&["--diff", "a", "--full"], "--full"),
        (&["more"], "'more'"),
    ] {
        refused("fourtuple", &[&["matrix"], arguments].concat(), said);
    }
}

#[test]
fn what_holds_no_matrix_is_told_with_its_line() {
    let stamp = r#"{"schema":1,"event":"matrix","kernel":"6.1","sysctls":{},"cells":1}"#;
    let cell = r#"{"schema":1,"event":"cell","state":"\u001b[2J"}"#;
    let (_file, text) = file_of(&[stamp, cell].join("\n"));
    for (path, said) in [
        ("/nonexistent", "fourtuple: open /nonexistent: ENOENT ("),
        ("/", "fourtuple: read /: EISDIR ("),
        ("/dev/zero", "fourtuple: read /dev/zero: line 1: "),
        (&text, r": line 2: unknown variant `\x1b[2J`, expected one of `BOUND`, `LISTEN`"),
    ] {
        let end = Program::run("fourtuple", &["matrix", "--diff", path]).with_status(2);
        assert!(end.stderr.contains(said), "{}", end.stderr);
        assert!(
            end.stderr.contains("\nhint: a file that `fourtuple matrix --format json` wrote"),
            "{}",
            end.stderr
        );
        assert!(!end.stderr.contains('\u{1b}') && end.stdout.is_empty(), "{end:?}");
    }
}

#[test]
fn a_namespace_that_may_not_be_made_is_one_error_with_a_next_step() {
    // The limit is that of a user namespace, so never touch the one the tests run in.
    let script = r#"read -r _ _ users < /proc/self/uid_map; test "$users" = 1 && test -x "$0" || exit 99
        echo 0 > /proc/sys/user/max_net_namespaces; exec "$0" matrix"#;
    let program = path("fourtuple");
    let mut command = as_ordinary_user(program);
    let end = Program::spawn(command.args(["isolate", "--", "bash", "-c", script, program])).end();
    if [Some(99), Some(125)].contains(&end.status) {
        return skip("no user namespace of its own here, or the program is in a folder closed to others");
    }
    let end = end.with_status(1);
    let said = "fourtuple: unshare CLONE_NEWNET: ENOSPC (No space left on device)\n\
                user.max_net_namespaces allows no further one\n\
                hint: sudo sysctl user.max_net_namespaces=10000\n";
    assert_eq!(end.stderr, said);
}

#[test]
fn what_answers_does_not_outlive_the_program_that_asked_even_stopped() {
    if matrix(&[]).is_none() {
        return;
    }
    let fourtuple = path("fourtuple");
    for mut command in [Command::new(fourtuple), as_ordinary_user(fourtuple)] {
        does_not_outlive(&mut command);
    }
}

#[track_caller]
fn does_not_outlive(command: &mut Command) {
    command.args(["matrix", "--full"]);
    // It takes a tenth of a second, so now and then it has ended before it is found.
    let mut stopped = || {
        let mut program = Program::spawn(command);
        let answering = until("a process that answers, or the end", || {
            child_in_another_network(program.pid()).map(Some).or(program.has_ended().then_some(None))
        })?;
        kill(answering, Signal::SIGSTOP).ok()?;
        let is_stopped = until("it is stopped, or gone", || match process_state(answering) {
            Some('T') => Some(true),
            None | Some('Z') => Some(false),
            _ => None,
        });
        is_stopped.then_some((program, answering))
    };
    let (program, answering) = (0..50).find_map(|_| stopped()).expect("one in 50 is found in time");
    drop(program);
    until("it is gone", || matches!(process_state(answering), None | Some('Z')).then_some(()));
}

/// A child of this process that has entered a network of its own.
fn child_in_another_network(parent: u32) -> Option<Pid> {
    let network = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    let own = network("self");
    let entered = |pid: &&str| network(pid).is_some_and(|network| Some(network) != own);
    children.split_whitespace().find(entered)?.parse().ok().map(Pid::from_raw)
}

#[test]
fn help_is_as_it_was_read() {
    let long = help("fourtuple", &["matrix", "--help"]);
    assert!(long.lines().all(|line| line.chars().count() <= 80), "{long}");
    short_help("fourtuple", &["matrix"]);
    help_is_kept("fourtuple", &["matrix", "-h"]);
    help_is_kept("fourtuple", &["matrix", "--help"]);
}
