//! What the kernel says: of a connection its row in /proc/net/tcp (proc_net_tcp in the kernel's documentation), of a
//! process its state.

use std::fmt::Display;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use fourtuple::net::TcpState;
use socket2::{Domain, Socket, Type};

use super::{skip, until};

/// The timer that runs on a socket, as the table numbers it.
pub const KEEPALIVE: u8 = 2;
/// It runs where the other end has closed its window.
pub const PROBE: u8 = 4;

/// One end of a connection over IPv4.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub state: TcpState,
    pub timer: u8,
    /// Bytes that were sent and not acknowledged, or not sent yet.
    pub unsent: u32,
    /// Bytes that have arrived and were not read yet.
    pub unread: u32,
}

/// All rows.
pub fn table() -> Vec<Row> {
    fs::read_to_string("/proc/net/tcp").unwrap().lines().skip(1).filter_map(parse).collect()
}

fn parse(line: &str) -> Option<Row> {
    let columns: Vec<&str> = line.split_whitespace().collect();
    let number = |text: &str| u8::from_str_radix(text, 16).ok();
    Some(Row {
        local: address(columns.get(1)?)?,
        remote: address(columns.get(2)?)?,
        state: TcpState::from_number(number(columns.get(3)?)?)?,
        unsent: u32::from_str_radix(columns.get(4)?.split(':').next()?, 16).ok()?,
        unread: u32::from_str_radix(columns.get(4)?.split(':').nth(1)?, 16).ok()?,
        timer: number(columns.get(5)?.split(':').next()?)?,
    })
}

/// The kernel prints the address as a number in its own byte order.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let ip = Ipv4Addr::from(u32::from_str_radix(ip, 16).ok()?.to_ne_bytes());
    Some(SocketAddr::new(ip.into(), u16::from_str_radix(port, 16).ok()?))
}

/// The row of the connection with this four-tuple.
pub fn row_of(local: SocketAddr, remote: SocketAddr) -> Option<Row> {
    table().into_iter().find(|row| (row.local, row.remote) == (local, remote))
}

/// The bytes in the send queue of the connection with this four-tuple.
pub fn unsent(local: SocketAddr, remote: SocketAddr) -> u32 {
    row_of(local, remote).map_or(0, |row| row.unsent)
}

/// Waits until the other end, on this host too, has read all that was sent on `stream`.
#[track_caller]
pub fn wait_until_read(stream: &TcpStream) {
    let (local, remote) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
    until("all to be read", || {
        let unread = row_of(remote, local).map_or(0, |row| row.unread);
        (unsent(local, remote) == 0 && unread == 0).then_some(())
    });
}

/// Waits until the connection with this four-tuple is in `wanted`.
#[track_caller]
pub fn wait_for_state(local: SocketAddr, remote: SocketAddr, wanted: TcpState) {
    until(&format!("{local} -> {remote} in {wanted}"), || {
        row_of(local, remote).filter(|row| row.state == wanted)
    });
}

/// How many connections the longest accept queue holds.
pub fn longest_queue() -> usize {
    fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap().trim().parse().unwrap()
}

/// A port of 127.0.0.1 that is kept from others, but not from a socket with both SO_REUSEADDR and SO_REUSEPORT.
pub struct ReservedPort(Socket);

impl ReservedPort {
    pub fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        Self(socket)
    }

    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap().as_socket().unwrap()
    }
}

/// A server on 127.0.0.1 whose accept queue is full: the next SYN is dropped, its sender stays in SYN-SENT.
pub struct FullServer {
    listening: Socket,
    _waiting: Socket,
}

impl FullServer {
    pub fn new() -> Self {
        let listening = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listening.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        listening.listen(0).unwrap();
        let address = listening.local_addr().unwrap();
        let waiting = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        waiting.connect(&address).unwrap();
        Self { listening, _waiting: waiting }
    }

    pub fn address(&self) -> SocketAddr {
        self.listening.local_addr().unwrap().as_socket().unwrap()
    }
}

/// Whether this host has IPv6 at all; says so where a test is skipped for want of it.
#[track_caller]
pub fn has_ipv6() -> bool {
    let has = std::net::TcpListener::bind("[::1]:0").is_ok();
    if !has {
        skip("::1 cannot be bound here");
    }
    has
}

/// The loopback address of each IP version that this host has.
#[track_caller]
pub fn loopbacks() -> impl Iterator<Item = &'static str> {
    ["127.0.0.1", "::1"].into_iter().filter(|&ip| ip != "::1" || has_ipv6())
}

/// The letter that proc_pid_stat(5) has for a process's state; none once it is no more.
pub fn process_state(pid: impl Display) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it, in parentheses, may have anything in it.
    stat.rsplit_once(") ")?.1.chars().next()
}
