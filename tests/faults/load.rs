//! Forty clients at once: small and large messages, half-closes, resets, one that reads late, one that never does.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

/// How long a client waits for anything.
const WAIT: Duration = Duration::from_secs(40);

/// What became of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It got back what it sent, and its end was answered.
    Served,
    /// Its connection was closed early, or reset.
    Lost,
    /// It waited in vain.
    Stuck,
    /// It got bytes that it had not sent.
    Corrupted,
}

/// Forty clients; what became of each.
pub fn clients(address: SocketAddr) -> Vec<Fate> {
    let clients: Vec<_> = (0..40).map(|number| thread::spawn(move || client(address, number))).collect();
    clients.into_iter().map(|client| client.join().unwrap()).collect()
}

fn client(address: SocketAddr, number: u8) -> Fate {
    let outcome = match number {
        0 => reads_late(address),
        1 => never_reads(address),
        2 => echoes_often(address),
        _ => echoes(address, number),
    };
    outcome.map_or_else(|error| fate(&error), |()| Fate::Served)
}

fn fate(error: &io::Error) -> Fate {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Fate::Stuck,
        ErrorKind::InvalidData => Fate::Corrupted,
        _ => Fate::Lost,
    }
}

/// Connects and sends messages of four sizes; what became of it.
pub fn one_more(address: SocketAddr) -> Fate {
    client(address, 3)
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, WAIT)?;
    stream.set_read_timeout(Some(WAIT))?;
    stream.set_write_timeout(Some(WAIT))?;
    Ok(stream)
}

fn echoes(address: SocketAddr, number: u8) -> io::Result<()> {
    let mut stream = connect(address)?;
    for length in [1, 100, 5_000, 40_000] {
        let (message, mut echo) = (vec![number; length], vec![0; length]);
        stream.write_all(&message)?;
        stream.read_exact(&mut echo)?;
        same(&echo, &message)?;
    }
    match number % 9 {
        0 => Ok(()),
        3 | 6 => end_of(&stream).map(drop),
        _ => SockRef::from(&stream).set_linger(Some(Duration::ZERO)),
    }
}

/// So often that whoever serves it alone makes its 20th call.
fn echoes_often(address: SocketAddr) -> io::Result<()> {
    let mut stream = connect(address)?;
    for number in 0..30 {
        let (message, mut echo) = ([number; 100], [0; 100]);
        stream.write_all(&message)?;
        stream.read_exact(&mut echo)?;
        same(&echo, &message)?;
    }
    Ok(())
}

/// Half-closes and reads to FIN.
fn end_of(mut stream: &TcpStream) -> io::Result<Vec<u8>> {
    stream.shutdown(Shutdown::Write)?;
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest)?;
    Ok(rest)
}

/// Sends until the server takes no more, then reads all of it.
fn reads_late(address: SocketAddr) -> io::Result<()> {
    let stream = small_window(address)?;
    let sent = flood(&stream)?;
    let echo = end_of(&stream)?;
    if echo.len() < sent {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    same(&echo, &pattern(0, sent))
}

/// Sends until the server takes no more, then resets.
fn never_reads(address: SocketAddr) -> io::Result<()> {
    let stream = small_window(address)?;
    flood(&stream)?;
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))
}

/// A small receive buffer, so that little fills it.
fn small_window(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_recv_buffer_size(4096)?;
    socket.set_send_buffer_size(65_536)?;
    socket.connect_timeout(&address.into(), WAIT)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(WAIT))?;
    Ok(stream)
}

fn flood(mut stream: &TcpStream) -> io::Result<usize> {
    stream.set_nonblocking(true)?;
    let (mut sent, mut last) = (0, Instant::now());
    while last.elapsed() < Duration::from_millis(100) {
        match stream.write(&pattern(sent, 16_384)) {
            Ok(length) => (sent, last) = (sent + length, Instant::now()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(Duration::from_millis(5)),
            Err(error) => return Err(error),
        }
    }
    stream.set_nonblocking(false)?;
    Ok(sent)
}

/// Bytes from an offset on, of a period that no buffer size shares.
fn pattern(offset: usize, length: usize) -> Vec<u8> {
    (offset..offset + length).map(|index| (index % 251) as u8).collect()
}

fn same(echo: &[u8], message: &[u8]) -> io::Result<()> {
    if echo == message { Ok(()) } else { Err(ErrorKind::InvalidData.into()) }
}
