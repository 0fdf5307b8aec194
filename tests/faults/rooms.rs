//! Pairs of clients who talk through a relay, while a call fails.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use super::case::{Outcome, end_loaded};
use super::load::Fate;
use super::program::Listener;
use super::strace::{Attached, Fault, Record};

const ROOMS: usize = 11;
const WAIT: Duration = Duration::from_secs(20);

/// A relay with rooms full of talk, and what it did when the call failed.
pub fn relay(fault: Fault) -> Outcome {
    Outcome::new("relay", fault, |outcome| {
        let (record, fates) = fill(Some(fault))?;
        outcome.faults = record.faults(fault.call);
        outcome.lost = fates.iter().filter(|&&fate| fate != Fate::Served).count();
        // A close(2) that was not made sends no FIN.
        if fates.contains(&Fate::Stuck) && fault.call != "close" {
            return Err(format!("some waited in vain: {fates:?}"));
        }
        match outcome.lost > outcome.faults {
            true => Err(format!("{} rooms lost by {} faults", outcome.lost, outcome.faults)),
            false => Ok(()),
        }
    })
}

/// Fills rooms, lets them talk and leave, and ends the relay; what became of each room.
pub fn fill(fault: Option<Fault>) -> Result<(Record, Vec<Fate>), String> {
    let mut relay = Listener::relay(&["--drain", "100ms"]);
    let strace = Attached::to(relay.pid(), fault)?;
    let rooms: Vec<_> = (0..ROOMS).map(|_| Room::open(relay.address)).collect();
    let talks: Vec<_> = rooms.into_iter().enumerate().map(|(number, room)| room?.talk(number, 3)).collect();
    let fates = talks.iter().map(fate).collect();
    let address = relay.address;
    end_loaded(&mut relay, address, strace, fates, || {
        fate(&Room::open(address).and_then(|room| room.talk(0, 0)))
    })
}

fn fate(talk: &io::Result<()>) -> Fate {
    match talk {
        Ok(()) => Fate::Served,
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Fate::Stuck,
            io::ErrorKind::InvalidData => Fate::Corrupted,
            _ => Fate::Lost,
        },
    }
}

/// Two clients who know of each other.
struct Room(BufReader<TcpStream>, BufReader<TcpStream>);

impl Room {
    fn open(address: SocketAddr) -> io::Result<Self> {
        let mut first = client(address)?;
        first.get_ref().write_all(b"hello 0\n")?;
        expect(&mut first, "* waiting")?;
        let mut second = client(address)?;
        expect(&mut second, "client: hello 0\n")?;
        Ok(Self(first, second))
    }

    /// So many words each in turn, then one leaves, in one of three ways.
    fn talk(mut self, number: usize, words: usize) -> io::Result<()> {
        for word in 1..=words {
            self.1.get_ref().write_all(format!("hello {word}\n").as_bytes())?;
            expect(&mut self.0, &format!("client: hello {word}\n"))?;
            self.0.get_ref().write_all(format!("hello {word}\n").as_bytes())?;
            expect(&mut self.1, &format!("client: hello {word}\n"))?;
        }
        let Self(mut stays, leaves) = self;
        match number % 3 {
            0 => leaves.get_ref().write_all(b"exit\n")?,
            1 => SockRef::from(leaves.get_ref()).set_linger(Some(Duration::ZERO))?,
            _ => {}
        }
        drop(leaves);
        expect(&mut stays, "* client has left\n")
    }
}

fn client(address: SocketAddr) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect_timeout(&address, WAIT)?;
    stream.set_read_timeout(Some(WAIT))?;
    Ok(BufReader::new(stream))
}

/// Reads until a line begins so; a line of the partner must be the one expected.
fn expect(client: &mut BufReader<TcpStream>, begin: &str) -> io::Result<()> {
    loop {
        let mut line = String::new();
        if client.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.starts_with(begin) {
            return Ok(());
        }
        if !line.starts_with("* ") {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}
