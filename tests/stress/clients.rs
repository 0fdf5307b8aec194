//! Clients of every temper.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

pub fn connect_many(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    (0..count).map(|_| connect(address)).collect()
}

/// Clients whose own buffers are small: what they leave unread is the listener's to keep, and the
/// kernel's limit on TCP memory (tcp_mem) is not what is measured.
pub fn connect_many_small(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let connect = |_| {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(32 * 1024).unwrap();
        socket.set_send_buffer_size(32 * 1024).unwrap();
        socket.connect(&address.into()).unwrap();
        socket.into()
    };
    (0..count).map(connect).collect()
}

/// Sends `bytes` and waits until as many have come back.
pub fn echo(stream: &mut TcpStream, bytes: &[u8]) {
    let mut answer = vec![0; bytes.len()];
    stream.write_all(bytes).unwrap();
    stream.read_exact(&mut answer).unwrap();
    assert!(answer == bytes, "the echo differs");
}

/// Sends until nothing moves for a while; never reads.
pub fn stuff(clients: &[TcpStream]) {
    let mut last_progress = Instant::now();
    while last_progress.elapsed() < Duration::from_millis(300) {
        if clients.iter().map(fill).sum::<usize>() > 0 {
            last_progress = Instant::now();
        }
    }
}

/// Sends until the kernel takes no more, and returns how many bytes it took.
pub fn fill(client: &TcpStream) -> usize {
    client.set_nonblocking(true).unwrap();
    let (piece, mut taken) = ([b'x'; 64 * 1024], 0);
    loop {
        match SockRef::from(client).send(&piece) {
            Ok(length) => taken += length,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                return taken;
            }
        }
    }
}

/// Leaves with RST.
pub fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// The 99th percentile of `rounds` round trips of 64 bytes.
pub fn p99(stream: &mut TcpStream, rounds: usize) -> Duration {
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            echo(stream, &[b'p'; 64]);
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[rounds * 99 / 100]
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Waits until `holds`, for ten seconds at most; whether it came to hold.
pub fn eventually(holds: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}
