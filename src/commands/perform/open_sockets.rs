//! The sockets, and the calls made on them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};
use std::{io, thread};

use crate::error::errno_of;
use crate::kernel::inet_diag;
use crate::net::{self, TcpState};
use nix::errno::Errno;
use nix::libc::{POLLIN, POLLOUT, POLLPRI, POLLRDHUP};
use nix::sys::socket::{MsgFlags, recv, send};
use nix::unistd::{Uid, close};
use socket2::{Domain, Socket};

use super::steps::{Address, Call, Family, Payload, Step, poll_names};

/// How long to wait before a state is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// How many bytes `recv` asks for where it is not said.
const RECEIVED: usize = 4096;
/// What `poll` asks for where it is not said: all that a stream can have.
const EVENTS: i16 = POLLIN | POLLPRI | POLLOUT | POLLRDHUP;

/// What a call returned, and what it gave besides.
pub(super) enum CallResult {
    Number(i64),
    Words(i64, String),
    Bytes(Vec<u8>),
    Errno(Errno),
    /// The state that was seen instead of the one waited for.
    Instead(TcpState),
}

/// All sockets by their names, in whose order those that are left open are closed.
pub(super) struct OpenSockets {
    sockets: BTreeMap<Option<String>, NamedSocket>,
    patience: Duration,
}

/// A socket, or what is known of it when it is closed.
#[derive(Default)]
struct NamedSocket {
    /// None where it is closed, or where it never came to be.
    socket: Option<Socket>,
    local: Option<SocketAddr>,
    remote: Option<SocketAddr>,
    /// Where the last connect(2) was aimed.
    aimed_at: Option<SocketAddr>,
}

impl NamedSocket {
    fn open(socket: Socket) -> Self {
        Self { socket: Some(socket), ..Self::default() }
    }

    /// What getsockname(2) and getpeername(2) say now; what they said before stands where they fail.
    fn refresh(&mut self) {
        let Some(socket) = &self.socket else { return };
        let local = socket.local_addr().ok().and_then(|address| address.as_socket());
        self.local = local.filter(|address| address.port() != 0).or(self.local);
        self.remote = socket.peer_addr().ok().and_then(|address| address.as_socket()).or(self.remote);
    }

    fn state(&self) -> io::Result<TcpState> {
        let state = self.socket.as_ref().map_or(Ok(TcpState::Closed), net::state_of)?;
        match (state, self.local, self.remote) {
            // The kernel keeps TIME-WAIT, and what of a closed socket is still to be done, apart from the socket.
            (TcpState::Closed, Some(local), Some(remote)) => state_in_table(local, remote),
            _ => Ok(state),
        }
    }
}

fn state_in_table(local: SocketAddr, remote: SocketAddr) -> io::Result<TcpState> {
    let rows = inet_diag::sockets().map_err(|error| error.errno().unwrap_or(Errno::EIO))?;
    // What has an inode is a socket that somebody has open, with the same four-tuple after ours.
    let row = rows.iter().find(|row| (row.local, row.remote, row.inode) == (local, remote, 0));
    Ok(row.map_or(TcpState::Closed, |row| row.state))
}

impl OpenSockets {
    /// An empty one. A state is waited for as long as `patience`.
    pub(super) fn new(patience: Duration) -> Self {
        Self { sockets: BTreeMap::new(), patience }
    }

    /// The local and the remote address of a socket, as far as they are known.
    pub(super) fn addresses(&self, socket: &Option<String>) -> (Option<SocketAddr>, Option<SocketAddr>) {
        self.sockets.get(socket).map_or((None, None), |held| (held.local, held.aimed_at.or(held.remote)))
    }

    /// Makes the call of `step`.
    pub(super) fn perform(&mut self, step: &Step) -> CallResult {
        // A connection may have come to be since the last call, and this one may be close.
        self.refresh(&step.socket);
        let outcome = self.call(step).unwrap_or_else(|error| {
            // An error that is none of the kernel's own is nothing that these calls return.
            CallResult::Errno(errno_of(&error))
        });
        self.refresh(&step.socket);
        outcome
    }

    fn refresh(&mut self, socket: &Option<String>) {
        if let Some(held) = self.sockets.get_mut(socket) {
            held.refresh();
        }
    }

    fn call(&mut self, step: &Step) -> io::Result<CallResult> {
        match &step.call {
            Call::Socket(family) => self.open(&step.socket, *family),
            Call::Accept(name) => self.accept(&step.socket, name),
            Call::Close => {
                let held = self.sockets.get_mut(&step.socket);
                let socket = held.and_then(|held| held.socket.take()).ok_or(Errno::EBADF)?;
                Ok(done(close(socket)?))
            }
            Call::WaitFor(state) => self.wait_for(&step.socket, *state),
            Call::Bind(address) => {
                let address = self.resolve(address)?;
                self.socket(&step.socket)?.bind(&address.into()).map(done)
            }
            Call::Connect(address) => {
                let address = self.resolve(address)?;
                self.connect(&step.socket, address)
            }
            Call::Pause(Some(time)) => {
                thread::sleep(*time);
                Ok(CallResult::Number(0))
            }
            Call::SetOwner(user) => {
                let before = net::set_owner(Uid::from_raw(*user))?;
                Ok(CallResult::Number(before.as_raw().into()))
            }
            call => simple(self.socket(&step.socket)?, call),
        }
    }

    fn socket(&self, name: &Option<String>) -> io::Result<&Socket> {
        let held = self.sockets.get(name).and_then(|held| held.socket.as_ref());
        // The call that would have made it failed, and left -1 where its descriptor would be.
        held.ok_or_else(|| Errno::EBADF.into())
    }

    fn open(&mut self, name: &Option<String>, family: Family) -> io::Result<CallResult> {
        self.sockets.insert(name.clone(), NamedSocket::default());
        let domain = if family == Family::Inet { Domain::IPV4 } else { Domain::IPV6 };
        Ok(CallResult::Number(self.hold(name.clone(), net::socket(domain)?)))
    }

    fn accept(&mut self, listening: &Option<String>, name: &str) -> io::Result<CallResult> {
        self.sockets.insert(Some(name.to_owned()), NamedSocket::default());
        let (socket, remote) = self.socket(listening)?.accept()?;
        let descriptor = self.hold(Some(name.to_owned()), socket);
        let remote = remote.as_socket().map(|address| address.to_string());
        Ok(CallResult::Words(descriptor, remote.unwrap_or_default()))
    }

    /// Keeps the socket, and returns its descriptor.
    fn hold(&mut self, name: Option<String>, socket: Socket) -> i64 {
        let descriptor = socket.as_raw_fd();
        let mut held = NamedSocket::open(socket);
        held.refresh();
        self.sockets.insert(name, held);
        descriptor.into()
    }

    fn connect(&mut self, name: &Option<String>, address: SocketAddr) -> io::Result<CallResult> {
        let held = self.sockets.get_mut(name).ok_or(Errno::EBADF)?;
        held.aimed_at = Some(address);
        held.socket.as_ref().ok_or(Errno::EBADF)?.connect(&address.into()).map(done)
    }

    /// The address that a step names: itself, or that of another socket by now.
    pub(super) fn resolve(&self, address: &Address) -> io::Result<SocketAddr> {
        match address {
            Address::Literal(address) => Ok(*address),
            Address::Of(name) => {
                let address = self.socket(&Some(name.clone()))?.local_addr()?;
                address.as_socket().ok_or_else(|| Errno::EAFNOSUPPORT.into())
            }
        }
    }

    fn wait_for(&self, name: &Option<String>, wanted: TcpState) -> io::Result<CallResult> {
        let held = self.sockets.get(name).ok_or(Errno::EBADF)?;
        let deadline = Instant::now() + self.patience;
        loop {
            match held.state()? {
                state if state == wanted => return Ok(CallResult::Number(0)),
                state if Instant::now() >= deadline => return Ok(CallResult::Instead(state)),
                _ => thread::sleep(LOOK_AGAIN),
            }
        }
    }
}

fn done((): ()) -> CallResult {
    CallResult::Number(0)
}

/// The calls that need nothing but the one socket.
fn simple(socket: &Socket, call: &Call) -> io::Result<CallResult> {
    match call {
        Call::SetOption(option, value) => option.set(socket, value).map(done),
        Call::GetOption(option) => Ok(CallResult::Words(0, option.get(socket)?.to_string())),
        Call::Listen(backlog) => socket.listen(*backlog).map(done),
        Call::Send(Payload::Text(bytes), flags) => send_once(socket, bytes, *flags),
        Call::Send(Payload::Filler(size), flags) => send_once(socket, &vec![b'x'; *size], *flags),
        Call::Receive(most, flags) => {
            let mut bytes = vec![0; most.unwrap_or(RECEIVED)];
            let received = recv(socket.as_raw_fd(), &mut bytes, *flags)?;
            bytes.truncate(received);
            Ok(CallResult::Bytes(bytes))
        }
        Call::Shutdown(direction) => socket.shutdown(*direction).map(done),
        Call::Nonblocking(on) => socket.set_nonblocking(*on).map(done),
        Call::Poll(events, time) => {
            let (ready, seen) = net::poll(socket, events.unwrap_or(EVENTS), *time)?;
            Ok(CallResult::Words(ready.into(), poll_names(seen)))
        }
        Call::LocalName => name(socket.local_addr()?),
        Call::RemoteName => name(socket.peer_addr()?),
        Call::Hide(flags) => net::hide_segments(socket, flags.map(|flags| flags.0)).map(done),
        Call::Show => net::show_segments(socket).map(done),
        _ => Err(Errno::ENOSYS.into()),
    }
}

fn send_once(socket: &Socket, bytes: &[u8], flags: MsgFlags) -> io::Result<CallResult> {
    let sent = send(socket.as_raw_fd(), bytes, flags)?;
    Ok(CallResult::Number(sent as i64))
}

fn name(address: socket2::SockAddr) -> io::Result<CallResult> {
    let address = address.as_socket().ok_or(Errno::EAFNOSUPPORT)?;
    Ok(CallResult::Words(0, address.to_string()))
}
