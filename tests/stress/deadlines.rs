//! Clients that would stay for ever.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use socket2::{SockFilter, SockRef};

use super::Verdict;
use super::clients::{connect, connect_many, echo, eventually};
use super::server::Server;

/// 5,000 clients with one byte every 10 s beside a limit of 5 s: each is closed 5 s ± 0.2 s after its
/// byte, and honest clients notice nothing.
pub fn slowloris() -> Verdict {
    let server = Server::start(&["--receive-timeout", "5s"]);
    let over = AtomicBool::new(false);
    let (early, late) = thread::scope(|scope| {
        let mut honest = connect_many(server.address, 10);
        let over = &over;
        scope.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                honest.iter_mut().for_each(|client| echo(client, b"honest"));
                thread::sleep(Duration::from_millis(50));
            }
        });
        let lifetimes = lifetimes(connect_many(server.address, 5_000));
        over.store(true, Ordering::Relaxed);
        (lifetimes.iter().min().copied().unwrap(), lifetimes.iter().max().copied().unwrap())
    });
    let limit = Duration::from_secs(5);
    let tolerance = Duration::from_millis(200);
    Verdict::new(
        early + tolerance >= limit && late <= limit + tolerance,
        format!("closed after {early:.3?} to {late:.3?} (5 s ± 0.2 s), honest clients served"),
    )
}

/// Sends a byte on each stream, and returns how long after it each was closed.
fn lifetimes(streams: Vec<TcpStream>) -> Vec<Duration> {
    let mut poll = Poll::new().unwrap();
    let mut clients: Vec<_> = streams
        .into_iter()
        .enumerate()
        .map(|(index, stream)| {
            stream.set_nonblocking(true).unwrap();
            let mut stream = mio::net::TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(index), Interest::READABLE).unwrap();
            stream.write_all(b"x").unwrap();
            (stream, Instant::now())
        })
        .collect();
    let (mut events, mut lifetimes) = (Events::with_capacity(1024), Vec::new());
    while lifetimes.len() < clients.len() {
        poll.poll(&mut events, Some(Duration::from_secs(10))).unwrap();
        assert!(!events.is_empty(), "{} were never closed", clients.len() - lifetimes.len());
        for event in events.iter().filter(|event| event.is_read_closed()) {
            lifetimes.push(clients[event.token().0].1.elapsed());
        }
        for event in &events {
            let _ = clients[event.token().0].0.read(&mut [0; 16]);
        }
    }
    lifetimes
}

/// A peer whose packets no longer arrive is closed within 3.5 s, idle or with data in flight.
pub fn half_open_peers() -> Verdict {
    let server = Server::start(&["--keepalive", "1s", "--user-timeout", "3s"]);
    let closed_after = |in_flight: bool| {
        let mut client = connect(server.address);
        echo(&mut client, b"hello");
        let open = server.open_descriptors();
        hide_every_segment_from(&client);
        let start = Instant::now();
        if in_flight {
            client.write_all(b"the echo of this never arrives").unwrap();
        }
        eventually(|| server.open_descriptors() < open).then(|| start.elapsed())
    };
    let (idle, in_flight) = (closed_after(false), closed_after(true));
    let in_time = |took: Option<Duration>| took.is_some_and(|took| took <= Duration::from_millis(3_500));
    Verdict::new(
        in_time(idle) && in_time(in_flight),
        format!("idle {idle:.2?}, data in flight {in_flight:.2?} (3.5 s)"),
    )
}

/// A socket filter that keeps nothing.
fn hide_every_segment_from(stream: &TcpStream) {
    const BPF_RET: u16 = 0x06;
    let filter = [SockFilter::new(BPF_RET, 0, 0, 0)];
    SockRef::from(stream).attach_filter(&filter).expect("filters may be attached");
}
