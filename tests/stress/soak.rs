//! Many chaotic clients for a long time.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use super::Verdict;
use super::clients::{connect, echo, eventually, fill, reset};
use super::server::Server;

const CONNECTIONS: u64 = 50_000;
const BYTES: u64 = 10_000_000_000;
const THREADS: u64 = 4;

/// What is sent: byte n of connection c is `PATTERN[(n + c) % 251]`, so a byte out of place shows.
struct Pattern(Vec<u8>);

impl Pattern {
    fn new() -> Self {
        Self((0..251).cycle().take(256 * 1024 + 251).collect())
    }

    fn at(&self, position: u64, length: usize) -> &[u8] {
        let start = (position % 251) as usize;
        &self.0[start..start + length]
    }
}

/// A small generator of pseudorandom numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// 10 GB over 50,000 connections, some reset, some half-closed, some that stop reading: no byte is
/// lost, memory and descriptors are at the end as at the start.
pub fn chaos() -> Verdict {
    let server = Server::start(&[]);
    let mut first = connect(server.address);
    echo(&mut first, &vec![b'x'; 1024 * 1024]);
    let (memory, descriptors) = (server.anonymous_memory(), server.open_descriptors());
    let (start, wrong) = (Instant::now(), AtomicU64::new(0));
    let echoed = AtomicU64::new(0);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (wrong, echoed, address) = (&wrong, &echoed, server.address);
            scope.spawn(move || {
                let (pattern, mut random) = (Pattern::new(), Random(thread));
                for number in 0..CONNECTIONS / THREADS {
                    match one_client(address, number, &pattern, &mut random) {
                        Some(bytes) => echoed.fetch_add(bytes, Ordering::Relaxed),
                        None => wrong.fetch_add(1, Ordering::Relaxed),
                    };
                }
            });
        }
    });
    let took = start.elapsed();
    let same_descriptors = eventually(|| server.open_descriptors() == descriptors);
    let ratio = server.anonymous_memory() as f64 / memory as f64;
    let (wrong, echoed) = (wrong.into_inner(), echoed.into_inner());
    Verdict::new(
        wrong == 0 && echoed >= BYTES && same_descriptors && ratio <= 1.1,
        format!(
            "{:.1} GB in {took:.0?}, {wrong} connections with a byte lost (0), memory × {ratio:.2} (1.10), \
             descriptors as before: {same_descriptors}",
            echoed as f64 / 1e9
        ),
    )
}

/// How many bytes were echoed and right; `None` where one was not.
fn one_client(address: SocketAddr, number: u64, pattern: &Pattern, random: &mut Random) -> Option<u64> {
    let stream = connect(address);
    match random.below(10) {
        0 => {
            // Gone with its echo on the way.
            (&stream).write_all(b"never mind").unwrap();
            reset(stream);
            Some(0)
        }
        1 => {
            // Never reads what the listener is stuck with.
            fill(&stream);
            reset(stream);
            Some(0)
        }
        _ => {
            let bytes = random.below(2 * BYTES / CONNECTIONS * 10 / 8) + BYTES / CONNECTIONS / 20;
            exchange(&stream, number, bytes, pattern, random).then_some(bytes)
        }
    }
}

/// Sends `bytes` in pieces, half-closes, and reads meanwhile until FIN; whether all came back in order.
fn exchange(stream: &TcpStream, number: u64, bytes: u64, pattern: &Pattern, random: &mut Random) -> bool {
    thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let (mut stream, mut buffer, mut position) = (stream, vec![0; 256 * 1024], 0);
            loop {
                match stream.read(&mut buffer) {
                    Ok(0) => return position == bytes,
                    Ok(length) if buffer[..length] == *pattern.at(number + position, length) => {
                        position += length as u64;
                    }
                    _ => return false,
                }
            }
        });
        let (mut stream, mut position) = (stream, 0);
        while position < bytes {
            let length = (random.below(64 * 1024) + 1).min(bytes - position);
            stream.write_all(pattern.at(number + position, length as usize)).unwrap();
            position += length;
        }
        stream.shutdown(Shutdown::Write).unwrap();
        reader.join().unwrap()
    })
}
