//! Sockets in every state, to be in the way of others.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use fourtuple::kernel::inet_diag::sockets_on;
use fourtuple::net::TcpState;
use socket2::{Domain, Socket, Type};

use crate::program::until;

/// SO_REUSEADDR, SO_REUSEPORT and IPV6_V6ONLY of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    pub reuse_address: bool,
    pub reuse_port: bool,
    pub v6_only: bool,
}

impl Options {
    /// The four sets of the first two.
    pub const ALL: [Self; 4] =
        [Self::of(false, false), Self::of(true, false), Self::of(false, true), Self::of(true, true)];

    pub const NONE: Self = Self::of(false, false);

    pub const fn of(reuse_address: bool, reuse_port: bool) -> Self {
        Self { reuse_address, reuse_port, v6_only: false }
    }
}

/// How a socket came to be what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Bound,
    Listen,
    /// A client that was bound before it connected.
    Client,
    /// A client in the middle of a handshake that nobody answers.
    SynSent,
    /// Accepted, while its listener goes on.
    ChildBesideListener,
    /// Accepted, and its listener is gone.
    Child,
    /// In the queue of a listener that does not accept.
    NotAccepted,
    FinWait2,
    /// The same, and no process has it.
    OrphanedFinWait2,
    CloseWait,
    TimeWait,
}

impl State {
    pub const ALL: [Self; 11] = [
        Self::Bound,
        Self::Listen,
        Self::Client,
        Self::SynSent,
        Self::ChildBesideListener,
        Self::Child,
        Self::NotAccepted,
        Self::FinWait2,
        Self::OrphanedFinWait2,
        Self::CloseWait,
        Self::TimeWait,
    ];
}

/// Whether some process has the socket, and so its options can be read.
pub fn has_owner(state: State) -> bool {
    !matches!(state, State::NotAccepted | State::OrphanedFinWait2 | State::TimeWait)
}

/// A socket in some state; it ends when this is dropped, all but TIME-WAIT.
pub struct Scene {
    /// The four-tuple, where it is or was connected.
    pub tuple: Option<(SocketAddr, SocketAddr)>,
    /// What has to stay open.
    _sockets: Vec<Socket>,
}

pub fn open(local: SocketAddr, options: Options) -> Socket {
    let socket = Socket::new(Domain::for_address(local), Type::STREAM, None).unwrap();
    socket.set_reuse_address(options.reuse_address).unwrap();
    socket.set_reuse_port(options.reuse_port).unwrap();
    if local.is_ipv6() {
        socket.set_only_v6(options.v6_only).unwrap();
    }
    socket
}

fn bound(local: SocketAddr, options: Options) -> Socket {
    let socket = open(local, options);
    socket.bind(&local.into()).unwrap_or_else(|error| panic!("bind {local} {options:?}: {error}"));
    socket
}

fn address(socket: &Socket) -> SocketAddr {
    socket.local_addr().unwrap().as_socket().unwrap()
}

/// Where a socket bound to `local` is reached.
pub fn reached_at(local: SocketAddr) -> SocketAddr {
    let ip: IpAddr = match local.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => "127.0.0.1".parse().unwrap(),
        IpAddr::V6(ip) if ip.is_unspecified() => "::1".parse().unwrap(),
        ip => ip,
    };
    SocketAddr::new(ip, local.port())
}

/// An address of the same family with no port, loopback.
fn elsewhere(local: SocketAddr) -> SocketAddr {
    SocketAddr::new(reached_at(local).ip(), 0)
}

/// A listener that the other end of a scene has, far from its port.
fn listener(near: SocketAddr) -> Socket {
    let socket = bound(elsewhere(near), Options::of(true, false));
    socket.listen(1024).unwrap();
    socket
}

/// Waits until a connection is in a state.
pub fn wait_for(local: SocketAddr, remote: SocketAddr, state: TcpState) {
    let same = |one: SocketAddr, other: SocketAddr| {
        one.port() == other.port() && one.ip().to_canonical() == other.ip().to_canonical()
    };
    until(&format!("{local} -> {remote} in {state}"), || {
        let rows = sockets_on(local.port().try_into().unwrap()).unwrap();
        rows.into_iter().find(|row| same(row.local, local) && same(row.remote, remote) && row.state == state)
    });
}

/// A connection, both ends of it, the bound one first, and the listener at the other end.
fn connected(local: SocketAddr, options: Options) -> [Socket; 3] {
    let server = listener(local);
    let client = bound(local, options);
    client.connect(&server.local_addr().unwrap()).unwrap();
    let (accepted, _) = server.accept().unwrap();
    [client, accepted, server]
}

/// A client of `listening`, and its address.
fn visitor(listening: &Socket) -> Socket {
    let at = reached_at(address(listening));
    let client = Socket::new(Domain::for_address(at), Type::STREAM, None).unwrap();
    client.connect(&at.into()).unwrap();
    client
}

/// Makes a socket that is in `state` at `local`.
pub fn set(state: State, local: SocketAddr, options: Options) -> Scene {
    match state {
        State::Bound => alone(bound(local, options)),
        State::Listen => {
            let socket = bound(local, options);
            socket.listen(1024).unwrap();
            alone(socket)
        }
        State::SynSent => syn_sent(local, options),
        State::Client | State::FinWait2 | State::OrphanedFinWait2 | State::CloseWait | State::TimeWait => {
            client(state, local, options)
        }
        State::ChildBesideListener | State::Child | State::NotAccepted => child(state, local, options),
    }
}

fn alone(socket: Socket) -> Scene {
    Scene { tuple: None, _sockets: vec![socket] }
}

fn client(state: State, local: SocketAddr, options: Options) -> Scene {
    let [client, other, server] = connected(local, options);
    let (local, remote) = (address(&client), client.peer_addr().unwrap().as_socket().unwrap());
    let mut sockets = match state {
        State::FinWait2 => {
            client.shutdown(std::net::Shutdown::Write).unwrap();
            wait_for(local, remote, TcpState::FinWait2);
            vec![client, other]
        }
        State::OrphanedFinWait2 => {
            drop(client);
            wait_for(local, remote, TcpState::FinWait2);
            vec![other]
        }
        State::CloseWait => {
            drop(other);
            wait_for(local, remote, TcpState::CloseWait);
            vec![client]
        }
        State::TimeWait => {
            drop(client);
            drop(other);
            wait_for(local, remote, TcpState::TimeWait);
            vec![]
        }
        _ => vec![client, other],
    };
    sockets.push(server);
    Scene { tuple: Some((local, remote)), _sockets: sockets }
}

fn syn_sent(local: SocketAddr, options: Options) -> Scene {
    let full = bound(elsewhere(local), Options::NONE);
    full.listen(0).unwrap();
    let waiting = visitor(&full);
    let client = bound(local, options);
    client.set_nonblocking(true).unwrap();
    let _ = client.connect(&full.local_addr().unwrap());
    let (local, remote) = (address(&client), address(&full));
    wait_for(local, remote, TcpState::SynSent);
    Scene { tuple: Some((local, remote)), _sockets: vec![client, full, waiting] }
}

fn child(state: State, local: SocketAddr, options: Options) -> Scene {
    let listening = bound(local, options);
    listening.listen(1024).unwrap();
    listening.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let visitor = visitor(&listening);
    let remote = address(&visitor);
    if state == State::NotAccepted {
        return Scene { tuple: None, _sockets: vec![listening, visitor] };
    }
    let (accepted, _) = listening.accept().unwrap();
    let local = address(&accepted);
    let mut sockets = vec![accepted, visitor];
    if state == State::ChildBesideListener {
        sockets.push(listening);
    }
    Scene { tuple: Some((local, remote)), _sockets: sockets }
}
