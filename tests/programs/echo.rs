//! `listener` opens its socket as told, for every family and with every option; what it serves is in `models`.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::program::client::{Pattern, connect, read_to_error, read_to_fin, round_trip};
use crate::program::kernel::{KEEPALIVE, has_ipv6, longest_queue, row_of};
use crate::program::{Listener, Program, until};
use nix::sys::signal::Signal::{SIGCONT, SIGSTOP};
use socket2::SockRef;

#[test]
fn ipv6_is_served() {
    if !has_ipv6() {
        return;
    }
    let listener = Listener::on("::1", &[]);
    let stream = connect(listener.address);
    round_trip(&stream, b"hello");
    assert!(listener.line("accepted ").starts_with("accepted local=[::1]:"));
}

#[test]
fn the_ipv6_wildcard_serves_both_families_unless_v6_only() {
    if !has_ipv6() {
        return;
    }
    let (both, one) = (Listener::on("::", &["--v6-only", "off"]), Listener::on("::", &["--v6-only", "on"]));
    let at = |ip: &str, listener: &Listener| SocketAddr::new(ip.parse().unwrap(), listener.address.port());
    for ip in ["127.0.0.1", "::1"] {
        round_trip(&connect(at(ip, &both)), b"hello");
    }
    round_trip(&connect(at("::1", &one)), b"hello");
    assert!(TcpStream::connect(at("127.0.0.1", &one)).is_err());
}

#[test]
fn more_clients_than_1024_are_served_together() {
    crate::program::raise_descriptor_limit();
    let listener = Listener::start(&["--quiet"]);
    // All wait in the accept queue when the listener comes to it.
    listener.signal(SIGSTOP);
    let streams: Vec<TcpStream> = (0..longest_queue().min(1100)).map(|_| connect(listener.address)).collect();
    listener.signal(SIGCONT);
    for stream in streams.iter().rev() {
        round_trip(stream, b"hello");
    }
}

#[test]
fn linger_0s_closes_with_rst() {
    let listener = Listener::start(&["--linger", "0s", "--receive-timeout", "100ms"]);
    let error = read_to_error(&connect(listener.address));
    assert_eq!(error.raw_os_error(), Some(nix::libc::ECONNRESET));
}

#[test]
fn mss_bounds_what_the_client_sends_in_one_segment() {
    let listener = Listener::start(&["--mss", "500"]);
    let stream = connect(listener.address);
    assert!(SockRef::from(&stream).tcp_mss().unwrap() <= 500);
}

#[test]
fn keepalive_is_inherited_by_accepted_sockets() {
    let timer = |options: &[&str]| {
        let listener = Listener::start(options);
        let stream = connect(listener.address);
        round_trip(&stream, b"hello");
        let (local, remote) = (listener.address, stream.local_addr().unwrap());
        // The retransmission timer may still run for a moment.
        until("an idle connection", || {
            let row = row_of(local, remote)?;
            (row.timer != 1).then_some(row.timer)
        })
    };
    assert_eq!(timer(&["--keepalive", "60s"]), KEEPALIVE);
    assert_eq!(timer(&[]), 0);
}

#[test]
fn a_smaller_receive_buffer_takes_less_before_it_is_read() {
    let taken = |options: &[&str]| {
        let listener = Listener::start(options);
        listener.signal(SIGSTOP);
        let stream = connect(listener.address);
        SockRef::from(&stream).set_send_buffer_size(4096).unwrap();
        Pattern::new(5).fill(&stream)
    };
    let (small, large) = (taken(&["--receive-buffer", "8KiB"]), taken(&[]));
    assert!(2 * small < large, "{small} bytes with a small buffer, {large} with the kernel's");
}

#[test]
fn a_second_listener_shares_the_address_only_where_both_set_so_reuseport() {
    let first = Listener::start(&[]);
    let second = Listener::at("127.0.0.1", first.address.port(), &[]);
    assert_eq!(first.address, second.address);
    for options in [&["--reuse-port", "off"][..], &["--reuse-port", "off", "--reuse-address", "off"]] {
        let port = first.address.port().to_string();
        let end = Program::run("listener", &[&[port.as_str(), "127.0.0.1"], options].concat()).with_status(1);
        assert!(end.stderr.contains(&format!("{}: EADDRINUSE", first.address)), "{end:#?}");
    }
}

#[test]
fn the_ready_line_says_which_options_are_on() {
    let line = |options: &[&str]| {
        let listener = Listener::start(options);
        listener.line("listening ")[format!("listening local={} ", listener.address).len()..].to_owned()
    };
    assert_eq!(line(&[]), "reuse-address=on reuse-port=on");
    assert_eq!(line(&["--reuse-address", "off"]), "reuse-address=off reuse-port=on");
    assert_eq!(line(&["--reuse-port", "off"]), "reuse-address=on reuse-port=off");
}

#[test]
fn a_listener_that_had_connections_restarts_on_its_port_at_once() {
    let mut first = Listener::start(&["--reuse-port", "off", "--receive-timeout", "50ms"]);
    // The listener closes first, so TIME-WAIT is on its port.
    assert_eq!(read_to_fin(&connect(first.address)), b"");
    first.line("closed ");
    first.stop().well();
    let again = Listener::at("127.0.0.1", first.address.port(), &["--reuse-port", "off"]);
    round_trip(&connect(again.address), b"hello");
}

#[test]
fn a_short_backlog_keeps_a_client_in_syn_sent_while_the_listener_does_not_accept() {
    let listener = Listener::start(&["--backlog", "0"]);
    listener.signal(SIGSTOP);
    let _queued = connect(listener.address);
    let second = TcpStream::connect_timeout(&listener.address, Duration::from_millis(200));
    assert!(second.is_err(), "a queue of one took two");
    listener.signal(SIGCONT);
    round_trip(&connect(listener.address), b"hello");
}

#[test]
fn port_0_is_a_port_of_the_kernel() {
    let listener = Listener::start(&[]);
    assert_ne!(listener.address.port(), 0);
    assert!(TcpListener::bind(listener.address).is_err());
}
