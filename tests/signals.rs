//! SIGINT, SIGTERM and SIGUSR2: what was echoed arrives whole, and nobody keeps a program from ending.

#![cfg(test)]

mod program;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use fourtuple::net::TcpState;
use nix::libc::ECONNRESET;
use nix::sys::signal::Signal::{self, SIGCONT, SIGINT, SIGSTOP, SIGTERM, SIGUSR2};
use program::client::{Pattern, accept, connect, read_to_error, read_to_fin, round_trip};
use program::kernel::{FullServer, ReservedPort, longest_queue, wait_for_state};
use program::{Listener, PATIENCE, Program, connector, connector_with_unsent_bytes, field};

const MIB: usize = 1024 * 1024;

/// Sends the pattern and reads its echo until FIN; tells when a mebibyte has come, and returns what came.
fn load(stream: &TcpStream, pattern: &Pattern, warm: &Barrier) -> Vec<u8> {
    thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let mut sent = 0;
            // Ends by the shutdown below.
            while let Ok(length) = { stream }.write(pattern.from(sent)) {
                sent += length;
            }
            sent
        });
        let mut echo = vec![0; MIB];
        { stream }.read_exact(&mut echo).unwrap();
        warm.wait();
        echo.extend(read_to_fin(stream));
        stream.shutdown(Shutdown::Write).unwrap();
        assert!(echo.len() <= writing.join().unwrap());
        echo
    })
}

#[test]
fn under_load_each_client_sees_a_prefix_of_what_it_sent_and_then_fin() {
    let mut listener = Listener::start(&["--drain", "60s"]);
    let (pattern, warm) = (Pattern::new(1), Barrier::new(5));
    // They stay open to the end: closing one with bytes unsent is an RST where the kernel is short of memory.
    let streams: Vec<TcpStream> = (0..4).map(|_| connect(listener.address)).collect();
    thread::scope(|scope| {
        let clients: Vec<_> =
            streams.iter().map(|stream| scope.spawn(|| load(stream, &pattern, &warm))).collect();
        warm.wait();
        listener.signal(SIGTERM);
        for client in clients {
            pattern.assert_begins_with(&client.join().unwrap());
        }
    });
    let end = listener.end().well();
    assert_eq!(end.lines("closed ").len(), 4);
    assert!(end.lines("closed ").iter().all(|line| field(line, "reason") == "fin"), "{end:#?}");
    assert_eq!(end.lines("stopped accepted=4 ").len(), 1, "{end:#?}");
}

#[test]
fn a_client_that_had_not_read_gets_all_that_was_taken_from_it_and_then_fin() {
    let mut listener = Listener::start(&["--drain", "60s"]);
    let (pattern, stream) = (Pattern::new(2), connect(listener.address));
    let sent = pattern.flood(&stream);
    listener.signal(SIGTERM);
    listener.line("draining connections=1 limit=60s");
    let received = read_to_fin(&stream);
    pattern.assert_begins_with(&received);
    assert!(!received.is_empty() && received.len() <= sent);
    stream.shutdown(Shutdown::Write).unwrap();
    let end = listener.end().well();
    let closed = end.lines("closed ")[0].to_owned();
    assert_eq!(field(&closed, "sent"), received.len().to_string(), "{closed}");
}

#[test]
fn clients_still_in_the_accept_queue_see_fin_too() {
    let mut listener = Listener::start(&["--drain", "60s"]);
    listener.signal(SIGSTOP);
    let streams: Vec<TcpStream> = (0..longest_queue().min(600)).map(|_| connect(listener.address)).collect();
    for mut stream in &streams {
        stream.write_all(b"hello").unwrap();
    }
    listener.signal(SIGTERM);
    listener.signal(SIGCONT);
    let clients = streams.len();
    for stream in streams {
        assert!(b"hello".starts_with(&read_to_fin(&stream)));
    }
    let end = listener.end().well();
    assert_eq!(end.lines("accepted ").len(), clients);
}

#[test]
fn nobody_new_is_accepted_while_it_drains() {
    let mut listener = Listener::start(&["--drain", "60s"]);
    let stream = connect(listener.address);
    round_trip(&stream, b"hello");
    listener.signal(SIGTERM);
    listener.line("draining ");
    assert!(TcpStream::connect(listener.address).is_err());
    drop(stream);
    listener.end().well();
}

#[test]
fn a_client_that_never_closes_is_aborted_when_the_drain_is_over() {
    for ending in [SIGTERM, SIGINT] {
        let mut listener = Listener::start(&["--drain", "200ms"]);
        let mut stream = connect(listener.address);
        round_trip(&stream, b"hello");
        let begin = Instant::now();
        listener.signal(ending);
        let end = listener.end().well();
        assert!(begin.elapsed() >= Duration::from_millis(100), "aborted after {:?}", begin.elapsed());
        assert!(end.lines("closed ")[0].contains(" reason=abort received=5 sent=5 "), "{end:#?}");
        assert_eq!(end.lines("stopped "), ["stopped accepted=1 received=5 sent=5"]);
        // First the FIN of the drain, then the RST of the abort.
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
        assert!(stream.write(b"x").is_err());
    }
}

#[test]
fn a_client_that_never_reads_is_aborted_when_the_drain_is_over() {
    let mut listener = Listener::start(&["--drain", "200ms"]);
    let stream = connect(listener.address);
    Pattern::new(3).flood(&stream);
    let end = listener.stop().well();
    assert!(end.lines("closed ")[0].contains(" reason=abort "), "{end:#?}");
    assert_eq!(read_to_error(&stream).raw_os_error(), Some(ECONNRESET));
}

#[test]
fn a_second_signal_ends_the_listener_at_once() {
    for (first, second, status) in [(SIGTERM, SIGTERM, 143), (SIGINT, SIGINT, 130), (SIGTERM, SIGINT, 130)] {
        let mut listener = Listener::start(&["--drain", "60s"]);
        let stream = connect(listener.address);
        round_trip(&stream, b"hello");
        listener.signal(first);
        listener.line("draining ");
        listener.signal(second);
        let end = listener.end().with_status(status);
        assert!(end.lines("closed ")[0].contains(" reason=abort "), "{end:#?}");
        assert_eq!(end.lines("stopped ").len(), 1, "{end:#?}");
    }
}

#[test]
fn an_idle_listener_stops_at_once() {
    for ending in [SIGTERM, SIGINT] {
        let mut listener = Listener::start(&["--drain", "60s"]);
        listener.signal(ending);
        let end = listener.end().well();
        assert_eq!(end.lines("stopped "), ["stopped accepted=0 received=0 sent=0"]);
        assert_eq!(end.stderr, "");
    }
}

#[test]
fn sigusr2_prints_the_number_of_open_connections() {
    let listener = Listener::start(&["--quiet"]);
    let (first, second) = (connect(listener.address), connect(listener.address));
    round_trip(&first, b"hello");
    round_trip(&second, b"hello");
    listener.signal(SIGUSR2);
    assert_eq!(listener.line("connections "), "connections open=2");
    first.shutdown(Shutdown::Write).unwrap();
    read_to_fin(&first);
    listener.signal(SIGUSR2);
    assert_eq!(listener.nth_line(2, "connections "), "connections open=1");
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Signals a connector and fails unless it ends well long before patience does.
#[track_caller]
fn ends_at_once(mut connector: Program, signal: Signal) -> program::End {
    let begin = Instant::now();
    connector.signal(signal);
    let end = connector.end().well();
    assert!(begin.elapsed() < PATIENCE / 4, "{signal} obeyed after {:?}", begin.elapsed());
    end
}

#[test]
fn the_connector_obeys_at_once_while_a_server_never_accepts() {
    for ending in [SIGINT, SIGTERM] {
        let server = TcpListener::bind(any_port()).unwrap();
        let connector = connector(any_port(), server.local_addr().unwrap(), &["--drain", "60s"]);
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
        connector(any_port(), server.local_addr().unwrap(), &["--drain", "60s", "--interval", "20ms"]);
    let mut stream = accept(&server);
    stream.read_exact(&mut [0; 6]).unwrap();
    let end = ends_at_once(connector, SIGINT);
    assert!(end.lines("summary ")[0].ends_with(" answered=0"), "{end:#?}");
    assert!(end.lines("closed ")[0].contains(" reason=local "), "{end:#?}");
}

#[test]
fn the_connector_obeys_at_once_while_the_server_answers() {
    let listener = Listener::start(&[]);
    let connector = connector(any_port(), listener.address, &["--drain", "60s", "--interval", "20ms"]);
    connector.line("answer sequence=3 ");
    let end = ends_at_once(connector, SIGINT);
    let summary = end.lines("summary ")[0].to_owned();
    assert!(field(&summary, "answered").parse::<u32>().unwrap() >= 3, "{summary}");
    assert!(summary.contains(" rtt-min=") && summary.contains(" rtt-mean=") && summary.contains(" rtt-max="));
}

#[test]
fn the_connector_obeys_at_once_in_syn_sent() {
    let (server, local) = (FullServer::new(), ReservedPort::new());
    let options = ["--drain", "60s", "--connect-timeout", "none"];
    let connector = connector(local.address(), server.address(), &options);
    wait_for_state(local.address(), server.address(), TcpState::SynSent);
    let end = ends_at_once(connector, SIGINT);
    assert_eq!(end.lines("established "), [""; 0]);
    assert_eq!(end.stderr, "");
}

#[test]
fn the_connector_sends_what_is_unsent_before_it_ends() {
    let (mut connector, stream) = connector_with_unsent_bytes(&["--drain", "60s"]);
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
        let (mut connector, _stream) = connector_with_unsent_bytes(&["--drain", "60s"]);
        connector.signal(first);
        connector.line("draining ");
        connector.signal(second);
        let end = connector.end().with_status(status);
        assert_eq!(end.lines("summary "), ["summary sent=1 answered=0"]);
    }
}
