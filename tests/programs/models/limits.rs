//! Timeouts, the most connections at once, and the end of descriptors.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal::{SIGCONT, SIGSTOP};

use super::model::{Model, signal_all};
use crate::program::client::{Pattern, connect, connect_with_receive_buffer, read_to_fin, round_trip};
use crate::program::{Listener, until};

claims! { every_model under event_loop, sequential, thread, fork: {
    a_silent_client_is_closed_after_the_receive_timeout,
    a_client_that_sends_now_and_then_is_not_closed_by_the_receive_timeout,
    bytes_that_arrived_in_time_count_though_the_listener_comes_to_them_late,
    a_client_that_does_not_read_is_reset_after_the_send_timeout,
    a_client_that_reads_slowly_is_not_closed_by_the_send_timeout,
} }

claims! { many_at_once under event_loop, thread, fork: {
    the_send_timeout_leaves_those_alone_who_have_nothing_unsent,
    one_beyond_max_connections_is_told_and_closed_and_a_place_that_comes_free_is_given_again,
} }

claims! { one_process under event_loop, thread: {
    the_soft_limit_on_descriptors_is_raised_to_the_hard_one,
    out_of_descriptors_it_says_so_once_and_loses_nobody,
} }

fn a_silent_client_is_closed_after_the_receive_timeout(model: Model) {
    let listener = model.start(&["--receive-timeout", "200ms"]);
    let stream = connect(listener.address);
    let begin = Instant::now();
    assert_eq!(read_to_fin(&stream), b"");
    assert!(begin.elapsed() >= Duration::from_millis(100), "closed after {:?}", begin.elapsed());
    assert!(listener.line("closed ").contains(" reason=receive-timeout received=0 sent=0 "));
}

fn a_client_that_sends_now_and_then_is_not_closed_by_the_receive_timeout(model: Model) {
    let listener = model.start(&["--receive-timeout", "3s"]);
    let stream = connect(listener.address);
    for _ in 0..16 {
        round_trip(&stream, b"hello");
        thread::sleep(Duration::from_millis(200));
    }
    round_trip(&stream, b"hello");
    assert!(!listener.said().contains("closed "));
}

fn bytes_that_arrived_in_time_count_though_the_listener_comes_to_them_late(model: Model) {
    let listener = model.start(&["--receive-timeout", "3s"]);
    let mut stream = connect(listener.address);
    round_trip(&stream, b"hello");
    signal_all(&listener, SIGSTOP);
    stream.write_all(b"in time").unwrap();
    thread::sleep(Duration::from_millis(3200));
    signal_all(&listener, SIGCONT);
    let mut echo = [0; 7];
    stream.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"in time");
}

fn a_client_that_does_not_read_is_reset_after_the_send_timeout(model: Model) {
    let listener = model.start(&["--send-timeout", "200ms"]);
    resets_the_deaf(&listener);
}

fn the_send_timeout_leaves_those_alone_who_have_nothing_unsent(model: Model) {
    let listener = model.start(&["--send-timeout", "200ms"]);
    let idle = connect(listener.address);
    round_trip(&idle, b"hello");
    resets_the_deaf(&listener);
    round_trip(&idle, b"hello");
}

#[track_caller]
fn resets_the_deaf(listener: &Listener) {
    let (pattern, mut deaf) = (Pattern::new(3), connect(listener.address));
    let error = until("an error", || deaf.write_all(pattern.from(0)).err());
    assert_eq!(error.raw_os_error(), Some(nix::libc::ECONNRESET));
    let closed = listener.line("closed ");
    let deaf = format!(" remote={} reason=send-timeout ", deaf.local_addr().unwrap());
    assert!(closed.contains(&deaf), "{closed}");
}

fn a_client_that_reads_slowly_is_not_closed_by_the_send_timeout(model: Model) {
    const LENGTH: usize = 256 * 1024;
    let options = ["--send-timeout", "3s", "--send-buffer", "16KiB", "--receive-buffer", "512KiB"];
    let listener = model.start(&options);
    let (pattern, mut slow) = (Pattern::new(6), connect_with_receive_buffer(listener.address, 8192));
    // It reads all at once, and most of that stays unsent for longer than the timeout.
    signal_all(&listener, SIGSTOP);
    slow.write_all(&pattern.bytes(LENGTH)).unwrap();
    signal_all(&listener, SIGCONT);
    let mut received = vec![0; LENGTH];
    for piece in received.chunks_mut(8192) {
        slow.read_exact(piece).unwrap();
        thread::sleep(Duration::from_millis(120));
    }
    pattern.assert_begins_with(&received);
}

fn one_beyond_max_connections_is_told_and_closed_and_a_place_that_comes_free_is_given_again(model: Model) {
    let mut listener = model.start(&["--max-connections", "2"]);
    let (first, second) = (connect(listener.address), connect(listener.address));
    round_trip(&first, b"first");
    round_trip(&second, b"second");
    let third = connect(listener.address);
    let remote = third.local_addr().unwrap();
    assert_eq!(
        listener.line("refused "),
        format!("refused local={} remote={remote} reason=max-connections", listener.address)
    );
    assert_eq!(read_to_fin(&third), b"");
    round_trip(&first, b"first still");
    round_trip(&second, b"second still");
    drop(first);
    listener.line("closed ");
    round_trip(&connect(listener.address), b"fourth");
    drop(second);
    listener.nth_line(3, "closed ");
    let end = listener.stop().well();
    assert_eq!((end.lines("accepted ").len(), end.lines("refused ").len()), (3, 1), "{end:#?}");
}

fn the_soft_limit_on_descriptors_is_raised_to_the_hard_one(model: Model) {
    let mut listener = Listener::with_descriptors("-S -n", 24, &model.options(&[]));
    let streams: Vec<TcpStream> = (0..64).map(|_| connect(listener.address)).collect();
    for stream in &streams {
        round_trip(stream, b"hello");
    }
    drop(streams);
    assert_eq!(listener.stop().well().lines("accept-paused"), [""; 0]);
}

fn out_of_descriptors_it_says_so_once_and_loses_nobody(model: Model) {
    let mut listener = Listener::with_descriptors("-n", 24, &model.options(&[]));
    let mut streams: Vec<TcpStream> = (0..32).map(|_| connect(listener.address)).collect();
    assert_eq!(listener.line("accept-paused"), "accept-paused reason=EMFILE");
    for mut stream in streams.drain(..) {
        stream.write_all(b"hello").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_fin(&stream), b"hello");
    }
    listener.line("accept-resumed");
    round_trip(&connect(listener.address), b"later");
    listener.nth_line(33, "closed ");
    let end = listener.stop().well();
    assert_eq!((end.lines("accept-paused").len(), end.lines("accept-resumed").len()), (1, 1), "{end:#?}");
    assert_eq!(end.lines("accepted ").len(), 33);
}
