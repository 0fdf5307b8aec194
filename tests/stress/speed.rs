//! System calls and speed of accepting.

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::Verdict;
use super::clients::{connect, connect_many, echo};
use super::server::Server;

/// 50 busy connections: at most 2.05 calls an echo.
pub fn calls_per_echo() -> Verdict {
    let server = Server::start(&[]);
    let mut clients = connect_many(server.address, 50);
    clients.iter_mut().for_each(|client| echo(client, b"warm"));
    let rounds = 400;
    let calls = server.count_calls(|| {
        for _ in 0..rounds {
            clients.iter_mut().for_each(|client| client.write_all(&[b'x'; 64]).unwrap());
            clients.iter_mut().for_each(|client| client.read_exact(&mut [0; 64]).unwrap());
        }
    });
    let each = calls.values().sum::<u64>() as f64 / (50 * rounds) as f64;
    Verdict::new(each <= 2.05, format!("{each:.3} (2.05)"))
}

/// Connect, echo, close, 50 at a time: at most 6.3 calls each on a specific address, 7.3 on the wildcard.
pub fn calls_per_connection() -> Verdict {
    let measure = |ip| {
        let server = Server::start_on(ip, &[]);
        let rounds = 40;
        let calls = server.count_calls(|| {
            for _ in 0..rounds {
                let mut clients = connect_many(server.address, 50);
                clients.iter_mut().for_each(|client| client.write_all(&[b'x'; 64]).unwrap());
                clients.iter_mut().for_each(|client| client.read_exact(&mut [0; 64]).unwrap());
            }
        });
        calls.values().sum::<u64>() as f64 / (50 * rounds) as f64
    };
    let (specific, wildcard) = (measure("127.0.0.1"), measure("0.0.0.0"));
    Verdict::new(
        specific <= 6.3 && wildcard <= 7.3,
        format!("{specific:.2} on a specific address (6.3), {wildcard:.2} on the wildcard (7.3)"),
    )
}

/// 64 KiB messages: a write for each read, and nobody waits for a delayed ACK (40 ms).
pub fn large_messages() -> Verdict {
    let server = Server::start(&[]);
    let mut client = connect(server.address);
    let message = vec![b'x'; 64 * 1024];
    echo(&mut client, &message);
    let calls = server.count_calls(|| (0..200).for_each(|_| echo(&mut client, &message)));
    let writes = calls["sendto"] as f64 / calls["recvfrom"] as f64;
    let slowest = (0..2000).map(|_| {
        let start = Instant::now();
        echo(&mut client, &message);
        start.elapsed()
    });
    let slowest = slowest.max().unwrap();
    Verdict::new(
        writes <= 1.0 && slowest < Duration::from_millis(40),
        format!("{writes:.2} writes a read (1), slowest of 2,000 {slowest:.2?} (40 ms)"),
    )
}

/// 8,000 connects at once: all accepted in under a second, no overflow of the accept queue.
pub fn burst() -> Verdict {
    let server = Server::start(&["--backlog", "8192"]);
    // Stays: one that leaves would be missing from the count below.
    let mut first = connect(server.address);
    echo(&mut first, b"ready");
    let overflows = listen_overflows();
    let before = server.open_descriptors();
    let start = Instant::now();
    let clients: Vec<Socket> = (0..8_000).map(|_| begin_connect(server.address)).collect();
    let deadline = start + Duration::from_secs(10);
    while server.open_descriptors() < before + clients.len() && Instant::now() < deadline {}
    let took = start.elapsed();
    let overflows = listen_overflows() - overflows;
    Verdict::new(
        took < Duration::from_secs(1) && overflows == 0,
        format!("{took:.2?} (1 s), {overflows} overflows (0)"),
    )
}

fn begin_connect(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_nonblocking(true).unwrap();
    let _ = socket.connect(&address.into());
    socket
}

/// The kernel's count, nstat's TcpExtListenOverflows.
fn listen_overflows() -> u64 {
    let netstat = fs::read_to_string("/proc/net/netstat").unwrap();
    let rows: Vec<Vec<&str>> = netstat
        .lines()
        .filter(|line| line.starts_with("TcpExt:"))
        .map(|line| line.split_whitespace().collect())
        .collect();
    let column = rows[0].iter().position(|&name| name == "ListenOverflows").unwrap();
    rows[1][column].parse().unwrap()
}
