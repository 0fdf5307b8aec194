//! What `talk` says when it cannot: nobody there, a port in use, replies that are others.

use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use crate::program::client::{accept, connect, read_to_fin};
use crate::program::kernel::{self, ReservedPort};
use crate::program::namespace::isolated;
use crate::program::usage::refused;
use crate::program::{End, Listener, Program, field, path};
use fourtuple::net::TcpState;

fn test_against(address: SocketAddr, options: &[&str]) -> End {
    let (ip, port) = (address.ip().to_string(), address.port().to_string());
    Program::run("talk", &[&["--test", &ip, &port], options].concat())
}

#[test]
fn a_host_nobody_knows_and_one_that_would_obey_the_terminal() {
    for (host, shown) in [("no-such-host.invalid", "no-such-host.invalid"), ("a\x1b[2J", "a\\x1b[2J")] {
        let end = Program::run("talk", &[host, "5000"]).with_status(1);
        assert!(end.stderr.starts_with(&format!("talk: getaddrinfo {shown}: ")), "{}", end.stderr);
        assert!(end.stderr.contains("\nhint: "), "{}", end.stderr);
    }
}

#[test]
fn where_ipv6_is_switched_off_it_is_said_how_to_switch_it_on() {
    if !isolated() || !kernel::has_ipv6() {
        return;
    }
    std::fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1").unwrap();
    for (arguments, failed) in [
        (&["::1", "5000"][..], "talk: connect [::]:0 -> [::1]:5000: EADDRNOTAVAIL"),
        (&["--listen", "5000", "::1"], "talk: bind [::1]:5000: EADDRNOTAVAIL"),
    ] {
        let said = Program::run("talk", arguments).with_status(1).stderr;
        assert!(said.contains(failed), "{said}");
        assert!(said.contains("\nhint: switch IPv6 on: `sudo sysctl net.ipv6."), "{said}");
    }
}

#[test]
fn a_host_and_its_port_are_two_arguments() {
    for (host, apart) in [("127.0.0.1:5000", "talk 127.0.0.1 5000"), ("[::1]:5000", "talk ::1 5000")] {
        refused("talk", &[host], &format!("the port is an argument of its own: {apart}\n"));
    }
    refused("talk", &[""], "'[HOST]': not HOST, such as 127.0.0.1 or ::1\n");
}

#[test]
fn streams_that_are_closed_or_full_end_it_and_no_more() {
    let listener = Listener::start(&[]);
    let port = listener.address.port();
    for (streams, status) in
        [("<&- >&-", 0), ("<&- >&- 2>&-", 0), (">/dev/full", 1), (">/dev/full 2>/dev/full", 1), ("</", 1)]
    {
        let script = format!("echo hello | (exec \"$0\" 127.0.0.1 {port} {streams})");
        Program::spawn(Command::new("bash").args(["-c", &script, path("talk")])).end().with_status(status);
    }
}

#[test]
fn nobody_listens() {
    let port = ReservedPort::new();
    let address = port.address();
    let end = Program::run("talk", &["127.0.0.1", &address.port().to_string()]).with_status(1);
    assert!(end.stderr.contains("ECONNREFUSED (Connection refused)"), "{}", end.stderr);
    let hint = |program| {
        format!("hint: nothing listens on {address}: `{program} {} 127.0.0.1` does", address.port())
    };
    assert!(end.stderr.contains(&hint("listener")), "{}", end.stderr);
    let port = address.port().to_string();
    let end = Program::run("talk", &["127.0.0.1", &port, "--name", "alice"]).with_status(1);
    assert!(end.stderr.contains(&hint("relay")), "{}", end.stderr);
}

#[test]
fn ipv6_is_called_and_waited_on() {
    if !kernel::has_ipv6() {
        return;
    }
    let listener = Listener::on("::1", &[]);
    test_against(listener.address, &[]).well();
    let server = Program::start("talk", &["--listen", "0", "::1"]);
    let address: SocketAddr = field(&server.error_line("listening "), "local").parse().unwrap();
    read_to_fin(&connect(address));
}

#[test]
fn a_port_that_is_listened_on_is_in_use() {
    let first = Program::start("talk", &["--listen", "0", "127.0.0.1"]);
    let address: SocketAddr = field(&first.error_line("listening "), "local").parse().unwrap();
    let end = Program::run("talk", &["--listen", &address.port().to_string(), "127.0.0.1"]).with_status(1);
    assert!(end.stderr.starts_with(&format!("talk: bind {address}: EADDRINUSE")), "{}", end.stderr);
    assert!(
        end.stderr.contains(&format!("held by LISTEN {address} pid={} (talk)", first.pid())),
        "{}",
        end.stderr
    );
}

#[test]
fn a_restart_over_time_wait_needs_so_reuseaddr_before_and_after() {
    for (options, status) in [(&[][..], 0), (&["--reuse-address", "off"][..], 1)] {
        let mut server = Program::start("talk", &[&["--listen", "0", "127.0.0.1"], options].concat());
        let address: SocketAddr = field(&server.error_line("listening "), "local").parse().unwrap();
        // Standard input has ended already: the server is the first to finish.
        let stream = connect(address);
        read_to_fin(&stream);
        let client = stream.local_addr().unwrap();
        drop(stream);
        server.end().well();
        kernel::wait_for_state(address, client, TcpState::TimeWait);
        let mut again = Program::start(
            "talk",
            &[&["--listen", &address.port().to_string(), "127.0.0.1"], options].concat(),
        );
        if status == 0 {
            again.error_line("listening ");
            again.stop().well();
        } else {
            let end = again.end().with_status(1);
            assert!(
                end.stderr.contains(&format!("held by TIME-WAIT {address} -> {client}")),
                "{}",
                end.stderr
            );
        }
    }
}

#[test]
fn wrong_usage_names_the_argument() {
    for (arguments, argument) in [
        (&["localhost", "70000"][..], "'70000' for '[PORT]'"),
        (&["localhost", "0"], "'0' for '[PORT]'"),
        (&["5000"], "'5000' for '[HOST]': a host comes before its port: talk 127.0.0.1 5000"),
        (&["--listen", "port"], "'port' for '[PORT]'"),
        (&["--listen", "5000", "localhost"], "'localhost' for '[IP]'"),
        (&["--listen", "\x1b[2J"], "'\\x1b[2J' for '[PORT]'"),
        (&["a", "1", "b"], "'b'"),
        (&["--listen", "--name", "alice"], "--name"),
        (&["--listen", "--test"], "--test"),
        (&["--turns", "--name", "alice"], "--turns"),
        (&["--bye", ""], "--bye"),
        (&["--bye", "two\nlines"], "--bye"),
        (&["--expect", "nonsense", "--test"], "'nonsense' for '--expect"),
        (&["--reply-timeout", "5"], "'5' for '--reply-timeout"),
        (&["--connect-timeout", "0s"], "'0s' for '--connect-timeout"),
    ] {
        refused("talk", arguments, argument);
    }
}

#[test]
fn the_test_passes_against_the_reply_it_expects_and_fails_against_others() {
    for (reply, expect) in [
        (&[][..], "echo"),
        (&["--reply", "ack"][..], "ack"),
        (&["--reply-prefix", "Server received: "][..], "prefix:Server received: "),
    ] {
        let listener = Listener::start(reply);
        for other in ["echo", "ack", "prefix:Server received: "] {
            // A reply that is not of the expected kind may never be a whole one.
            let timeout = if other == expect { "60s" } else { "300ms" };
            let end = test_against(listener.address, &["--expect", other, "--reply-timeout", timeout]);
            let passed =
                end.lines("test ").into_iter().filter(|line| field(line, "outcome") == "passed").count();
            let end = end.with_status(if other == expect { 0 } else { 1 });
            assert_eq!(passed, if other == expect { 5 } else { 0 }, "{end:#?}");
            assert_eq!(end.stderr.contains("0 of 5 replies were as expected"), other != expect, "{end:#?}");
        }
        let end = test_against(listener.address, &[]).well();
        assert_eq!(end.lines("expect "), [format!("expect reply=\"{expect}\"")]);
    }
}

#[test]
fn a_server_that_never_replies_and_one_that_ends_fail_the_test() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let end = test_against(address, &["--reply-timeout", "100ms"]).with_status(1);
    let line = end.lines("test name=one-byte ")[0];
    assert!(line.contains("no whole line came within 100ms (--reply-timeout)"), "{line}");
    drop(accept(&server));

    let ip_port = [address.ip().to_string(), address.port().to_string()];
    let mut command = Command::new(path("talk"));
    let mut talk = Program::spawn(command.arg("--test").args(ip_port));
    let stream = accept(&server);
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let end = talk.end().with_status(1);
    assert!(end.stdout.contains("the other side ended (FIN) instead of replying"), "{}", end.stdout);
}
