//! Passive side of the loop: takes connections out of the accept queue, whatever accept(2) says.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpListener;
use mio::{Interest, Registry, Token};
use nix::errno::Errno;
use socket2::Socket;

use super::clock::Time;
use super::connections::Connections;
use crate::error::{Error, Result};
use crate::net::local_address;
use crate::report::Event;
use crate::service::{Io, Service};

/// The most connections accepted before the others get a turn.
const BATCH: usize = 256;
/// How long to wait, after the kernel refused a connection, until it is asked again.
const RETRY: Duration = Duration::from_millis(50);
/// How long it must refuse none until that is told as over: at the limit, every client that goes makes room for one.
const CALM: Duration = Duration::from_secs(1);

/// A listening socket and whether connections may wait in its queue.
pub struct Acceptor {
    listener: TcpListener,
    local: SocketAddr,
    /// The edge came and was not spent.
    ready: bool,
    /// The kernel refuses us connections; ask again at this time.
    paused: Option<Time>,
    /// When the kernel refused one last; `None` once that is told as over.
    refused: Option<Time>,
}

enum Refused {
    QueueEmpty,
    /// This connection is gone; the next may be well.
    Skip,
    Exhausted(Errno),
}

impl Acceptor {
    /// Watches `socket`, which listens.
    pub fn watch(socket: Socket, registry: &Registry, token: Token) -> Result<Self> {
        let local = local_address(&socket)?;
        let mut listener = TcpListener::from_std(socket.into());
        registry
            .register(&mut listener, token, Interest::READABLE)
            .map_err(|error| Error::new("epoll_ctl", local, error))?;
        Ok(Self { listener, local, ready: true, paused: None, refused: None })
    }

    pub fn local(&self) -> SocketAddr {
        self.local
    }

    pub fn note_ready(&mut self) {
        self.ready = true;
    }

    /// A descriptor has come free: do not wait for the retry.
    pub fn note_room(&mut self, now: Time) {
        if self.paused.is_some() {
            self.paused = Some(now);
        }
    }

    /// When to call [`accept`](Self::accept) next, if it need not wait for an edge.
    pub fn due(&self, now: Time) -> Option<Time> {
        if self.ready { Some(self.paused.unwrap_or(now)) } else { self.calm_at() }
    }

    /// When the kernel will have refused nobody for long enough, if the queue has been emptied since.
    fn calm_at(&self) -> Option<Time> {
        self.refused.filter(|_| self.paused.is_none()).map(|last| last.after(CALM))
    }

    /// Accepts until the queue is empty, a batch at most.
    pub fn accept(&mut self, connections: &mut Connections, service: &mut dyn Service) {
        let now = connections.now();
        if self.calm_at().is_some_and(|calm| calm <= now) {
            self.refused = None;
            connections.report(&Event::AcceptResumed);
        }
        if !self.ready || self.due(now).is_none_or(|due| due > now) {
            return;
        }
        for _ in 0..BATCH {
            match self.listener.accept() {
                Ok((stream, remote)) => connections.adopt(service, stream, self.local, remote),
                Err(error) => match reason_of(&error) {
                    Refused::Skip => {}
                    Refused::QueueEmpty => return self.queue_is_empty(),
                    Refused::Exhausted(errno) => return self.pause(connections, errno),
                },
            }
        }
    }

    /// Accepts all that is in the queue, before the socket is closed: closing it would reset them.
    pub fn accept_rest(mut self, connections: &mut Connections, service: &mut dyn Service) {
        self.paused = None;
        self.ready = true;
        while self.ready && self.paused.is_none() {
            self.accept(connections, service);
        }
    }

    fn queue_is_empty(&mut self) {
        self.ready = false;
        self.paused = None;
    }

    fn pause(&mut self, connections: &mut Connections, reason: Errno) {
        if self.refused.is_none() {
            connections.report(&Event::AcceptPaused { reason });
        }
        self.refused = Some(connections.now());
        self.paused = Some(connections.now().after(RETRY));
    }
}

/// accept(2): errors of the connection that was waiting are passed on by it and are to be skipped.
fn reason_of(error: &io::Error) -> Refused {
    if error.kind() == ErrorKind::WouldBlock {
        return Refused::QueueEmpty;
    }
    match error.raw_os_error().map_or(Errno::EIO, Errno::from_raw) {
        Errno::EINTR
        | Errno::ECONNABORTED
        | Errno::EPERM
        | Errno::EPROTO
        | Errno::ENOPROTOOPT
        | Errno::EOPNOTSUPP
        | Errno::ENETDOWN
        | Errno::ENETUNREACH
        | Errno::EHOSTDOWN
        | Errno::EHOSTUNREACH
        | Errno::ENONET
        | Errno::ETIMEDOUT => Refused::Skip,
        errno => Refused::Exhausted(errno),
    }
}
