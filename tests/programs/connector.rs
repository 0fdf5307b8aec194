//! `connector`: the local port asked for, and a heartbeat whatever the remote side does.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::program::client::{accept, read_to_error, reset};
use crate::program::kernel::{FullServer, ReservedPort, has_ipv6, wait_for_state};
use crate::program::{
    End, Listener, Program, connector, connector_with_unsent_bytes, field, path, redirected,
};
use fourtuple::net::TcpState;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::ECONNRESET;
use nix::sys::signal::Signal::{SIGCONT, SIGINT, SIGSTOP, SIGUSR2};

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// A server that does nothing by itself, and its address.
fn server() -> (TcpListener, SocketAddr) {
    let server = TcpListener::bind(any_port()).unwrap();
    let address = server.local_addr().unwrap();
    (server, address)
}

fn read(mut stream: &TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn the_local_port_asked_for_is_the_one_the_server_sees() {
    let ((server, remote), reserved) = (server(), ReservedPort::new());
    let local = reserved.address();
    let connector = connector(local, remote, &[]);
    let stream = accept(&server);
    assert_eq!(stream.peer_addr().unwrap(), local);
    assert_eq!(connector.line("bound "), format!("bound local={local}"));
    assert_eq!(connector.line("established "), format!("established local={local} remote={remote}"));
    wait_for_state(local, remote, TcpState::Established);
}

#[test]
fn port_0_is_a_port_of_the_kernel_and_is_told() {
    let (server, remote) = server();
    let connector = connector(any_port(), remote, &[]);
    let stream = accept(&server);
    let seen = stream.peer_addr().unwrap();
    assert_eq!(connector.line("bound "), format!("bound local={seen}"));
    assert_eq!(connector.line("established "), format!("established local={seen} remote={remote}"));
}

#[test]
fn the_first_heartbeat_leaves_at_once() {
    let (server, remote) = server();
    let connector = connector(any_port(), remote, &["hello", "--interval", "1h"]);
    assert_eq!(read(&accept(&server), 5), b"hello");
    assert_eq!(connector.line("heartbeat "), "heartbeat sequence=1 bytes=5");
}

#[test]
fn the_message_is_hi_unless_another_is_given() {
    let (server, remote) = server();
    let _connector = connector(any_port(), remote, &[]);
    assert_eq!(read(&accept(&server), 2), b"hi");
}

#[test]
fn heartbeats_go_on_every_interval_while_nobody_answers() {
    let (server, remote) = server();
    let connector = connector(any_port(), remote, &["hello", "--interval", "100ms"]);
    let stream = accept(&server);
    assert_eq!(read(&stream, 5), b"hello");
    let begin = Instant::now();
    assert_eq!(read(&stream, 25), b"hello".repeat(5));
    let elapsed = begin.elapsed();
    assert!(elapsed > Duration::from_millis(100) && elapsed < Duration::from_secs(10), "{elapsed:?}");
    assert_eq!(connector.nth_line(6, "heartbeat "), "heartbeat sequence=6 bytes=5");
    assert!(!connector.said().contains("answer "));
}

#[test]
fn heartbeats_go_on_every_interval_while_the_server_answers() {
    let listener = Listener::start(&[]);
    let connector = connector(any_port(), listener.address, &["hello", "--interval", "50ms"]);
    for sequence in 1..=5 {
        let line = connector.nth_line(sequence, "answer ");
        let (before, after) = line.split_once(" rtt=").unwrap();
        assert_eq!(before, format!("answer sequence={sequence} bytes=5"));
        assert!(after.ends_with(" text=\"hello\""), "{line}");
    }
}

#[test]
fn a_count_that_is_all_answered_ends_well_with_a_summary() {
    let listener = Listener::start(&[]);
    let options = ["hello", "--count", "3", "--interval", "2s"];
    let end = connector(any_port(), listener.address, &options).end().well();
    assert_eq!((end.lines("heartbeat ").len(), end.lines("answer ").len()), (3, 3), "{end:#?}");
    let summary = end.lines("summary ")[0];
    assert!(summary.starts_with("summary sent=3 answered=3 rtt-min="), "{summary}");
    assert!(summary.contains(" rtt-mean=") && summary.contains(" rtt-max="), "{summary}");
    assert_eq!(end.stdout.lines().last(), Some(summary));
    assert!(end.lines("closed ")[0].contains(" reason=local received=15 sent=15 "), "{end:#?}");
    assert_eq!(end.stderr, "");
}

#[test]
fn one_heartbeat_is_the_first_and_the_last() {
    let listener = Listener::start(&[]);
    let end = connector(any_port(), listener.address, &["--count", "1", "--interval", "1h"]).end().well();
    assert_eq!(end.lines("heartbeat "), ["heartbeat sequence=1 bytes=2"]);
}

#[test]
fn a_count_that_nobody_answers_ends_with_status_1_and_says_how_many() {
    let (_server, remote) = server();
    let end = connector(any_port(), remote, &["--count", "2", "--interval", "50ms"]).end().with_status(1);
    assert_eq!(end.lines("summary "), ["summary sent=2 answered=0"]);
    assert!(end.stderr.contains(&format!(" -> {remote}: 0 of 2 heartbeats answered")), "{end:#?}");
}

#[test]
fn the_receive_timeout_ends_a_wait_for_an_answer_with_words() {
    let (_server, remote) = server();
    let options = ["--receive-timeout", "100ms", "--interval", "30ms"];
    let end = connector(any_port(), remote, &options).end().with_status(1);
    assert!(end.stderr.contains("no answer within 100ms (--receive-timeout)"), "{end:#?}");
    assert!(end.stderr.contains(&format!(" -> {remote}: ")), "{end:#?}");
    assert!(end.lines("summary ")[0].ends_with(" answered=0"), "{end:#?}");
    assert_eq!(end.lines("closed ").len(), 1);
}

#[test]
fn the_receive_timeout_does_not_run_between_an_answer_and_the_next_heartbeat() {
    let listener = Listener::start(&[]);
    let options = ["--receive-timeout", "2s", "--interval", "3s", "--count", "2"];
    let end = connector(any_port(), listener.address, &options).end().well();
    assert!(end.lines("summary ")[0].starts_with("summary sent=2 answered=2 "), "{end:#?}");
}

#[test]
fn an_answer_that_arrived_in_time_counts_though_the_connector_comes_to_it_late() {
    for options in [["--count", "1", "--interval", "3s"], ["--count", "1", "--receive-timeout", "3s"]] {
        let (server, remote) = server();
        let mut connector = connector(any_port(), remote, &options);
        let mut stream = accept(&server);
        assert_eq!(read(&stream, 2), b"hi");
        connector.signal(SIGSTOP);
        stream.write_all(b"hi").unwrap();
        std::thread::sleep(Duration::from_millis(3200));
        connector.signal(SIGCONT);
        let end = connector.end().well();
        assert!(end.lines("summary ")[0].starts_with("summary sent=1 answered=1 "), "{end:#?}");
    }
}

#[test]
fn a_connection_without_a_receive_timeout_waits_as_long_as_it_takes() {
    let (server, remote) = server();
    let connector = connector(any_port(), remote, &["hello", "--interval", "50ms", "--count", "20"]);
    let mut stream = accept(&server);
    read(&stream, 45);
    stream.write_all(b"hello").unwrap();
    connector.line("answer sequence=1 bytes=5 ");
}

#[test]
fn an_answer_in_pieces_is_one_and_two_in_one_are_two() {
    let (server, remote) = server();
    let connector = connector(any_port(), remote, &["hello", "--interval", "20ms"]);
    let mut stream = accept(&server);
    stream.set_nodelay(true).unwrap();
    read(&stream, 15);
    stream.write_all(b"he").unwrap();
    read(&stream, 5);
    stream.write_all(b"llohellohel").unwrap();
    connector.line("answer sequence=2 bytes=5 ");
    read(&stream, 5);
    assert_eq!(connector.said().matches("answer ").count(), 2);
    stream.write_all(b"lo").unwrap();
    connector.line("answer sequence=3 bytes=5 ");
}

#[test]
fn an_answer_that_is_no_echo_is_shown_as_it_is() {
    let (server, remote) = server();
    let mut connector = connector(any_port(), remote, &["Ahoi", "--count", "2", "--interval", "2s"]);
    let mut stream = accept(&server);
    for sequence in 1..=2 {
        read(&stream, 4);
        stream.write_all(b"Ack!\x1b[2J\n").unwrap();
        connector.line(&format!("answer sequence={sequence} bytes=9 "));
    }
    let end = connector.end().well();
    assert!(end.lines("answer ")[0].ends_with(r#" text="Ack!\x1b[2J\n""#), "{end:#?}");
}

#[test]
fn hostile_bytes_are_shown_escaped_as_message_and_as_answer() {
    let hostile =
        "a\x07\x1b[35m\u{9b}35m\x1b]8;;http://a/\x1b\\\x1b]52;c;eA==\x07\u{202e}\r\nclosed local=forged\n\"";
    for format in ["text", "json"] {
        let (server, remote) = server();
        let mut connector = connector(any_port(), remote, &[hostile, "--count", "2", "--format", format]);
        let mut stream = accept(&server);
        read(&stream, hostile.len());
        // The echo, and then what nobody asked for: no UTF-8, and NUL.
        stream.write_all(hostile.as_bytes()).unwrap();
        stream.write_all(b"\0\xff\xc2\r\nsummary sent=9\n").unwrap();
        drop(stream);
        let end = connector.end().with_status(1);
        for text in [&end.stdout, &end.stderr] {
            let raw = |character: char| {
                (character.is_control() && character != '\n') || "\u{202e}\u{fffd}".contains(character)
            };
            assert_eq!(text.find(raw), None, "{text:?}");
        }
        let answer = end.stdout.lines().find(|line| line.contains("answer")).unwrap();
        assert!(answer.contains("35m") && answer.contains("closed local=forged"), "{end:#?}");
        assert!(
            !end.stdout.contains("\nclosed local=forged") && !end.stdout.contains("\nsummary sent=9"),
            "{end:#?}"
        );
    }
}

#[test]
fn the_remote_fin_ends_it_well_and_is_told() {
    let (server, remote) = server();
    let mut connector = connector(any_port(), remote, &["--interval", "1h"]);
    let stream = accept(&server);
    read(&stream, 2);
    stream.shutdown(Shutdown::Write).unwrap();
    let end = connector.end().well();
    assert!(end.lines("closed ")[0].contains(" reason=fin received=0 sent=2 "), "{end:#?}");
    assert_eq!(end.lines("summary "), ["summary sent=1 answered=0"]);
}

#[test]
fn the_remote_fin_before_the_count_is_answered_is_a_failure_and_no_reset() {
    let (server, remote) = server();
    let mut connector = connector(any_port(), remote, &["--count", "3", "--interval", "1h"]);
    let stream = accept(&server);
    read(&stream, 2);
    drop(stream);
    let end = connector.end().with_status(1);
    assert!(end.stderr.contains("FIN") && !end.stderr.contains("ECONNRESET"), "{end:#?}");
    assert!(end.lines("closed ")[0].contains(" reason=fin "), "{end:#?}");
}

#[test]
fn the_remote_rst_names_call_four_tuple_and_errno() {
    let (server, remote) = server();
    let mut connector = connector(any_port(), remote, &["--interval", "1h"]);
    let stream = accept(&server);
    let local = stream.peer_addr().unwrap();
    read(&stream, 2);
    reset(stream);
    let end = connector.end().with_status(1);
    assert!(
        end.stderr.starts_with(&format!("connector: recv {local} -> {remote}: ECONNRESET (")),
        "{end:#?}"
    );
    assert!(end.lines("closed ")[0].contains(" reason=reset received=0 sent=2 "), "{end:#?}");
    assert_eq!(end.lines("summary "), ["summary sent=1 answered=0"]);
}

#[test]
fn a_host_name_may_be_the_remote() {
    let listener = Listener::start(&[]);
    let port = listener.address.port().to_string();
    let end = Program::run("connector", &["127.0.0.1", "0", "localhost", &port, "--count", "1"]).well();
    assert!(end.lines("established ")[0].ends_with(&format!(" remote={}", listener.address)), "{end:#?}");
}

#[test]
fn an_unknown_host_name_is_named() {
    // A label holds 63 bytes at most (RFC 1035 §2.3.4), so no name server is asked.
    let host = format!("{}.invalid", "x".repeat(64));
    let end = Program::run("connector", &["127.0.0.1", "0", &host, "3000"]).with_status(1);
    assert!(end.stderr.starts_with(&format!("connector: getaddrinfo {host}: ")), "{end:#?}");
    assert!(end.stderr.contains("\nhint: "), "{end:#?}");
}

#[test]
fn ipv6_connects_too() {
    if !has_ipv6() {
        return;
    }
    let listener = Listener::on("::1", &[]);
    let end = connector("[::1]:0".parse().unwrap(), listener.address, &["--count", "1"]).end().well();
    assert!(end.lines("established ")[0].starts_with("established local=[::1]:"), "{end:#?}");
}

#[test]
fn the_kernel_picks_from_the_port_range_asked_for() {
    let listener = Listener::start(&[]);
    let high = ReservedPort::new().address().port();
    let range = format!("{}-{high}", high - 15);
    for no_port in [&[][..], &["--bind-address-no-port"]] {
        let options = [&["--count", "1", "--local-port-range", &range], no_port].concat();
        let end = connector(any_port(), listener.address, &options).end().well();
        let local: SocketAddr = field(end.lines("established ")[0], "local").parse().unwrap();
        assert!((high - 15..=high).contains(&local.port()), "{local} is not in {range}");
    }
}

#[test]
fn with_bind_address_no_port_more_connections_than_ports_are_possible() {
    let (one, two) = (Listener::start(&[]), Listener::start(&[]));
    let port = ReservedPort::new().address().port();
    let range = format!("{port}-{port}");
    let own = ["--local-port-range", &range, "--reuse-address", "off", "--reuse-port", "off"];
    let late = [&own[..], &["--bind-address-no-port"]].concat();
    let red = connector(any_port(), one.address, &late);
    assert_eq!(field(&red.line("established "), "local"), format!("127.0.0.1:{port}"));
    let blue = connector(any_port(), two.address, &late);
    assert_eq!(field(&blue.line("established "), "local"), format!("127.0.0.1:{port}"));
    // Both four-tuples are taken, and now connect is the call that finds no port.
    let end = connector(any_port(), two.address, &late).end().with_status(1);
    assert!(end.stderr.starts_with("connector: connect "), "{end:#?}");
    assert!(end.stderr.contains(": EADDRNOTAVAIL ("), "{end:#?}");
    // Without it, bind takes the port for itself alone.
    let end = connector(any_port(), two.address, &own).end().with_status(1);
    assert!(end.stderr.starts_with("connector: bind 127.0.0.1:0: EADDRINUSE ("), "{end:#?}");
}

#[test]
fn a_message_longer_than_a_segment_and_a_buffer_comes_back_as_one_answer() {
    let listener = Listener::start(&[]);
    let message = "0123456789".repeat(12_000);
    let options = [&message, "--count", "3", "--interval", "2s", "--send-buffer", "8KiB"];
    let end = connector(any_port(), listener.address, &options).end().well();
    let answers = end.lines("answer ");
    assert_eq!(answers.len(), 3, "{:?}", end.lines("summary "));
    assert!(answers.iter().all(|line| field(line, "bytes") == "120000"));
    assert!(end.lines("closed ")[0].contains(" received=360000 sent=360000 "));
}

#[test]
fn a_server_that_does_not_read_is_given_up_after_the_send_timeout() {
    let options = ["--interval", "1ms", "--send-timeout", "200ms"];
    let (mut connector, stream) = connector_with_unsent_bytes(&options);
    let end = connector.end().with_status(1);
    assert!(end.lines("closed ")[0].contains(" reason=send-timeout "), "{:?}", end.lines("closed "));
    assert!(end.stderr.starts_with("connector: send 127.0.0.1:"), "{}", end.stderr);
    assert!(end.stderr.contains("--send-timeout"), "{}", end.stderr);
    assert_eq!(read_to_error(&stream).raw_os_error(), Some(ECONNRESET));
}

#[test]
fn the_receive_timeout_ends_it_though_bytes_are_unsent() {
    let options = ["--receive-timeout", "200ms", "--send-timeout", "none"];
    let (mut connector, _stream) = connector_with_unsent_bytes(&options);
    let end = connector.end().with_status(1);
    assert!(end.stderr.contains("no answer within 200ms (--receive-timeout)"), "{}", end.stderr);
}

#[test]
fn a_count_ends_it_though_bytes_are_unsent() {
    let options = ["--count", "1", "--interval", "200ms", "--send-timeout", "none"];
    let (mut connector, _stream) = connector_with_unsent_bytes(&options);
    let end = connector.end().with_status(1);
    assert!(end.stderr.contains("0 of 1 heartbeats answered"), "{}", end.stderr);
}

#[test]
fn the_connect_timeout_ends_a_handshake_that_nobody_answers() {
    let server = FullServer::new();
    let end = connector(any_port(), server.address(), &["--connect-timeout", "200ms"]).end().with_status(1);
    assert!(end.stderr.starts_with("connector: connect 127.0.0.1:"), "{end:#?}");
    assert!(end.stderr.contains(&format!(" -> {}: ", server.address())), "{end:#?}");
    assert!(end.stderr.contains("--connect-timeout"), "{end:#?}");
    // Who does not accept is known here.
    let holder = format!("\nheld by LISTEN {} pid={} (", server.address(), std::process::id());
    assert!(end.stderr.contains(&holder), "{end:#?}");
    assert!(end.stderr.contains("\nhint: make LISTEN "), "{end:#?}");
    assert_eq!(end.lines("established "), [""; 0]);
}

#[test]
fn aimed_at_its_own_address_it_connects_to_itself() {
    let reserved = ReservedPort::new();
    let local = reserved.address();
    let end = connector(local, local, &["--count", "1"]).end().well();
    assert_eq!(end.lines("established "), [format!("established local={local} remote={local}")]);
    assert!(end.lines("answer ")[0].ends_with(" text=\"hi\""), "{end:#?}");
}

#[test]
fn sigusr2_prints_the_summary_so_far() {
    let (_server, remote) = server();
    let mut connector = connector(any_port(), remote, &["--interval", "1h"]);
    connector.line("heartbeat ");
    connector.signal(SIGUSR2);
    assert_eq!(connector.line("summary "), "summary sent=1 answered=0");
    connector.signal(SIGINT);
    assert_eq!(connector.end().well().lines("summary ").len(), 2);
}

#[test]
fn quiet_prints_the_summary_alone() {
    let listener = Listener::start(&[]);
    let end = connector(any_port(), listener.address, &["--count", "1", "--quiet"]).end().well();
    assert_eq!((end.stdout.lines().count(), end.lines("summary ").len()), (1, 1), "{end:#?}");
}

#[test]
fn json_lines_tell_the_same_as_text() {
    let listener = Listener::start(&[]);
    let words = |format: &str| -> Vec<String> {
        let end = connector(
            any_port(),
            listener.address,
            &["--count", "2", "--interval", "2s", "--format", format],
        )
        .end()
        .well();
        end.stdout
            .lines()
            .map(|line| match format {
                "json" => {
                    let object: serde_json::Value = serde_json::from_str(line).unwrap();
                    assert_eq!(object["schema"], 1);
                    object["event"].as_str().unwrap().to_owned()
                }
                _ => line.split(' ').next().unwrap().to_owned(),
            })
            .collect()
    };
    let text = words("text");
    assert_eq!(
        text,
        ["bound", "established", "heartbeat", "answer", "heartbeat", "answer", "closed", "summary"]
    );
    assert_eq!(words("json"), text);
}

#[test]
fn without_arguments_it_prints_its_help() {
    let end = Program::run("connector", &[]).well();
    assert!(end.stdout.contains("Usage: connector"), "{end:#?}");
    assert_eq!(end.stderr, "");
}

/// Starts a connector, answers so many heartbeats, and ends it by a signal; how it ended.
fn beat(command: &mut Command, message: &str, count: usize) -> End {
    let (server, remote) = server();
    let port = remote.port().to_string();
    command.args(["127.0.0.1", "0", "127.0.0.1", &port, message, "--interval", "10ms"]);
    let mut connector = Program::spawn_unheard(command);
    let mut stream = accept(&server);
    for _ in 0..count {
        assert_eq!(read(&stream, message.len()), message.as_bytes());
        stream.write_all(message.as_bytes()).unwrap();
    }
    connector.stop()
}

#[test]
fn a_full_or_closed_output_changes_neither_its_work_nor_its_status() {
    for redirection in [">/dev/full", ">&-", ">/dev/full 2>&1", ">&- 2>&-", "<&- >&- 2>&-"] {
        let mut command = redirected("connector", redirection);
        let end = beat(command.stdout(Stdio::null()), "hello", 20);
        assert_eq!((end.status, end.stderr.as_str()), (Some(0), ""), "{redirection}");
    }
}

#[test]
fn a_pipe_that_is_broken_or_that_nobody_reads_changes_neither_its_work_nor_its_status() {
    let message = "x".repeat(256);
    for broken in [false, true] {
        let (reader, writer) = std::io::pipe().unwrap();
        // A page: some ten lines fill it.
        fcntl(&writer, FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
        let reader = (!broken).then_some(reader);
        let end = beat(Command::new(path("connector")).stdout(writer), &message, 50);
        assert_eq!((end.status, end.stderr.as_str()), (Some(0), ""), "broken: {broken}");
        drop(reader);
    }
}

#[test]
fn a_hard_limit_on_descriptors_that_is_reached_is_called_one() {
    // Whoever runs the tests may leave them descriptors, and those count too.
    let script = "for path in /proc/$$/fd/*; do fd=${path##*/}; ((fd <= 2)) || exec {fd}>&-; done
        ulimit -n 9 && exec \"$0\" 127.0.0.1 0 127.0.0.1 9";
    let mut command = Command::new("bash");
    let said = Program::spawn(command.args(["-c", script, path("connector")])).end().with_status(1).stderr;
    assert!(said.contains("hint: this process may open 9 files, its hard limit: "), "{said}");
}
