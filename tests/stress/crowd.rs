//! Many clients of a relay, all of them busy, on one epoll.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::clients::connect;

/// Clients that answer each message with the next one.
pub struct Crowd {
    poll: Poll,
    events: Events,
    turns: bool,
    talkers: Vec<Talker>,
    by_address: HashMap<SocketAddr, usize>,
    said: usize,
    heard: usize,
    /// What was not as it must be.
    pub wrong: Vec<String>,
    /// From each message's send to its arrival.
    delays: Vec<Duration>,
}

struct Talker {
    stream: TcpStream,
    partial: Vec<u8>,
    partner: Option<usize>,
    may_write: bool,
    said: usize,
    said_at: Instant,
    heard: usize,
}

impl Crowd {
    /// An even number of clients, each of which has been told of its partner.
    pub fn connect(address: SocketAddr, count: usize, turns: bool) -> Self {
        let mut crowd = Self {
            poll: Poll::new().unwrap(),
            events: Events::with_capacity(1024),
            turns,
            talkers: Vec::new(),
            by_address: HashMap::new(),
            said: 0,
            heard: 0,
            wrong: Vec::new(),
            delays: Vec::new(),
        };
        for index in 0..count {
            let stream = connect(address);
            stream.set_nonblocking(true).unwrap();
            crowd.by_address.insert(stream.local_addr().unwrap(), index);
            let mut stream = TcpStream::from_std(stream);
            crowd.poll.registry().register(&mut stream, Token(index), Interest::READABLE).unwrap();
            let (partial, partner) = (Vec::new(), None);
            let said_at = Instant::now();
            crowd.talkers.push(Talker {
                stream,
                partial,
                partner,
                may_write: false,
                said: 0,
                said_at,
                heard: 0,
            });
        }
        crowd.until(Duration::from_secs(20), |crowd| crowd.talkers.iter().all(|one| one.partner.is_some()));
        // In the order of their coming, and each with the one that has it.
        let others = crowd.talkers.iter().enumerate().filter(|(index, one)| one.partner != Some(index ^ 1));
        let others = others.count();
        if others > 0 {
            crowd.wrong.push(format!("{others} clients have another partner than came next"));
        }
        crowd
    }

    /// Everybody is busy for so long; then all that was said is waited for. The delays, shortest first.
    pub fn talk(&mut self, time: Duration) -> Vec<Duration> {
        let deadline = Instant::now() + time;
        for index in 0..self.talkers.len() {
            if self.talkers[index].may_write {
                self.say(index);
            }
        }
        while Instant::now() < deadline {
            self.turn(true);
        }
        self.until(Duration::from_secs(20), |crowd| crowd.said == crowd.heard);
        let mut delays = std::mem::take(&mut self.delays);
        delays.sort_unstable();
        delays
    }

    /// How many messages were heard by all together.
    pub fn heard(&self) -> usize {
        self.heard
    }

    fn until(&mut self, limit: Duration, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + limit;
        while !holds(self) {
            if Instant::now() > deadline {
                return self.wrong.push(format!("{} of {} messages arrived", self.heard, self.said));
            }
            self.turn(false);
        }
    }

    fn turn(&mut self, answer: bool) {
        self.poll.poll(&mut self.events, Some(Duration::from_millis(10))).unwrap();
        let ready: Vec<usize> = self.events.iter().map(|event| event.token().0).collect();
        for index in ready {
            self.read(index);
            if answer && self.talkers[index].may_write {
                self.say(index);
            }
        }
    }

    fn read(&mut self, index: usize) {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.talkers[index].stream.read(&mut buffer) {
                Ok(0) => return self.wrong.push(format!("client {index} was closed")),
                Ok(length) => self.talkers[index].partial.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return self.wrong.push(format!("client {index}: {error}")),
            }
        }
        let bytes = std::mem::take(&mut self.talkers[index].partial);
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        for line in String::from_utf8_lossy(&bytes[..whole]).lines() {
            self.hear(index, line);
        }
        self.talkers[index].partial = bytes[whole..].to_vec();
    }

    fn hear(&mut self, index: usize, line: &str) {
        match line.split_once(' ') {
            Some(("client:", message)) => self.hear_message(index, message),
            Some(("*", "status WRITE")) => self.talkers[index].may_write = true,
            Some(("*", "welcome" | "waiting for a partner" | "status READ")) => {}
            Some(("*", words)) if words.starts_with("connected to client (") => {
                let address = words.rsplit_once('(').unwrap().1.trim_end_matches(')');
                let partner = self.by_address[&address.parse().unwrap()];
                self.talkers[index].partner = Some(partner);
                self.talkers[index].may_write |= !self.turns && index < partner;
            }
            _ => self.wrong.push(format!("client {index} was told {line:?}")),
        }
    }

    fn hear_message(&mut self, index: usize, message: &str) {
        let partner = self.talkers[index].partner.expect("a partner before its words");
        self.talkers[index].heard += 1;
        self.heard += 1;
        let expected = format!("{partner} {}", self.talkers[index].heard);
        if message != expected {
            self.wrong.push(format!("client {index} heard {message:?} and not {expected:?}"));
        }
        self.delays.push(self.talkers[partner].said_at.elapsed());
        self.talkers[index].may_write |= !self.turns;
    }

    fn say(&mut self, index: usize) {
        let talker = &mut self.talkers[index];
        talker.may_write = false;
        talker.said += 1;
        talker.said_at = Instant::now();
        let line = format!("{index} {}\n", talker.said);
        self.said += 1;
        if talker.stream.write(line.as_bytes()).ok() != Some(line.len()) {
            self.wrong.push(format!("client {index} could not send {line:?}"));
        }
    }
}
