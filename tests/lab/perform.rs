//! `fourtuple perform` against the running kernel: each call's line, and what it says of the kernel.

use std::process::Command;

use crate::program::kernel::{self, FullServer};
use crate::program::{End, Program, path};
use fourtuple::net::TcpState;
use nix::sys::signal::Signal;
use nix::unistd::geteuid;
use serde_json::Value;

/// Runs STEPS to the end.
#[track_caller]
fn perform(steps: &str) -> End {
    Program::run("fourtuple", &["perform", steps])
}

/// Runs STEPS in a network of their own.
#[track_caller]
fn perform_apart(steps: &str) -> End {
    let isolated = ["isolate", "--", path("fourtuple"), "perform", "--patience", "60s", steps];
    Program::spawn(Command::new(path("fourtuple")).args(isolated)).end()
}

/// Fails unless STEPS succeed and their [`relevant`] lines are these, in this order.
#[track_caller]
fn says(steps: &str, expected: &[&str]) {
    assert_eq!(relevant(&perform(steps).well()), expected);
}

/// The lines without those that succeed in opening sockets; ports and descriptors there are the kernel's choice. Of a
/// connect(2) that fails, the address is left out.
fn relevant(end: &End) -> Vec<String> {
    let opening = ["socket", "bind", "listen", "accept", "hide", "show", "connect"];
    let relevant = |line: &str| {
        let (name, call) = line.split_once(": ").unwrap_or(("", line));
        let word = call.split(' ').next().unwrap();
        let failure = call.split_once(" = -1 ");
        match (opening.contains(&word), failure) {
            (true, None) => None,
            (true, Some((_, errno))) if word == "connect" => Some(format!("{name}: connect = -1 {errno}")),
            _ => Some(line.to_owned()),
        }
    };
    end.stdout.lines().filter_map(relevant).collect()
}

/// A connection between `a`, which connects, and `c`, which is accepted from `s`.
const CONNECTION: &str = "s: socket; bind 127.0.0.1:0; listen 1; a: socket; connect @s; s: accept as c; ";

/// Steps that begin with that connection.
fn connected(steps: &str) -> String {
    format!("{CONNECTION}{steps}")
}

/// What comes of steps that begin with that connection.
#[track_caller]
fn after_connecting(steps: &str) -> End {
    perform(&connected(steps)).well()
}

#[test]
fn each_call_is_a_line_with_its_result() {
    let end = perform("s: socket; bind 127.0.0.1:0; listen 1; getsockname; a: socket; connect @s").well();
    let lines: Vec<&str> = end.stdout.lines().collect();
    let address = lines[3].strip_prefix("s: getsockname = 0 ").unwrap();
    assert!(lines[0].strip_prefix("s: socket = ").unwrap().parse::<u32>().is_ok(), "{end:#?}");
    assert_eq!(lines[1..3], ["s: bind 127.0.0.1:0 = 0", "s: listen 1 = 0"]);
    assert_eq!(lines[5], format!("a: connect {address} = 0"));
    assert_eq!(lines.len(), 6, "{end:#?}");
}

#[test]
fn a_failed_call_is_told_and_the_performance_goes_on() {
    says(
        "socket; setsockopt SO_REUSEADDR 1; bind 192.0.2.1:0; recv; listen 1; recv; close",
        &[
            "setsockopt SO_REUSEADDR 1 = 0",
            "bind 192.0.2.1:0 = -1 EADDRNOTAVAIL",
            "recv = -1 ENOTCONN",
            "recv = -1 ENOTCONN",
            "close = 0",
        ],
    );
}

#[test]
fn the_same_four_tuple_again_is_refused_by_connect() {
    let end = perform(
        "s: socket; bind 127.0.0.1:0; listen 2; a: socket; setsockopt SO_REUSEADDR 1; bind 127.0.0.1:0; connect @s; \
         b: socket; setsockopt SO_REUSEADDR 1; bind @a; connect @s; wait CLOSED; a: wait ESTABLISHED",
    )
    .well();
    let refused = end.lines("b: ");
    assert!(refused[2].ends_with(" = 0") && refused[2].starts_with("b: bind 127.0.0.1:"), "{end:#?}");
    assert!(refused[3].ends_with(" = -1 EADDRNOTAVAIL"), "{end:#?}");
    assert_eq!(refused[4], "b: wait CLOSED = 0");
}

#[test]
fn a_socket_that_connects_to_itself_needs_no_listener() {
    says(
        "socket; bind 127.0.0.1:0; close; a: socket; bind 127.0.0.1:0; connect @a; wait ESTABLISHED; send \"x\"; recv",
        &["close = 0", "a: wait ESTABLISHED = 0", "a: send \"x\" = 1", "a: recv = 1 \"x\""],
    );
}

#[test]
fn two_sockets_that_connect_to_each_other_open_one_connection() {
    // Both SYNs are lost at first; their timers expire together, and the SYNs cross. On a busy machine one of the two
    // connects may come some milliseconds late, and its timer too: then one side stays in SYN-SENT.
    let steps = "a: socket; hide segments; nonblocking on; bind 127.0.0.1:3001
         b: socket; hide segments; nonblocking on; bind 127.0.0.1:3002; pause 5ms
         a: connect @b; b: connect @a; a: wait SYN-SENT; b: wait SYN-SENT
         a: hide segments S.; b: hide segments S.; a: wait SYN-RECEIVED; b: wait SYN-RECEIVED
         a: show segments; b: show segments; a: wait ESTABLISHED; b: wait ESTABLISHED
         a: nonblocking off; send \"from a\"; b: nonblocking off; recv; send \"from b\"; a: recv";
    let tried = (0..5).map(|_| perform_apart(steps)).find(|end| end.status == Some(0));
    let end = tried.expect("the SYNs never crossed");
    for line in ["a: connect 127.0.0.1:3002 = -1 EINPROGRESS", "b: connect 127.0.0.1:3001 = -1 EINPROGRESS"] {
        assert_eq!(end.lines(line).len(), 1, "{end:#?}");
    }
    assert_eq!(end.lines("b: recv"), ["b: recv = 6 \"from a\""]);
    assert_eq!(end.lines("a: recv"), ["a: recv = 6 \"from b\""]);
}

#[test]
fn a_queue_of_n_holds_n_and_one_more() {
    says(
        "s: socket; bind 127.0.0.1:0; listen 1; a: socket; connect @s; b: socket; connect @s; \
         c: socket; nonblocking on; connect @s; a: wait ESTABLISHED; b: wait ESTABLISHED; c: wait SYN-SENT; poll; \
         s: poll POLLIN",
        &[
            "c: nonblocking on = 0",
            "c: connect = -1 EINPROGRESS",
            "a: wait ESTABLISHED = 0",
            "b: wait ESTABLISHED = 0",
            "c: wait SYN-SENT = 0",
            "c: poll = 0 0",
            "s: poll POLLIN = 1 POLLIN",
        ],
    );
}

#[test]
fn the_side_that_closes_first_has_time_wait() {
    let steps =
        connected("a: close; wait FIN-WAIT-2; c: wait CLOSE-WAIT; close; wait CLOSED; a: wait TIME-WAIT");
    says(
        &steps,
        &[
            "a: close = 0",
            "a: wait FIN-WAIT-2 = 0",
            "c: wait CLOSE-WAIT = 0",
            "c: close = 0",
            "c: wait CLOSED = 0",
            "a: wait TIME-WAIT = 0",
        ],
    );
}

#[test]
fn time_wait_is_seen_of_a_socket_that_is_still_open() {
    let end = after_connecting(
        "a: shutdown WR; c: wait CLOSE-WAIT; shutdown WR; a: wait TIME-WAIT; wait TIME-WAIT",
    );
    assert_eq!(end.lines("a: wait"), ["a: wait TIME-WAIT = 0"; 2]);
}

#[test]
fn time_wait_is_seen_of_a_connection_that_came_to_be_between_two_calls() {
    let end = perform_apart(
        "s: socket; bind 127.0.0.1:3000; listen 1; hide segments; a: socket; nonblocking on; connect @s
         s: show segments; accept as c; a: close; c: close; a: wait TIME-WAIT",
    )
    .well();
    assert_eq!(end.lines("a: wait"), ["a: wait TIME-WAIT = 0"]);
}

#[test]
fn a_connection_that_takes_the_place_of_time_wait_is_not_the_old_sockets() {
    let end = perform_apart(
        "s: socket; setsockopt SO_REUSEADDR 1; bind 127.0.0.1:3000; listen 2
         a: socket; setsockopt SO_REUSEADDR 1; bind 127.0.0.1:3001; connect @s; s: accept as c
         a: shutdown WR; c: wait CLOSE-WAIT; close; a: wait TIME-WAIT
         b: socket; setsockopt SO_REUSEADDR 1; bind @a; connect @s; wait ESTABLISHED; a: wait CLOSED",
    )
    .well();
    assert_eq!(end.lines("a: wait"), ["a: wait TIME-WAIT = 0", "a: wait CLOSED = 0"]);
}

#[test]
fn a_half_closed_connection_still_receives() {
    let steps = connected("a: shutdown WR; c: recv; poll; send \"late\"; a: recv; poll");
    says(
        &steps,
        &[
            "a: shutdown WR = 0",
            "c: recv = 0",
            "c: poll = 1 POLLIN|POLLOUT|POLLRDHUP",
            "c: send \"late\" = 4",
            "a: recv = 4 \"late\"",
            "a: poll = 1 POLLOUT",
        ],
    );
}

/// Fails unless, after an RST, these steps of `a` are answered so.
#[track_caller]
fn after_a_reset(steps: &str, expected: &[&str]) {
    let end = after_connecting(&format!(
        "c: setsockopt SO_LINGER 1 0; close; wait CLOSED; a: wait CLOSED; {steps}"
    ));
    assert_eq!(&relevant(&end)[4..], expected);
}

#[test]
fn a_reset_is_told_once_by_whichever_call_comes_first() {
    let told = "a: poll = 1 POLLIN|POLLOUT|POLLERR|POLLHUP|POLLRDHUP";
    let silent = "a: poll = 1 POLLIN|POLLOUT|POLLHUP|POLLRDHUP";
    after_a_reset(
        "poll; recv; recv; poll; send \"x\"",
        &[told, "a: recv = -1 ECONNRESET", "a: recv = 0", silent, "a: send \"x\" = -1 EPIPE"],
    );
    after_a_reset(
        "send \"x\"; send \"x\"; recv",
        &["a: send \"x\" = -1 ECONNRESET", "a: send \"x\" = -1 EPIPE", "a: recv = 0"],
    );
    after_a_reset(
        "getsockopt SO_ERROR; getsockopt SO_ERROR; poll; recv",
        &["a: getsockopt SO_ERROR = 0 ECONNRESET", "a: getsockopt SO_ERROR = 0 0", silent, "a: recv = 0"],
    );
}

#[test]
fn the_first_send_after_a_fin_succeeds_and_the_next_does_not() {
    let end = after_connecting("c: close; a: wait CLOSE-WAIT; send \"x\"; wait CLOSED; send \"x\"");
    assert_eq!(end.lines("a: send"), ["a: send \"x\" = 1", "a: send \"x\" = -1 EPIPE"]);
}

#[test]
fn urgent_data_is_received_apart_unless_it_is_inline() {
    let end = after_connecting(
        "a: send \"ab\"; send \"!\" MSG_OOB; c: poll POLLPRI 5s; recv; recv MSG_OOB; recv 1 MSG_OOB",
    );
    assert_eq!(
        relevant(&end)[2..],
        [
            "c: poll POLLPRI 5s = 1 POLLPRI",
            "c: recv = 2 \"ab\"",
            "c: recv MSG_OOB = 1 \"!\"",
            "c: recv 1 MSG_OOB = -1 EINVAL"
        ]
    );
    let end = after_connecting("c: setsockopt SO_OOBINLINE 1; a: send \"!\" MSG_OOB; c: recv; recv MSG_OOB");
    assert_eq!(relevant(&end)[2..], ["c: recv = 1 \"!\"", "c: recv MSG_OOB = -1 EINVAL"]);
}

#[test]
fn bytes_are_sent_as_written_and_shown_escaped() {
    let end = after_connecting("a: send \"\\x1b[2J\\n\\\"\\\\\\xff\"; c: recv 4 MSG_PEEK; recv");
    assert_eq!(
        relevant(&end)[1..],
        ["c: recv 4 MSG_PEEK = 4 \"\\x1b[2J\"", "c: recv = 8 \"\\x1b[2J\\n\\\"\\\\\\xff\""]
    );
}

#[test]
fn filler_is_one_send_of_that_size() {
    let end = after_connecting("a: nonblocking on; send 64KiB; send 64MiB; c: recv 64KiB MSG_WAITALL");
    let sent = end.lines("a: send");
    assert_eq!(sent[0], "a: send 65536B = 65536");
    let second: u32 = sent[1].strip_prefix("a: send 67108864B = ").unwrap().parse().unwrap();
    assert!(second < 64 << 20, "a full socket takes a part: {second}");
    assert!(end.lines("c: recv")[0].starts_with("c: recv 65536 MSG_WAITALL = 65536 \"xxx"), "{end:#?}");
}

#[test]
fn blocking_and_its_limits_are_the_kernels() {
    let end = after_connecting(
        "a: setsockopt SO_RCVTIMEO 20ms; getsockopt SO_RCVTIMEO; recv; nonblocking on; recv; recv MSG_DONTWAIT",
    );
    assert_eq!(
        end.lines("a: recv"),
        ["a: recv = -1 EAGAIN", "a: recv = -1 EAGAIN", "a: recv MSG_DONTWAIT = -1 EAGAIN"]
    );
}

#[test]
fn segments_hidden_from_a_listener_leave_the_other_side_in_syn_sent() {
    let end = perform_apart(
        "s: socket; bind 127.0.0.1:3000; listen 1; hide segments; a: socket; nonblocking on; connect @s; \
         wait SYN-SENT; poll POLLOUT 50ms; s: show segments; a: poll POLLOUT 5s; wait ESTABLISHED; s: show segments",
    )
    .well();
    assert_eq!(end.lines("a: poll"), ["a: poll POLLOUT 50ms = 0 0", "a: poll POLLOUT 5s = 1 POLLOUT"]);
    assert_eq!(end.lines("s: show"), ["s: show segments = 0", "s: show segments = -1 ENOENT"]);
}

#[test]
fn a_fin_alone_can_be_hidden() {
    let end = perform_apart(
        "s: socket; bind 127.0.0.1:3000; listen 1; a: socket; connect @s; s: accept as c; hide segments F.; \
         a: shutdown WR; wait FIN-WAIT-1; c: wait ESTABLISHED; send \"x\"; a: recv; c: show segments; wait CLOSE-WAIT",
    )
    .well();
    assert_eq!(end.lines("a: recv"), ["a: recv = 1 \"x\""]);
}

#[test]
fn a_socket_that_never_came_to_be_is_a_bad_descriptor() {
    says(
        "s: socket; nonblocking on; bind 127.0.0.1:0; listen 1; accept as c; c: recv; connect @s; close",
        &[
            "s: nonblocking on = 0",
            "s: accept as c = -1 EAGAIN",
            "c: recv = -1 EBADF",
            "c: connect = -1 EBADF",
            "c: close = -1 EBADF",
        ],
    );
}

#[test]
fn every_option_that_is_known_can_be_asked_for() {
    for family in ["inet", "inet6"] {
        for option in fourtuple::net::NamedOption::ALL {
            let end = perform(&format!("socket {family}; getsockopt {}", option.name)).well();
            let line = end.lines("getsockopt")[0];
            // ip(7) is for AF_INET6 too; ipv6(7) is not for AF_INET.
            let answered = line.starts_with(&format!("getsockopt {} = 0 ", option.name));
            assert!(answered || (family, option.name) == ("inet", "IPV6_V6ONLY"), "{line}");
        }
    }
}

#[test]
fn options_that_are_set_are_read_back() {
    for (option, value) in [
        ("SO_REUSEADDR", "1"),
        ("SO_REUSEPORT", "1"),
        ("SO_LINGER", "1 5"),
        ("SO_RCVTIMEO", "500ms"),
        ("SO_SNDTIMEO", "2s"),
        ("TCP_NODELAY", "1"),
        ("TCP_SYNCNT", "2"),
        ("IP_BIND_ADDRESS_NO_PORT", "1"),
        ("IP_LOCAL_PORT_RANGE", "40000-40007"),
        ("SO_BINDTODEVICE", "lo"),
        ("SO_BINDTODEVICE", "-"),
    ] {
        let end = perform(&format!("socket; setsockopt {option} {value}; getsockopt {option}")).well();
        let line = end.lines("getsockopt")[0];
        // IP_LOCAL_PORT_RANGE came with Linux 6.3.
        assert!(
            line == format!("getsockopt {option} = 0 {value}") || line.ends_with("ENOPROTOOPT"),
            "{line}"
        );
    }
}

#[test]
fn a_call_that_blocks_for_too_long_ends_the_performance() {
    let steps =
        ["perform", "--patience", "100ms", "s: socket; bind 127.0.0.1:0; listen 1; accept as c; close"];
    let end = Program::run("fourtuple", &steps).with_status(1);
    assert_eq!(end.stdout.lines().last(), Some("s: accept as c = ? (still blocked after 100ms)"));
    assert!(
        end.stderr.starts_with("fourtuple: accept s as c: still blocked after 100ms\nhint: --patience"),
        "{end:#?}"
    );
}

#[test]
fn a_state_that_does_not_come_is_a_failure_that_says_what_was_seen() {
    let steps = ["perform", "--patience", "50ms", "a: socket; wait ESTABLISHED; close"];
    let end = Program::run("fourtuple", &steps).with_status(1);
    assert_eq!(end.stdout.lines().last(), Some("a: wait ESTABLISHED = -1 (CLOSED)"));
    assert_eq!(end.stderr, "fourtuple: wait a ESTABLISHED: still CLOSED after 50ms\n");
}

#[test]
fn a_signal_ends_a_blocked_performance() {
    let server = FullServer::new();
    for (signal, status, name) in [(Signal::SIGINT, 130, "SIGINT"), (Signal::SIGTERM, 143, "SIGTERM")] {
        let connect = format!("connect {}", server.address());
        let mut program = Program::start("fourtuple", &["perform", &format!("socket; {connect}; close")]);
        crate::program::until("connect blocks", || {
            kernel::table()
                .into_iter()
                .find(|row| (row.remote, row.state) == (server.address(), TcpState::SynSent))
        });
        program.signal(signal);
        let end = program.end().with_status(status);
        assert_eq!(end.stdout.lines().last(), Some(format!("{connect} = ? ({name})").as_str()));
        assert_eq!(end.stdout.lines().count(), 2, "{end:#?}");
    }
}

#[test]
fn a_pause_lasts_until_a_signal_and_one_signal_more_ends_all() {
    let steps = "socket; bind 127.0.0.1:0; listen 1; pause; setsockopt SO_REUSEADDR 0; pause; \
        setsockopt SO_REUSEADDR 1; accept as c";
    let mut program = Program::start("fourtuple", &["perform", steps]);
    program.line("listen");
    program.signal(Signal::SIGTERM);
    program.line("pause = -1 EINTR");
    program.line("setsockopt SO_REUSEADDR 0 = 0");
    program.signal(Signal::SIGTERM);
    program.line("setsockopt SO_REUSEADDR 1 = 0");
    program.signal(Signal::SIGTERM);
    program.end().with_status(143);
}

#[test]
fn a_signal_before_the_pause_is_kept_for_it() {
    let steps = connected("a: setsockopt SO_RCVTIMEO 300ms; recv; pause; close");
    let mut program = Program::start("fourtuple", &["perform", &steps]);
    program.line("a: setsockopt");
    program.signal(Signal::SIGINT);
    let end = program.end().well();
    assert_eq!(relevant(&end)[1..], ["a: recv = -1 EAGAIN", "pause = -1 EINTR", "a: close = 0"]);
}

#[test]
fn a_mistake_is_pointed_at_before_the_first_call() {
    let end = perform("a: socket; conect 127.0.0.1:1; close").with_status(2);
    assert_eq!(end.stdout, "");
    let (first, rest) = end.stderr.split_once('\n').unwrap();
    assert!(first.starts_with("fourtuple: STEPS: step 2: no such call; expected one of socket, "), "{first}");
    assert_eq!(rest, "  a: socket; conect 127.0.0.1:1; close\n             ^^^^^^\n");
}

#[test]
fn a_mistake_is_pointed_at_in_its_line_and_its_line_is_made_safe() {
    let end = perform("socket\n\tsend \"\u{1b}é\" \u{1b}[2J\nclose").with_status(2);
    let lines: Vec<&str> = end.stderr.lines().skip(1).collect();
    assert_eq!(lines, ["  ·send \"·é\" ·[2J", "             ^^^^"]);
}

#[test]
fn events_are_calls_with_their_addresses() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.jsonl");
    let steps = connected("a: send \"x\"; c: recv; close; a: bind @s; pause 1ms");
    let options = ["perform", "--format", "json", "--events", file.to_str().unwrap(), &steps];
    let end = Program::run("fourtuple", &options).well();
    let parse =
        |text: &str| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>();
    let events = parse(&end.stdout);
    assert_eq!(parse(&std::fs::read_to_string(&file).unwrap()).len(), events.len());
    assert!(events.iter().all(|event| event["event"] == "call" && event["time_us"].is_u64()), "{events:#?}");
    let [.., accepted, sent, received, closed, bound, pause] = &events[..] else { panic!("{events:#?}") };
    assert_eq!((&accepted["call"], &accepted["socket"]), (&"accept".into(), &"s".into()));
    assert_eq!((&accepted["local"], &accepted["remote"]), (&sent["remote"], &sent["local"]));
    assert_eq!(
        (&sent["result"], &sent["arguments"], &sent["errno"]),
        (&1.into(), &"\"x\"".into(), &Value::Null)
    );
    assert_eq!((&received["text"], &received["socket"]), (&"x".into(), &"c".into()));
    assert_eq!((&closed["local"], &closed["result"]), (&accepted["local"], &0.into()));
    assert_eq!((&bound["result"], &bound["errno"]), (&(-1).into(), &"EINVAL".into()));
    assert_eq!(bound["arguments"], accepted["local"]);
    assert_eq!((&pause["socket"], &pause["local"]), (&Value::Null, &Value::Null));
}

#[test]
fn a_socket_is_the_users_that_setfsuid_has_named_before_it_was_opened() {
    let end = perform_apart(
        "a: socket; setsockopt SO_REUSEPORT 1; bind 127.0.0.1:3000; setfsuid 1; b: socket; \
         setsockopt SO_REUSEPORT 1; bind 127.0.0.1:3000; setfsuid 0; b: bind 127.0.0.1:3000; \
         c: socket; setsockopt SO_REUSEPORT 1; bind 127.0.0.1:3000",
    );
    if end.status == Some(125) {
        crate::program::skip(&end.stderr);
        return;
    }
    let told = relevant(&end.well());
    let calls: Vec<&str> =
        told.iter().map(String::as_str).filter(|line| !line.contains("setsockopt")).collect();
    let in_use = "b: bind 127.0.0.1:3000 = -1 EADDRINUSE";
    match geteuid().is_root() {
        true => assert_eq!(calls, ["setfsuid 1 = 0", in_use, "setfsuid 0 = 1", in_use]),
        // Root of a user namespace has no other user there. The second bind is of a socket that has an address.
        false => assert_eq!(
            calls,
            ["setfsuid 1 = -1 EPERM", "setfsuid 0 = 0", "b: bind 127.0.0.1:3000 = -1 EINVAL"]
        ),
    }
}

#[test]
fn help_fits_a_screen_and_long_help_has_every_step() {
    let short = Program::run("fourtuple", &["perform", "-h"]).well().stdout;
    assert!(short.lines().count() <= 40, "{short}");
    assert!(short.contains("Examples:"), "{short}");
    let long = Program::run("fourtuple", &["perform", "--help"]).well().stdout;
    for option in fourtuple::net::NamedOption::ALL {
        assert!(long.contains(option.name), "no {}", option.name);
    }
    let steps = "socket, setsockopt, getsockopt, bind, listen, accept as, connect, send, recv, shutdown, close, \
                 nonblocking, poll, getsockname, getpeername, hide segments, show segments, wait, pause, setfsuid, MSG_OOB, \
                 POLLRDHUP, @NAME";
    for step in steps.split(", ") {
        assert!(long.lines().any(|line| line.contains(step)), "no {step}");
    }
}
