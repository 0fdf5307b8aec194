//! Help, and what is answered to wrong usage and to a socket that cannot be opened.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::program::kernel::ReservedPort;
use crate::program::usage::{help, help_is_kept, refused, short_help};
use crate::program::{End, Listener, Program, field, path, redirected};

macro_rules! help_of {
    ($($program:literal as $claim:ident,)*) => {$(
        #[test]
        fn $claim() {
            help_is_kept($program, &["-h"]);
            help_is_kept($program, &["--help"]);
        }
    )*};
}

help_of! {
    "listener" as listener_help,
    "connector" as connector_help,
    "talk" as talk_help,
    "relay" as relay_help,
}

#[test]
fn short_help_fits_40_lines_of_80_columns_and_ends_with_two_to_four_examples() {
    for program in ["listener", "connector", "talk", "relay"] {
        let help = short_help(program, &[]);
        let (_, examples) = help.split_once("\nExamples:\n").unwrap();
        let examples = examples.lines().filter(|line| line.starts_with(&format!("  {program}"))).count();
        assert!((2..=4).contains(&examples), "{program} -h has {examples} examples");
    }
}

#[test]
fn examples_of_the_bench_are_a_line_each_and_fit_80_columns() {
    let bench = short_help("fourtuple", &[]);
    let (_, listed) = bench.split_once("\nCommands:\n").unwrap();
    // Deeper lines go on with what a subcommand is for.
    let names = listed.lines().take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    let words = names.map(|line| line.split_whitespace().next().unwrap());
    let subcommands: Vec<&str> = words.filter(|word| *word != "help").collect();
    assert!(subcommands.contains(&"why"), "{bench}");
    for subcommand in [&[""], &subcommands[..]].concat() {
        for flag in ["-h", "--help"] {
            let examples = |columns| {
                let mut command = Command::new(path("fourtuple"));
                command
                    .args((!subcommand.is_empty()).then_some(subcommand))
                    .arg(flag)
                    .env("COLUMNS", columns);
                let help = Program::spawn(&mut command).end().well().stdout;
                help.rsplit_once("Examples:\n").expect(&help).1.to_owned()
            };
            assert_eq!(examples("80"), examples("300"), "{subcommand} {flag}");
        }
    }
}

#[test]
fn long_help_says_each_option_of_the_specification() {
    let both = ["--reuse-address", "--reuse-port", "--send-timeout", "--v6-only"];
    let both =
        [&both[..], &["--receive-buffer", "--send-buffer", "--nodelay", "--linger", "--keepalive"]].concat();
    let both =
        [&both[..], &["--user-timeout", "--mss", "--drain", "--format", "--quiet", "--verbose"]].concat();
    let listener = [
        "--receive-timeout",
        "--backlog",
        "--max-connections",
        "--workers",
        "--model",
        "--reply",
        "--reply-prefix",
    ];
    let connector = ["--receive-timeout", "--interval", "--count", "--connect-timeout"];
    let connector = [&connector[..], &["--bind-address-no-port", "--local-port-range"]].concat();
    let relay = ["--turns", "--max-line", "--backlog", "--max-connections"];
    for (program, own) in [("listener", &listener[..]), ("connector", &connector), ("relay", &relay)] {
        let help = help(program, &["--help"]);
        for option in both.iter().chain(own) {
            let described = help
                .lines()
                .any(|line| line.trim_start().starts_with(option) || line.contains(&format!(", {option}")));
            assert!(described, "{program} --help has no {option}");
        }
    }
}

#[test]
fn wrong_usage_of_listener_names_the_argument() {
    for (arguments, argument) in [
        (&["70000"][..], "'70000' for '[PORT]'"),
        (&["-1"], "'-1'"),
        (&["port"], "'port' for '[PORT]'"),
        (&["0", "1.2.3"], "'1.2.3' for '[IP]'"),
        (&["0", "256.1.1.1"], "'256.1.1.1' for '[IP]'"),
        (&["0", "localhost"], "'localhost' for '[IP]'"),
        (&["0", "127.0.0.1", "more"], "'more'"),
        (&["0", "--receive-timeout", "5"], "'5' for '--receive-timeout"),
        (&["0", "--send-timeout", "0s"], "'0s' for '--send-timeout"),
        (&["0", "--drain", "soon"], "'soon' for '--drain"),
        (&["0", "--receive-buffer", "64"], "'64' for '--receive-buffer"),
        (&["0", "--linger", "500ms"], "'500ms' for '--linger"),
        (&["0", "--max-connections", "0"], "'0' for '--max-connections"),
        (&["0", "--backlog", "-1"], "'-1'"),
        (&["0", "--reuse-port", "yes"], "'yes' for '--reuse-port"),
        (&["0", "--format", "xml"], "'xml' for '--format"),
        (&["0", "--quiet", "--verbose"], "--verbose"),
        (&["0", "--reuse-adress", "on"], "--reuse-address"),
        (&["0", "--reply", "ack", "--reply-prefix", "> "], "--reply-prefix goes with --reply echo"),
        (&["0", "--reply-prefix", &"x".repeat(1025)], "1024 is the most"),
        (&["0", "--model", "poll"], "'poll' for '--model"),
        (&["0", "--model", "thread", "--workers", "2"], "--workers goes with --model event-loop"),
        (&["0", "--model", "sequential", "--max-connections", "2"], "--max-connections does not go with"),
        (&["0", "--workers", "2", "--reuse-port", "off"], "--workers beyond 1 needs --reuse-port on"),
    ] {
        refused("listener", arguments, argument);
    }
}

#[test]
fn wrong_usage_of_connector_names_the_argument() {
    let with = |rest: &[&'static str]| [&["127.0.0.1", "0", "127.0.0.1", "3000"], rest].concat();
    for (arguments, argument) in [
        (vec!["127.0.0.1"], "<LOCAL_PORT>"),
        (vec!["localhost", "0", "127.0.0.1", "3000"], "'localhost' for '<LOCAL_IP>'"),
        (vec!["1.2.3", "0", "127.0.0.1", "3000"], "'1.2.3' for '<LOCAL_IP>'"),
        (vec!["127.0.0.1", "70000", "127.0.0.1", "3000"], "'70000' for '<LOCAL_PORT>'"),
        (vec!["127.0.0.1", "0", "127.0.0.1", "70000"], "'70000' for '<REMOTE_PORT>'"),
        (vec!["127.0.0.1", "0", "127.0.0.1", "0"], "'0' for '<REMOTE_PORT>'"),
        (with(&[""]), "[MESSAGE]"),
        (with(&["--interval", "5"]), "'5' for '--interval"),
        (with(&["--interval", "0s"]), "'0s' for '--interval"),
        (with(&["--count", "0"]), "'0' for '--count"),
        (with(&["--connect-timeout", "ten"]), "'ten' for '--connect-timeout"),
        (with(&["--local-port-range", "9-1"]), "'9-1' for '--local-port-range"),
        (with(&["--nonsense"]), "--nonsense"),
    ] {
        refused("connector", &arguments, argument);
    }
}

#[test]
fn wrong_usage_of_relay_names_the_argument() {
    for (arguments, argument) in [
        (&["70000"][..], "'70000' for '[PORT]'"),
        (&["0", "localhost"], "'localhost' for '[IP]'"),
        (&["0", "--turns", "maybe"], "'maybe' for '--turns"),
        (&["0", "--max-line", "64"], "'64' for '--max-line"),
        (&["0", "--max-line", "0B"], "'0B' for '--max-line"),
        (&["0", "--max-connections", "0"], "'0' for '--max-connections"),
        (&["0", "--drain", "5"], "'5' for '--drain"),
    ] {
        refused("relay", arguments, argument);
    }
}

#[test]
fn a_duration_without_a_unit_is_told_what_a_unit_is() {
    for option in
        ["--receive-timeout", "--send-timeout", "--drain", "--linger", "--keepalive", "--user-timeout"]
    {
        let end = Program::run("listener", &["0", option, "5"]).with_status(2);
        assert!(end.stderr.contains("5s"), "{}", end.stderr);
    }
}

/// Fails unless the kernel's no is told with call, address, errno and a next step.
#[track_caller]
fn refused_by_the_kernel(end: End, beginning: &str) -> End {
    let end = end.with_status(1);
    assert!(end.stderr.starts_with(beginning), "not {beginning:?}: {end:#?}");
    assert!(end.stderr.contains("\nhint: "), "no next step: {end:#?}");
    end
}

#[test]
fn a_foreign_address_cannot_be_bound() {
    // 192.0.2.0/24 is for documentation and nobody's (RFC 5737).
    let end = Program::run("listener", &["0", "192.0.2.1"]);
    let end = refused_by_the_kernel(end, "listener: bind 192.0.2.1:0: EADDRNOTAVAIL (");
    assert_eq!(end.stdout, "");
    let end = Program::run("connector", &["192.0.2.1", "0", "127.0.0.1", "3000"]);
    refused_by_the_kernel(end, "connector: bind 192.0.2.1:0: EADDRNOTAVAIL (");
}

/// A command without the privilege to bind low ports, or why there is none here.
fn unprivileged(program: &str) -> Result<Command, &'static str> {
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    if first.trim() == "0" {
        return Err("no port is privileged here");
    }
    if !nix::unistd::geteuid().is_root() {
        return Ok(Command::new(path(program)));
    }
    let drop = ["--bounding-set", "-net_bind_service", "--inh-caps", "-net_bind_service"];
    let works = Command::new("setpriv").args(drop).arg("true").status();
    if !works.is_ok_and(|status| status.success()) {
        return Err("root, and setpriv(1) is not there to drop CAP_NET_BIND_SERVICE");
    }
    let mut command = Command::new("setpriv");
    command.args(drop).arg(path(program));
    Ok(command)
}

#[test]
fn a_privileged_port_is_refused_without_the_capability() {
    for (program, arguments) in
        [("listener", &["1", "127.0.0.1"][..]), ("connector", &["127.0.0.1", "1", "127.0.0.1", "3000"])]
    {
        match unprivileged(program) {
            Ok(mut command) => {
                let end = Program::spawn(command.args(arguments)).end();
                refused_by_the_kernel(end, &format!("{program}: bind 127.0.0.1:1: EACCES ("));
            }
            Err(reason) => crate::program::skip(reason),
        }
    }
}

#[test]
fn a_refused_connection_names_the_four_tuple() {
    let reserved = ReservedPort::new();
    let port = reserved.address().port().to_string();
    let end = Program::run("connector", &["127.0.0.1", "0", "127.0.0.1", &port]);
    let end = refused_by_the_kernel(end, "connector: connect 127.0.0.1:");
    let clause = format!(" -> 127.0.0.1:{port}: ECONNREFUSED (Connection refused)\n");
    assert!(end.stderr.contains(&clause), "{end:#?}");
}

#[test]
fn an_unreachable_family_is_refused_with_a_next_step() {
    let end = Program::run("connector", &["127.0.0.1", "0", "::1", "3000"]).with_status(1);
    assert!(end.stderr.contains("::1") && end.stderr.contains("\nhint: "), "{end:#?}");
}

#[test]
fn a_busy_port_names_its_holder() {
    let holder = Listener::start(&["--reuse-port", "off"]);
    let port = holder.address.port().to_string();
    for reuse in ["on", "off"] {
        let end =
            Program::run("listener", &[&port, "127.0.0.1", "--reuse-port", "off", "--reuse-address", reuse]);
        let end = refused_by_the_kernel(end, &format!("listener: bind {}: EADDRINUSE (", holder.address));
        for part in ["LISTEN", &holder.address.to_string(), &holder.pid().to_string(), "listener"] {
            assert!(end.stderr.lines().nth(1).unwrap().contains(part), "no {part}: {end:#?}");
        }
    }
}

#[test]
fn a_busy_port_of_a_relay_names_its_holder() {
    let holder = Listener::relay(&[]);
    let end = Program::run("relay", &[&holder.address.port().to_string()]);
    let end = refused_by_the_kernel(end, &format!("relay: bind {}: EADDRINUSE (", holder.address));
    let named = end.stderr.lines().nth(1).unwrap();
    assert!(named.contains(&format!("pid={} (relay)", holder.pid())), "{end:#?}");
}

#[test]
fn a_port_shared_with_another_listener_is_told() {
    let first = Listener::start(&[]);
    let second = Listener::at("127.0.0.1", first.address.port(), &[]);
    assert_eq!(second.line("shared "), format!("shared with={}", first.pid()));
    assert!(!first.said().contains("shared "));
}

#[test]
fn a_file_of_events_holds_every_event_with_its_time_and_the_failure_that_ended_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    let reserved = ReservedPort::new();
    let port = reserved.address().port().to_string();
    let options = ["127.0.0.1", "0", "127.0.0.1", &port, "--quiet", "--events", path.to_str().unwrap()];
    Program::run("connector", &options).with_status(1);
    let events = std::fs::read_to_string(&path).unwrap();
    let events: Vec<serde_json::Value> =
        events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events[0]["event"], "bound");
    assert_eq!(events[1]["event"], "failed");
    assert_eq!((&events[1]["call"], &events[1]["errno"]), (&"connect".into(), &"ECONNREFUSED".into()));
    assert!(events.iter().all(|event| event["time_us"].is_u64()), "{events:#?}");
}

/// What a terminal obeys, reorders or hides: C0, C1, CSI, OSC 8 and 52, bidirectional overrides, line ends, and a line
/// that looks like one of ours; then bytes that are no UTF-8.
const HOSTILE: [&[u8]; 2] = [
    "x\x07\x1b[35m\u{9b}35m\x1b]8;;http://a/\x1b\\\x1b]52;c;eA==\x07\u{202e}\u{2066}\r\nlistening local=forged".as_bytes(),
    b"x\xff\x1b[35m\xc2\nlistening local=forged",
];

/// Fails if a control character but newline, an override, or the forged line is in what a program said.
#[track_caller]
fn assert_harmless(end: &End) {
    for text in [&end.stdout, &end.stderr] {
        let raw = |character: char| {
            (character.is_control() && character != '\n')
                || matches!(character, '\u{202e}' | '\u{2066}' | '\u{fffd}')
        };
        assert_eq!(text.find(raw), None, "{text:?}");
        assert!(!text.lines().any(|line| line.starts_with("listening local=forged")), "{text}");
        assert!(!text.contains("panicked"), "{text}");
    }
}

/// Runs a program with `HOSTILE` in the place of each `@`.
fn run_hostile(program: &str, arguments: &[&str], hostile: &[u8]) -> End {
    let mut command = Command::new(path(program));
    for argument in arguments {
        let words: Vec<&[u8]> = argument.as_bytes().split(|&byte| byte == b'@').collect();
        command.arg(OsStr::from_bytes(&words.join(hostile)));
    }
    Program::spawn(&mut command).end()
}

#[test]
fn hostile_arguments_are_repeated_escaped() {
    for hostile in HOSTILE {
        for (program, arguments, status) in [
            ("listener", &["@"][..], 2),
            ("listener", &["0", "@"], 2),
            ("listener", &["0", "127.0.0.1", "@"], 2),
            ("listener", &["--@"], 2),
            ("listener", &["-@"], 2),
            ("listener", &["0", "--receive-timeout", "@"], 2),
            ("listener", &["0", "--receive-timeout", "5@"], 2),
            ("listener", &["0", "--format", "@"], 2),
            ("listener", &["0", "--format=@"], 2),
            ("connector", &["@", "0", "127.0.0.1", "1"], 2),
            ("connector", &["127.0.0.1", "0", "127.0.0.1", "@"], 2),
            ("connector", &["127.0.0.1", "0", "127.0.0.1", "1", "m", "--local-port-range", "@"], 2),
            ("relay", &["0", "--turns", "@"], 2),
            ("fourtuple", &["@"], 2),
            ("fourtuple", &["sockets", "--state", "@"], 2),
            ("fourtuple", &["sockets", "--local", "@"], 2),
            ("fourtuple", &["isolate", "--sysctl", "@"], 2),
            ("fourtuple", &["isolate", "--@", "--", "true"], 2),
        ] {
            let end = run_hostile(program, arguments, hostile);
            assert_harmless(&end);
            assert_eq!(end.status, Some(status), "{arguments:?}: {end:#?}");
        }
    }
}

#[test]
fn a_terminal_is_shown_no_sequence_of_an_argument() {
    let mut command = Command::new(path("listener"));
    // Colours as on a terminal: clap's own, and what an argument brings along.
    let command = command.arg(OsStr::from_bytes(b"\x1b[35mx")).env("CLICOLOR_FORCE", "1");
    let end = Program::spawn(command).end().with_status(2);
    assert!(end.stderr.contains(r"\x1b[35mx") && !end.stderr.contains("\x1b[35m"), "{:?}", end.stderr);
}

#[test]
fn hostile_words_in_errors_are_escaped() {
    let hostile = HOSTILE[0];
    let end = run_hostile("connector", &["127.0.0.1", "0", "@", "3000"], hostile);
    assert_harmless(&end);
    let end = end.with_status(1);
    assert!(end.stderr.starts_with(r"connector: getaddrinfo x\x07\x1b[35m\u{9b}"), "{end:#?}");
    for arguments in [
        &["isolate", "--sysctl", "@=1", "--", "true"][..],
        &["isolate", "--sysctl", "net.@=1", "--", "true"],
        &["isolate", "--sysctl", "net.ipv4.tcp_syn_retries=@", "--", "true"],
        &["isolate", "--", "@"],
    ] {
        let end = run_hostile("fourtuple", arguments, hostile);
        assert_harmless(&end);
        assert!([Some(125), Some(127)].contains(&end.status), "{arguments:?}: {end:#?}");
    }
}

#[test]
fn a_hostile_name_of_the_program_is_escaped_in_its_help() {
    for hostile in HOSTILE {
        let end = Program::spawn(Command::new(path("listener")).arg0(OsStr::from_bytes(hostile)).arg("-h"));
        let end = { end }.end().well();
        assert_harmless(&end);
    }
}

#[test]
fn a_hostile_process_name_is_escaped_where_a_holder_is_named() {
    let directory = tempfile::tempdir().unwrap();
    // The kernel cuts a name after 15 bytes.
    let name = directory.path().join(OsStr::from_bytes(b"a\x1b[3m\xff\r\nheld"));
    std::os::unix::fs::symlink(path("listener"), &name).unwrap();
    let holder =
        Program::spawn(Command::new(&name).arg0("listener").args(["0", "127.0.0.1", "--reuse-port", "off"]));
    let port = field(&holder.line("listening "), "local").rsplit(':').next().unwrap().to_owned();
    let end = Program::run("listener", &[&port, "127.0.0.1", "--reuse-port", "off"]).with_status(1);
    assert_harmless(&end);
    assert!(end.stderr.contains(r"(a\x1b[3m\xff\r\nheld)"), "{end:#?}");
    for format in ["text", "json"] {
        let end = Program::run("fourtuple", &["sockets", "--port", &port, "--format", format]).well();
        assert_harmless(&end);
        assert!(end.stdout.contains(r"\x1b[3m"), "{end:#?}");
    }
}

#[test]
fn an_error_that_nobody_can_be_told_keeps_its_exit_status() {
    for redirection in ["2>/dev/full", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"] {
        for (program, arguments, status) in [
            ("connector", &["192.0.2.1", "0", "127.0.0.1", "3000"][..], 1),
            ("connector", &["127.0.0.1", "0"], 2),
            ("listener", &["0", "192.0.2.1"], 1),
            ("listener", &["port"], 2),
            ("fourtuple", &["isolate", "--sysctl", "kernel.x=1", "--", "true"], 125),
            ("fourtuple", &["nothing"], 2),
        ] {
            let end = Program::spawn(redirected(program, redirection).args(arguments)).end();
            assert_eq!(end.status, Some(status), "{program} {arguments:?} {redirection}: {end:#?}");
        }
    }
}

#[test]
fn help_that_cannot_be_written_is_a_failure_and_a_reader_that_has_gone_is_none() {
    for (program, arguments) in [("listener", &["-h"][..]), ("connector", &[]), ("fourtuple", &["--version"])]
    {
        let end = Program::spawn(redirected(program, ">/dev/full").args(arguments)).end().with_status(1);
        assert_eq!(
            end.stderr,
            format!("{program}: write standard output: ENOSPC (No space left on device)\n")
        );
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(path(program));
        let command = command.args(arguments).stdout(writer).stderr(Stdio::null());
        assert!(command.status().unwrap().success(), "{program}");
    }
}
