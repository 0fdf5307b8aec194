//! Nobody's load is another one's delay.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::Verdict;
use super::clients::{connect, connect_many, echo, median, p99, reset};
use super::server::Server;

/// The median, over ten interleaved rounds, of p99 beside `load` to p99 without.
fn p99_beside(client: &mut TcpStream, load: impl Fn(&AtomicBool) + Sync) -> f64 {
    p99(client, 1000);
    let ratios = (0..10).map(|_| {
        let alone = p99(client, 2000);
        let over = AtomicBool::new(false);
        let beside = thread::scope(|scope| {
            scope.spawn(|| load(&over));
            thread::sleep(Duration::from_millis(20));
            let beside = p99(client, 2000);
            over.store(true, Ordering::Relaxed);
            beside
        });
        beside.as_secs_f64() / alone.as_secs_f64()
    });
    median(ratios.collect())
}

/// 2,000 connects a second do not raise an established client's p99 above 3 ×.
pub fn connects() -> Verdict {
    let server = Server::start(&[]);
    let mut client = connect(server.address);
    let ratio = p99_beside(&mut client, |over| connect_at_rate(server.address, 2_000, over));
    Verdict::new(ratio <= 3.0, format!("× {ratio:.2} (3)"))
}

fn connect_at_rate(address: SocketAddr, each_second: u32, over: &AtomicBool) {
    let (start, interval) = (Instant::now(), Duration::from_secs(1) / each_second);
    for connect_number in 0.. {
        if over.load(Ordering::Relaxed) {
            return;
        }
        let due = start + interval * connect_number;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        reset(connect(address));
    }
}

/// Two workers both accept, their totals add up, a flood on one leaves the other's p99 within 3 ×, and
/// SIGTERM ends both.
pub fn workers() -> Verdict {
    let server = Server::start(&["--workers", "2"]);
    let mut clients = connect_many(server.address, 40);
    let mut by_worker: BTreeMap<String, Vec<TcpStream>> = BTreeMap::new();
    let mut echoed = 0;
    for mut client in clients.drain(..) {
        let before = server.run_times();
        (0..200).for_each(|_| echo(&mut client, &[b'w'; 64]));
        echoed += 200 * 64;
        let ran =
            |(thread, time): &(String, Duration)| *time - before.get(thread).copied().unwrap_or_default();
        let (worker, _) = server.run_times().into_iter().max_by_key(ran).unwrap();
        by_worker.entry(worker).or_default().push(client);
    }
    let share: Vec<usize> = by_worker.values().map(Vec::len).collect();
    let share = format!("{share:?} of 40 clients");
    let mut workers: Vec<_> = by_worker.into_values().collect();
    workers.sort_by_key(Vec::len);
    let (Some(first), Some(mut second)) = (workers.pop(), workers.pop()) else {
        return Verdict::new(false, share);
    };
    let mut honest = second.pop().unwrap();
    let ratio = p99_beside(&mut honest, |over| flood(&first[0], over));
    drop((first, second, honest));
    let (last, status) = server.stop();
    // The flood and the measured round trips are counted by the listener alone.
    let field = |key: &str| -> u64 {
        last.split(' ').find_map(|field| field.strip_prefix(key)).unwrap().parse().unwrap()
    };
    let adds_up =
        field("accepted=") == 40 && field("received=") == field("sent=") && field("sent=") >= echoed;
    Verdict::new(
        ratio <= 3.0 && adds_up && status.success(),
        format!("{share}, p99 beside a flood × {ratio:.2} (3), {last}, {status}"),
    )
}

/// Sends 256 KiB and reads its echo, again and again.
fn flood(mut stream: &TcpStream, over: &AtomicBool) {
    let (piece, mut back) = (vec![b'f'; 256 * 1024], vec![0; 256 * 1024]);
    while !over.load(Ordering::Relaxed) {
        stream.write_all(&piece).unwrap();
        stream.read_exact(&mut back).unwrap();
    }
}
