//! The relay: many rooms at once, and clients that leave in every way.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Verdict;
use super::clients::{connect, connect_many, eventually, median, reset};
use super::crowd::Crowd;
use super::server::Server;

/// 5,000 rooms busy at once for ten seconds: each message is delivered once, in order, to the right partner.
pub fn busy() -> Verdict {
    let relay = Server::relay(&[]);
    let mut crowd = Crowd::connect(relay.address, 10_000, true);
    let counted = relay.status() == "status clients=10000 rooms=5000 waiting=0";
    let delays = crowd.talk(Duration::from_secs(10));
    let wrong = crowd.wrong.len();
    Verdict::new(
        wrong == 0 && counted && crowd.heard() >= 10_000,
        format!(
            "{} messages, {wrong} lost, doubled or astray (0), p99 {:.1?}, {:?}",
            crowd.heard(),
            delays[delays.len() * 99 / 100],
            crowd.wrong.first()
        ),
    )
}

/// One client in 5,000 rooms is stopped, and its partner sends all that it can: the p99 of the others stays within a
/// factor of 2 of before, and no message takes longer than a second.
pub fn one_stopped() -> Verdict {
    let relay = Server::relay(&["--turns", "off"]);
    let mut crowd = Crowd::connect(relay.address, 10_000, false);
    let stopped = Elsewhere::start(relay.address, 1);
    let partner = connect(relay.address);
    assert!(eventually(|| relay.status().starts_with("status clients=10002 rooms=5001")));
    crowd.talk(Duration::from_secs(1));
    let (mut ratios, mut longest, mut sent) = (Vec::new(), Duration::ZERO, 0);
    for _ in 0..5 {
        let before = p99(&crowd.talk(Duration::from_secs(2)));
        stopped.signal(Signal::SIGSTOP);
        sent = fill_with_lines(&partner, sent);
        let beside = crowd.talk(Duration::from_secs(2));
        sent = fill_with_lines(&partner, sent);
        stopped.signal(Signal::SIGCONT);
        ratios.push(p99(&beside).as_secs_f64() / before.as_secs_f64());
        longest = longest.max(*beside.last().unwrap());
    }
    let (ratio, wrong) = (median(ratios), crowd.wrong.len());
    Verdict::new(
        ratio <= 2.0 && longest <= Duration::from_secs(1) && wrong == 0,
        format!(
            "p99 × {ratio:.2} (2), longest {longest:.1?} (1 s), {wrong} wrong (0), {sent} bytes to the stopped one"
        ),
    )
}

/// Goes on sending lines until the kernel takes no more; how many bytes it has taken in all.
fn fill_with_lines(mut stream: &TcpStream, mut taken: usize) -> usize {
    let line = [vec![b'x'; 1023], vec![b'\n']].concat();
    stream.set_nonblocking(true).unwrap();
    while let Ok(length) = stream.write(&line[taken % line.len()..]) {
        taken += length;
    }
    taken
}

fn p99(delays: &[Duration]) -> Duration {
    delays[delays.len() * 99 / 100]
}

/// 10,000 clients paired and idle, after a word each way: at most 1 KiB of user memory each.
pub fn idle_client() -> Verdict {
    let relay = Server::relay(&[]);
    Crowd::connect(relay.address, 100, true).talk(Duration::from_millis(200));
    assert!(eventually(|| relay.status() == "status clients=0 rooms=0 waiting=0"));
    let before = relay.anonymous_memory();
    let mut crowd = Crowd::connect(relay.address, 10_000, true);
    let heard = crowd.talk(Duration::from_secs(1)).len();
    let each = (relay.anonymous_memory() - before) as f64 / 10_000.0;
    Verdict::new(
        each <= 1024.0 && crowd.wrong.is_empty() && heard >= 5_000,
        format!("{each:.0} bytes (1,024), {:?}", crowd.wrong.first()),
    )
}

/// 100,000 clients that come and leave in every way, 1,000 of them killed: nobody and no descriptor is left.
pub fn comings_and_goings() -> Verdict {
    const BATCHES: usize = 495;
    let relay = Server::relay_that_tells_all();
    let (descriptors, start) = (relay.open_descriptors(), Instant::now());
    for batch in 0..BATCHES {
        // One of them waits, and is paired with the first of the others.
        let killed = (batch < 20).then(|| Elsewhere::start(relay.address, 49 + batch % 2 * 2));
        connect_many(relay.address, 66)
            .into_iter()
            .enumerate()
            .for_each(|(way, one)| leave_unpaired(one, way));
        let mut others = connect_many(relay.address, 134);
        others.iter_mut().for_each(|client| client.write_all(b"/name alice\n").unwrap());
        // The last one may wait.
        others[..133].iter_mut().for_each(|client| read_until(client, "* connected"));
        drop(killed);
        others.into_iter().enumerate().for_each(|(way, client)| leave(client, batch + way));
    }
    let came = start.elapsed();
    let none = "status clients=0 rooms=0 waiting=0";
    let empty = eventually(|| relay.status() == none) && relay.open_descriptors() == descriptors;
    let (status, now_open, rooms) =
        (relay.status(), relay.open_descriptors(), relay.count_lines("room ") / 2);
    let (last, exit) = relay.stop();
    let all = last.starts_with("stopped accepted=100000 ");
    Verdict::new(
        empty && exit.success() && all && rooms >= BATCHES * 66,
        format!("{rooms} rooms in {came:.0?}, then {status}, {now_open} descriptors ({descriptors}); {last}"),
    )
}

/// Leaves before it is anybody.
fn leave_unpaired(mut client: TcpStream, way: usize) {
    match way % 5 {
        0 => {}
        1 => return reset(client),
        2 => client.write_all(b"/name ").unwrap(),
        3 => client.write_all(b"exit\n").unwrap(),
        _ => client.shutdown(Shutdown::Write).unwrap(),
    }
}

/// Leaves a room, or the waiting room.
fn leave(mut client: TcpStream, way: usize) {
    // Who has been told that its partner has left may be answered with RST.
    let mut say = |words: &str| drop(client.write_all(words.as_bytes()));
    match way % 8 {
        0 => {}
        1 => return reset(client),
        2 => say("hello\nexit\n"),
        3 => say("exit\nhello\n"),
        4 => say("hello\nhalf a line"),
        5 => say(&"x".repeat(70_000)),
        6 => {
            say("hello\n");
            return reset(client);
        }
        _ => {
            say("hello\n");
            let _ = client.shutdown(Shutdown::Write);
            drain(client);
        }
    }
}

/// Reads until a line begins so.
fn read_until(client: &TcpStream, begin: &str) {
    let mut lines = BufReader::new(client).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with(begin)), "never told {begin:?}");
}

/// A line of 1 GiB, and 256 MiB of what a terminal would obey: memory stays bounded, and others are served as before.
pub fn endless_lines() -> Verdict {
    let obeyed = [vec![0x1b; (60 << 10) - 1], vec![b'\n']].concat();
    beside_floods(false, vec![(vec![b'x'; 1 << 20], 1 << 10), (obeyed, 4369)])
}

/// Six million empty lines from each of a pair, who have the turn in turn: the same.
pub fn empty_lines() -> Verdict {
    beside_floods(true, vec![(vec![b'\n'; 1 << 16], 96)])
}

/// 50 busy rooms beside pairs that send each of the pieces so many times; the first of a pair only where there are turns.
fn beside_floods(turns: bool, floods: Vec<(Vec<u8>, usize)>) -> Verdict {
    let relay = Server::relay(&["--turns", if turns { "on" } else { "off" }]);
    let mut crowd = Crowd::connect(relay.address, 100, turns);
    crowd.talk(Duration::from_secs(1));
    let (before, p99_before) = (relay.anonymous_memory(), p99(&crowd.talk(Duration::from_secs(2))));
    let (mut peak, mut beside, start) = (0, Vec::new(), Instant::now());
    thread::scope(|scope| {
        let mut senders = Vec::new();
        for (piece, times) in &floods {
            let (first, mut second) = (connect(relay.address), connect(relay.address));
            second.read_exact(&mut [0; "* welcome\n* connected".len()]).unwrap();
            senders.push(scope.spawn(move || flood(first, piece, if turns { *times } else { 0 })));
            senders.push(scope.spawn(move || flood(second, piece, *times)));
        }
        while !senders.iter().all(thread::ScopedJoinHandle::is_finished) {
            beside.push(p99(&crowd.talk(Duration::from_millis(500))).as_secs_f64());
            peak = peak.max(relay.anonymous_memory());
        }
    });
    let p99_beside = Duration::from_secs_f64(median(beside));
    // A busy machine has its own delays.
    let bound = Duration::from_millis(20).max(5 * p99_before);
    let (grown, wrong) = ((peak - before) as f64 / 1024.0, crowd.wrong.len());
    Verdict::new(
        grown <= 4096.0 && p99_beside <= bound && wrong == 0,
        format!(
            "memory + {grown:.0} KiB (4,096), others' p99 {p99_beside:.1?} ({bound:.0?}) for {:.0?}, before {p99_before:.1?}, \
             {wrong} wrong (0)",
            start.elapsed()
        ),
    )
}

/// Sends the piece so many times while it reads to the end.
fn flood(stream: TcpStream, piece: &[u8], times: usize) {
    let reader = drain_beside(&stream);
    // Refused in the end, where it is one line.
    let _ = (0..times).try_for_each(|_| (&stream).write_all(piece));
    if times > 0 {
        let _ = stream.shutdown(Shutdown::Write);
    }
    reader.join().unwrap();
}

fn drain_beside(stream: &TcpStream) -> thread::JoinHandle<()> {
    let stream = stream.try_clone().unwrap();
    thread::spawn(move || drain(stream))
}

/// Reads to the end, whatever it is.
fn drain(mut stream: TcpStream) {
    let mut buffer = vec![0; 1 << 20];
    while stream.read(&mut buffer).is_ok_and(|length| length > 0) {}
}

/// Clients in a process of their own, which can be stopped, and is killed when this is dropped.
pub struct Elsewhere(Child);

/// Tells this program that it is such a process, and of how many clients of what.
const CLIENTS_OF: &str = "STRESS_CLIENTS_OF";

impl Elsewhere {
    /// Starts it, and waits until they have found partners, but for an odd one.
    fn start(address: SocketAddr, count: usize) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        let mut child =
            command.env(CLIENTS_OF, format!("{count} {address}")).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "connected\n");
        Self(child)
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id() as i32), signal).unwrap();
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What such a process does: it connects, finds partners but for an odd one, and reads what comes. False in any other
/// process.
pub fn is_elsewhere() -> bool {
    let Ok(told) = env::var(CLIENTS_OF) else { return false };
    let (count, address) = told.split_once(' ').unwrap();
    let mut clients = connect_many(address.parse().unwrap(), count.parse().unwrap());
    clients.iter_mut().for_each(|client| client.write_all(b"hello\n").unwrap());
    let paired = clients.len() / 2 * 2;
    clients[..paired].iter().for_each(|client| read_until(client, "* connected"));
    println!("connected");
    let readers: Vec<_> = clients.into_iter().map(|client| thread::spawn(move || drain(client))).collect();
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    true
}
