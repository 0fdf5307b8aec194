//! Every byte comes back in its place, whatever other clients do.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal::{SIGCONT, SIGSTOP};
use socket2::SockRef;

use super::model::Model;
use crate::program::Listener;
use crate::program::client::{MIB, Pattern, connect, exchange, read_to_fin, reset, round_trip};
use crate::program::kernel::row_of;

claims! { every_model under event_loop, sequential, thread, fork: {
    every_byte_comes_back_while_other_connections_are_reset,
    a_client_that_half_closes_gets_everything_and_then_fin,
    a_half_close_without_a_byte_is_answered_with_fin,
    a_connection_is_told_with_its_four_tuple_when_it_opens_and_when_it_ends,
    the_ipv4_wildcard_says_at_which_address_it_was_reached,
    an_urgent_byte_is_echoed_in_its_place,
    a_reset_is_told_as_such_whether_the_listener_reads_or_not,
    clients_that_are_gone_before_they_are_accepted_do_not_disturb_others,
} }

claims! { many_at_once under event_loop, thread, fork: {
    clients_that_are_idle_or_do_not_read_do_not_disturb_others,
} }

claims! { one_at_a_time under sequential: {
    the_second_client_is_accepted_when_the_first_has_left,
} }

/// Exchanges `each` bytes over each of four connections while others are reset.
fn exchange_over_four(model: Model, each: usize) {
    let mut listener = model.start(&[]);
    let address = listener.address;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let resetting = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let mut stream = connect(address);
                stream.write_all(&[b'x'; 4096]).unwrap();
                reset(stream);
                thread::sleep(Duration::from_millis(2));
            }
        });
        let exchanges: Vec<_> =
            (1..=4).map(|seed| scope.spawn(move || exchange(address, each, seed))).collect();
        let accounts: Vec<_> = exchanges.into_iter().map(|exchange| exchange.join()).collect();
        done.store(true, Ordering::Relaxed);
        resetting.join().unwrap();
        for account in accounts {
            let (sent, received) = account.unwrap();
            assert_eq!(sent.bytes, each);
            assert_eq!(received, sent);
        }
    });
    let end = listener.stop().well();
    let whole = format!("reason=fin received={each} sent={each} ");
    assert_eq!(end.lines("closed ").iter().filter(|line| line.contains(&whole)).count(), 4, "{end:#?}");
}

fn every_byte_comes_back_while_other_connections_are_reset(model: Model) {
    exchange_over_four(model, 16 * MIB);
}

#[test]
#[ignore = "long: make soak"]
fn every_byte_of_a_gibibyte_comes_back_while_other_connections_are_reset() {
    exchange_over_four(Model::event_loop(), 256 * MIB);
}

fn a_client_that_half_closes_gets_everything_and_then_fin(model: Model) {
    let listener = model.start(&[]);
    let pattern = Pattern::new(1);
    let stream = connect(listener.address);
    // More than the listener has echoed yet: it has stopped reading and keeps a tail unsent.
    let sent = pattern.flood(&stream);
    stream.shutdown(Shutdown::Write).unwrap();
    let received = read_to_fin(&stream);
    assert_eq!(received.len(), sent);
    pattern.assert_begins_with(&received);
    let closed = listener.line("closed ");
    assert!(closed.contains(&format!(" reason=fin received={sent} sent={sent} ")), "{closed}");
}

fn a_half_close_without_a_byte_is_answered_with_fin(model: Model) {
    let listener = model.start(&[]);
    let stream = connect(listener.address);
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_fin(&stream), b"");
    assert!(listener.line("closed ").contains(" reason=fin received=0 sent=0 "));
}

fn a_connection_is_told_with_its_four_tuple_when_it_opens_and_when_it_ends(model: Model) {
    let listener = model.start(&[]);
    let stream = connect(listener.address);
    let tuple = format!("local={} remote={}", listener.address, stream.local_addr().unwrap());
    assert_eq!(listener.line("accepted "), format!("accepted {tuple}"));
    round_trip(&stream, b"hello");
    drop(stream);
    let closed = listener.line("closed ");
    assert!(
        closed.starts_with(&format!("closed {tuple} reason=fin received=5 sent=5 duration=")),
        "{closed}"
    );
}

fn the_ipv4_wildcard_says_at_which_address_it_was_reached(model: Model) {
    let listener = Listener::on("0.0.0.0", &model.options(&[]));
    for ip in ["127.0.0.1", "127.0.0.2"] {
        let address = SocketAddr::new(ip.parse().unwrap(), listener.address.port());
        round_trip(&connect(address), b"hello");
        listener.line(&format!("accepted local={address} "));
    }
}

fn an_urgent_byte_is_echoed_in_its_place(model: Model) {
    let listener = model.start(&[]);
    let mut stream = connect(listener.address);
    for _ in 0..100 {
        stream.write_all(b"ab").unwrap();
        SockRef::from(&stream).send_out_of_band(b"c").unwrap();
        stream.write_all(b"de").unwrap();
        let mut echo = [0; 5];
        stream.read_exact(&mut echo).unwrap();
        assert_eq!(&echo, b"abcde");
    }
    SockRef::from(&stream).send_out_of_band(b"z").unwrap();
    let mut echo = [0; 1];
    stream.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"z");
    SockRef::from(&stream).send_out_of_band(b"last").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_fin(&stream), b"last");
}

fn a_reset_is_told_as_such_whether_the_listener_reads_or_not(model: Model) {
    let listener = model.start(&[]);
    let reading = connect(listener.address);
    round_trip(&reading, b"hello");
    reset(reading);
    assert!(listener.nth_line(1, "closed ").contains(" reason=reset received=5 sent=5 "));
    let paused = connect(listener.address);
    Pattern::new(4).flood(&paused);
    reset(paused);
    assert!(listener.nth_line(2, "closed ").contains(" reason=reset "));
    let half_closed = connect(listener.address);
    Pattern::new(4).flood(&half_closed);
    half_closed.shutdown(Shutdown::Write).unwrap();
    reset(half_closed);
    let closed = listener.nth_line(3, "closed ");
    assert!(closed.contains(" reason=reset "), "{closed}");
}

fn clients_that_are_gone_before_they_are_accepted_do_not_disturb_others(model: Model) {
    let listener = model.start(&[]);
    listener.signal(SIGSTOP);
    for _ in 0..10 {
        reset(connect(listener.address));
    }
    let stream = connect(listener.address);
    listener.signal(SIGCONT);
    round_trip(&stream, b"hello");
    listener.line(&format!("accepted local={} remote={}", listener.address, stream.local_addr().unwrap()));
}

fn clients_that_are_idle_or_do_not_read_do_not_disturb_others(model: Model) {
    let listener = model.start(&[]);
    let round_trips = |stream: &TcpStream| {
        let begin = Instant::now();
        (0..50).for_each(|_| round_trip(stream, b"hello"));
        begin.elapsed()
    };
    let alone = round_trips(&connect(listener.address));
    let _idle: Vec<TcpStream> = (0..10).map(|_| connect(listener.address)).collect();
    let (pattern, deaf) = (Pattern::new(2), connect(listener.address));
    let sent = pattern.flood(&deaf);
    let stream = connect(listener.address);
    let beside = round_trips(&stream);
    assert!(
        beside < 20 * alone + Duration::from_secs(1),
        "50 round trips: {alone:?} alone, {beside:?} beside them"
    );
    // What the listener keeps for a client that does not read is bounded; most of this is in the kernel.
    assert!(sent < 100 * MIB, "{sent} bytes taken from a client that does not read");
    deaf.shutdown(Shutdown::Write).unwrap();
    let received = read_to_fin(&deaf);
    assert_eq!(received.len(), sent);
    pattern.assert_begins_with(&received);
}

fn the_second_client_is_accepted_when_the_first_has_left(model: Model) {
    let listener = model.start(&[]);
    let (first, mut second) = (connect(listener.address), connect(listener.address));
    round_trip(&first, b"first");
    second.write_all(b"second").unwrap();
    round_trip(&first, b"first still");
    // Of a listening socket, what is unread are the connections in its accept queue.
    let queue = row_of(listener.address, SocketAddr::from(([0, 0, 0, 0], 0))).unwrap().unread;
    assert_eq!(queue, 1);
    assert!(!listener.said().contains(&format!("remote={}", second.local_addr().unwrap())));
    drop(first);
    let mut echo = [0; 6];
    second.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"second");
}
