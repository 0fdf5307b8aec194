//! Clients that do to a server what clients do: send in odd pieces, half-close, reset, stop reading.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use socket2::{Domain, SockRef, Socket, Type};

use super::{PATIENCE, kernel, until};

pub const MIB: usize = 1024 * 1024;

/// Connects; no read and no write on the stream blocks beyond patience.
#[track_caller]
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("connect {address}: {error}"));
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Connects with a receive buffer of so many bytes, which the kernel doubles.
#[track_caller]
pub fn connect_with_receive_buffer(address: SocketAddr, bytes: usize) -> TcpStream {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(bytes).unwrap();
    socket.connect(&address.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Accepts; neither this nor a read or write on the stream blocks beyond patience.
#[track_caller]
pub fn accept(server: &TcpListener) -> TcpStream {
    server.set_nonblocking(true).unwrap();
    let (stream, _) = until("a connection", || server.accept().ok());
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends `bytes` and fails unless they come back.
#[track_caller]
pub fn round_trip(mut stream: &TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
    let mut echo = vec![0; bytes.len()];
    stream.read_exact(&mut echo).unwrap();
    assert_eq!(echo, bytes);
}

/// Reads to the remote side's FIN.
#[track_caller]
pub fn read_to_fin(mut stream: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap_or_else(|error| panic!("after {} bytes: {error}", bytes.len()));
    bytes
}

/// Reads on until an error comes instead of a FIN, and returns it.
#[track_caller]
pub fn read_to_error(mut stream: &TcpStream) -> io::Error {
    let outcome = stream.read_to_end(&mut Vec::new());
    outcome.expect_err("the remote side sent FIN where an error was expected")
}

/// Closes with RST.
pub fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// What went through a stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Account {
    pub bytes: usize,
    pub sha256: [u8; 32],
}

/// Sends `length` bytes in segments of 1 B to 64 KiB, half-closes, and reads to the FIN: what was sent, what came.
pub fn exchange(address: SocketAddr, length: usize, seed: u64) -> (Account, Account) {
    let stream = connect(address);
    let reader = stream.try_clone().unwrap();
    let received = thread::spawn(move || account_of(reader));
    let mut pattern = Pattern::new(seed);
    let sent = pattern.send_segments(&stream, length);
    stream.shutdown(Shutdown::Write).unwrap();
    (sent, received.join().unwrap())
}

fn account_of(mut stream: TcpStream) -> Account {
    let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 65_536]);
    loop {
        let length = stream.read(&mut buffer).unwrap();
        if length == 0 {
            return Account { bytes, sha256: hash.finalize().into() };
        }
        hash.update(&buffer[..length]);
        bytes += length;
    }
}

/// Bytes without end in which a lost, doubled or moved piece shows: a random block of prime length, repeated.
pub struct Pattern {
    block: Vec<u8>,
    random: u64,
}

impl Pattern {
    pub fn new(seed: u64) -> Self {
        let mut pattern = Self { block: Vec::new(), random: seed | 1 };
        pattern.block = (0..131_071).map(|_| (pattern.next() >> 32) as u8).collect();
        pattern
    }

    /// The next number of xorshift64 (Marsaglia 2003).
    fn next(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn send_segments(&mut self, mut stream: &TcpStream, length: usize) -> Account {
        let (mut hash, mut sent) = (Sha256::new(), 0);
        while sent < length {
            let segment = (self.next() % 65_536 + 1) as usize;
            let begin = self.next() as usize % (self.block.len() - 65_536);
            let piece = &self.block[begin..][..segment.min(length - sent)];
            stream.write_all(piece).unwrap();
            hash.update(piece);
            sent += piece.len();
        }
        Account { bytes: sent, sha256: hash.finalize().into() }
    }

    /// Some of the bytes from `offset` on.
    pub fn from(&self, offset: usize) -> &[u8] {
        &self.block[offset % self.block.len()..]
    }

    /// The first `length` bytes.
    pub fn bytes(&self, length: usize) -> Vec<u8> {
        self.block.iter().copied().cycle().take(length).collect()
    }

    /// Fails unless `bytes` is how the pattern begins.
    #[track_caller]
    pub fn assert_begins_with(&self, bytes: &[u8]) {
        for (index, piece) in bytes.chunks(self.block.len()).enumerate() {
            assert!(piece == &self.block[..piece.len()], "other bytes in block {index}");
        }
    }

    /// Sends without reading until the server can send back no more and takes no more, and returns how much it took.
    ///
    /// Gives up at 256 MiB: a server that keeps so much for a client that does not read has no bound.
    pub fn flood(&self, stream: &TcpStream) -> usize {
        let (local, remote) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
        self.send_until(stream, || {
            kernel::row_of(remote, local).is_some_and(|row| row.timer == kernel::PROBE)
        })
    }

    /// Sends without reading until the kernel takes no more for a server that does not run.
    pub fn fill(&self, stream: &TcpStream) -> usize {
        self.send_until(stream, || true)
    }

    fn send_until(&self, mut stream: &TcpStream, stuck: impl Fn() -> bool) -> usize {
        let (mut sent, mut last) = (0, Instant::now());
        stream.set_nonblocking(true).unwrap();
        while sent < 256 * 1024 * 1024 && !(last.elapsed() > Duration::from_millis(200) && stuck()) {
            match stream.write(self.from(sent)) {
                Ok(length) => (sent, last) = (sent + length, Instant::now()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    thread::sleep(Duration::from_millis(2))
                }
                Err(error) => panic!("after {sent} bytes: {error}"),
            }
            assert!(last.elapsed() < PATIENCE, "neither taken nor sent back after {sent} bytes");
        }
        stream.set_nonblocking(false).unwrap();
        sent
    }
}
