//! SIGINT and SIGTERM to `connector`: it obeys at once, whatever its server does. Those to `listener` are in `models`.

use std::io::Read;
use std::net::{SocketAddr, TcpListener};

use crate::program::client::{accept, read_to_error, read_to_fin};
use crate::program::kernel::{FullServer, ReservedPort, wait_for_state};
use crate::program::{Listener, Program, connector, connector_with_unsent_bytes, field};
use fourtuple::net::TcpState;
use nix::libc::ECONNRESET;
use nix::sys::signal::Signal::{self, SIGINT, SIGTERM};

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Signals a connector and fails unless it ends well; it could take an hour to drain.
#[track_caller]
fn ends_at_once(mut connector: Program, signal: Signal) -> crate::program::End {
    connector.signal(signal);
    connector.end().well()
}

#[test]
fn the_connector_obeys_at_once_while_a_server_never_accepts() {
    for ending in [SIGINT, SIGTERM] {
        let server = TcpListener::bind(any_port()).unwrap();
        let connector = connector(any_port(), server.local_addr().unwrap(), &["--drain", "1h"]);
        connector.line("heartbeat sequence=1 ");
        let end = ends_at_once(connector, ending);
        assert_eq!(end.lines("summary "), ["summary sent=1 answered=0"]);
        assert_eq!(end.stderr, "");
    }
}

#[test]
fn the_connector_obeys_at_once_while_a_server_reads_and_never_answers() {
    let server = TcpListener::bind(any_port()).unwrap();
    let connector =
        connector(any_port(), server.local_addr().unwrap(), &["--drain", "1h", "--interval", "20ms"]);
    let mut stream = accept(&server);
    stream.read_exact(&mut [0; 6]).unwrap();
    let end = ends_at_once(connector, SIGINT);
    assert!(end.lines("summary ")[0].ends_with(" answered=0"), "{end:#?}");
    assert!(end.lines("closed ")[0].contains(" reason=local "), "{end:#?}");
}

#[test]
fn the_connector_obeys_at_once_while_the_server_answers() {
    let listener = Listener::start(&[]);
    let connector = connector(any_port(), listener.address, &["--drain", "1h", "--interval", "20ms"]);
    connector.line("answer sequence=3 ");
    let end = ends_at_once(connector, SIGINT);
    let summary = end.lines("summary ")[0].to_owned();
    assert!(field(&summary, "answered").parse::<u32>().unwrap() >= 3, "{summary}");
    assert!(summary.contains(" rtt-min=") && summary.contains(" rtt-mean=") && summary.contains(" rtt-max="));
}

#[test]
fn the_connector_obeys_at_once_in_syn_sent() {
    let (server, local) = (FullServer::new(), ReservedPort::new());
    let options = ["--drain", "1h", "--connect-timeout", "none"];
    let connector = connector(local.address(), server.address(), &options);
    wait_for_state(local.address(), server.address(), TcpState::SynSent);
    let end = ends_at_once(connector, SIGINT);
    assert_eq!(end.lines("established "), [""; 0]);
    assert_eq!(end.stderr, "");
}

#[test]
fn the_connector_sends_what_is_unsent_before_it_ends() {
    let (mut connector, stream) = connector_with_unsent_bytes(&["--drain", "1h"]);
    connector.signal(SIGTERM);
    assert_eq!(read_to_fin(&stream).len(), 120_000);
    drop(stream);
    connector.end().well();
}

#[test]
fn the_connector_aborts_what_is_unsent_when_the_drain_is_over() {
    let (mut connector, stream) = connector_with_unsent_bytes(&["--drain", "200ms"]);
    let end = connector.stop().well();
    assert!(end.lines("closed ")[0].contains(" reason=abort "), "{end:#?}");
    assert_eq!(read_to_error(&stream).raw_os_error(), Some(ECONNRESET));
}

#[test]
fn a_second_signal_ends_the_connector_at_once() {
    for (first, second, status) in [(SIGTERM, SIGTERM, 143), (SIGINT, SIGINT, 130)] {
        let (mut connector, _stream) = connector_with_unsent_bytes(&["--drain", "1h"]);
        connector.signal(first);
        connector.line("draining ");
        connector.signal(second);
        let end = connector.end().with_status(status);
        assert_eq!(end.lines("summary "), ["summary sent=1 answered=0"]);
    }
}
