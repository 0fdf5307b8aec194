//! SIGINT, SIGTERM and SIGUSR2: what was read is answered whole, then FIN, and nobody keeps a listener from ending.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use nix::libc::ECONNRESET;
use nix::sys::signal::Signal::{SIGCONT, SIGINT, SIGSTOP, SIGTERM, SIGUSR2};

use super::model::Model;
use crate::program::client::{MIB, Pattern, connect, read_to_error, read_to_fin, round_trip};
use crate::program::field;
use crate::program::kernel::longest_queue;

claims! { every_model under event_loop, sequential, thread, fork: {
    a_client_that_had_not_read_gets_all_that_was_taken_from_it_and_then_fin,
    a_client_that_sends_on_after_the_fin_is_not_reset,
    a_client_without_any_timeout_is_finished_at_once,
    clients_still_in_the_accept_queue_see_fin_too,
    nobody_new_is_accepted_while_it_drains,
    a_client_that_never_closes_is_aborted_when_the_drain_is_over,
    a_client_that_never_reads_is_aborted_when_the_drain_is_over,
    a_second_signal_ends_the_listener_at_once,
    an_idle_listener_stops_at_once,
    sigusr2_prints_the_number_of_open_connections,
} }

claims! { many_at_once under event_loop, thread, fork: {
    under_load_each_client_sees_a_prefix_of_what_it_sent_and_then_fin,
    nobody_is_accepted_who_comes_after_the_stop,
    sigusr2_counts_all_that_are_open,
} }

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

fn under_load_each_client_sees_a_prefix_of_what_it_sent_and_then_fin(model: Model) {
    let mut listener = model.start(&["--drain", "1h"]);
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
    assert_eq!(end.lines("stopped accepted=4").len(), 1, "{end:#?}");
}

fn a_client_that_had_not_read_gets_all_that_was_taken_from_it_and_then_fin(model: Model) {
    let mut listener = model.start(&["--drain", "1h"]);
    let (pattern, stream) = (Pattern::new(2), connect(listener.address));
    let sent = pattern.flood(&stream);
    listener.signal(SIGTERM);
    listener.line("draining connections=1 limit=3600s");
    let received = read_to_fin(&stream);
    pattern.assert_begins_with(&received);
    assert!(!received.is_empty() && received.len() <= sent);
    stream.shutdown(Shutdown::Write).unwrap();
    let end = listener.end().well();
    let closed = end.lines("closed ")[0].to_owned();
    assert_eq!(field(&closed, "sent"), received.len().to_string(), "{closed}");
}

fn clients_still_in_the_accept_queue_see_fin_too(model: Model) {
    let mut listener = model.start(&["--drain", "1h"]);
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

/// Clients that come again as soon as they are served, until they are refused.
fn nobody_is_accepted_who_comes_after_the_stop(model: Model) {
    const CLIENTS: usize = 50;
    let mut listener = model.start(&["--drain", "1h"]);
    listener.signal(SIGSTOP);
    let waiting = Barrier::new(CLIENTS + 1);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let first = connect(listener.address);
                waiting.wait();
                read_after_fin(first);
                while let Ok(again) = TcpStream::connect(listener.address) {
                    read_after_fin(again);
                }
            });
        }
        waiting.wait();
        listener.signal(SIGTERM);
        listener.signal(SIGCONT);
    });
    let end = listener.end().well();
    assert!(end.lines("accepted ").len() <= CLIENTS, "{end:#?}");
}

/// Ends the connection; it may have been reset, and then it was not accepted.
fn read_after_fin(mut stream: TcpStream) {
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read(&mut [0; 1]);
}

fn nobody_new_is_accepted_while_it_drains(model: Model) {
    let mut listener = model.start(&["--drain", "1h"]);
    let stream = connect(listener.address);
    round_trip(&stream, b"hello");
    listener.signal(SIGTERM);
    listener.line("draining ");
    assert!(TcpStream::connect(listener.address).is_err());
    drop(stream);
    listener.end().well();
}

fn a_client_that_never_closes_is_aborted_when_the_drain_is_over(model: Model) {
    for ending in [SIGTERM, SIGINT] {
        let mut listener = model.start(&["--drain", "200ms"]);
        let mut stream = connect(listener.address);
        round_trip(&stream, b"hello");
        let begin = Instant::now();
        listener.signal(ending);
        let end = listener.end().well();
        assert!(begin.elapsed() >= Duration::from_millis(100), "aborted after {:?}", begin.elapsed());
        assert!(end.lines("closed ")[0].contains(" reason=abort received=5 sent=5 "), "{end:#?}");
        assert_eq!(end.lines("stopped "), [model.stopped(1, 5)]);
        // First the FIN of the drain, then the RST of the abort.
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
        assert!(stream.write(b"x").is_err());
    }
}

fn a_client_that_never_reads_is_aborted_when_the_drain_is_over(model: Model) {
    let mut listener = model.start(&["--drain", "200ms"]);
    let stream = connect(listener.address);
    Pattern::new(3).flood(&stream);
    let end = listener.stop().well();
    assert!(end.lines("closed ")[0].contains(" reason=abort "), "{end:#?}");
    assert_eq!(read_to_error(&stream).raw_os_error(), Some(ECONNRESET));
}

fn a_second_signal_ends_the_listener_at_once(model: Model) {
    for (first, second, status) in [(SIGTERM, SIGTERM, 143), (SIGINT, SIGINT, 130), (SIGTERM, SIGINT, 130)] {
        let mut listener = model.start(&["--drain", "1h"]);
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

fn an_idle_listener_stops_at_once(model: Model) {
    for ending in [SIGTERM, SIGINT] {
        let mut listener = model.start(&["--drain", "1h"]);
        listener.signal(ending);
        let end = listener.end().well();
        assert_eq!(end.lines("stopped "), [model.stopped(0, 0)]);
        assert_eq!(end.stderr, "");
    }
}

fn sigusr2_prints_the_number_of_open_connections(model: Model) {
    let listener = model.start(&["--quiet"]);
    let stream = connect(listener.address);
    round_trip(&stream, b"hello");
    listener.signal(SIGUSR2);
    assert_eq!(listener.line("connections "), "connections open=1");
    round_trip(&stream, b"hello again");
}

fn sigusr2_counts_all_that_are_open(model: Model) {
    let listener = model.start(&[]);
    let (first, second) = (connect(listener.address), connect(listener.address));
    round_trip(&first, b"hello");
    round_trip(&second, b"hello");
    listener.signal(SIGUSR2);
    assert_eq!(listener.line("connections "), "connections open=2");
    drop(first);
    listener.line("closed ");
    listener.signal(SIGUSR2);
    assert_eq!(listener.nth_line(2, "connections "), "connections open=1");
}

fn a_client_that_sends_on_after_the_fin_is_not_reset(model: Model) {
    let mut listener = model.start(&["--drain", "1h"]);
    let mut stream = connect(listener.address);
    round_trip(&stream, b"hello");
    listener.signal(SIGTERM);
    assert_eq!(read_to_fin(&stream), b"");
    // What nobody will answer is read all the same: closing with it unread would be an RST.
    for piece in Pattern::new(4).bytes(MIB).chunks(1000) {
        stream.write_all(piece).unwrap();
    }
    stream.shutdown(Shutdown::Write).unwrap();
    let end = listener.end().well();
    assert!(end.lines("closed ")[0].contains(" reason=fin "), "{end:#?}");
}

fn a_client_without_any_timeout_is_finished_at_once(model: Model) {
    let listener = model.start(&["--receive-timeout", "none", "--send-timeout", "none", "--drain", "1h"]);
    let stream = connect(listener.address);
    round_trip(&stream, b"hello");
    listener.signal(SIGTERM);
    assert_eq!(read_to_fin(&stream), b"");
}
