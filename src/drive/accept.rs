//! Passive side of the loop: takes connections out of the accept queue, whatever accept(2) says.

use std::net::SocketAddr;

use mio::net::TcpListener;
use mio::{Interest, Registry, Token};
use socket2::Socket;

use super::clock::Time;
use super::connections::Connections;
use super::exhaustion::{Accepted, Exhaustion};
use crate::error::{Error, Result};
use crate::net::{accept_queue, local_address};
use crate::service::{Io, Service};

/// The most connections accepted before the others get a turn.
const BATCH: usize = 256;

/// A listening socket and whether connections may wait in its queue.
pub(super) struct Acceptor {
    listener: TcpListener,
    local: SocketAddr,
    /// The edge came and was not spent.
    ready: bool,
    exhaustion: Exhaustion,
}

impl Acceptor {
    pub(super) fn watch(socket: Socket, registry: &Registry, token: Token) -> Result<Self> {
        let local = local_address(&socket)?;
        let mut listener = TcpListener::from_std(socket.into());
        registry
            .register(&mut listener, token, Interest::READABLE)
            .map_err(|error| Error::new("epoll_ctl", local, error))?;
        Ok(Self { listener, local, ready: true, exhaustion: Exhaustion::default() })
    }

    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }

    pub(super) fn note_ready(&mut self) {
        self.ready = true;
    }

    /// A descriptor has come free: do not wait for the retry.
    pub(super) fn note_room(&mut self, now: Time) {
        self.exhaustion.note_room(now);
    }

    /// When to call [`accept`](Self::accept) next, if it need not wait for an edge.
    pub(super) fn due(&self, now: Time) -> Option<Time> {
        if self.ready { Some(self.exhaustion.paused().unwrap_or(now)) } else { self.exhaustion.calm_at() }
    }

    /// Accepts until the queue is empty, a batch at most.
    pub(super) fn accept(&mut self, connections: &mut Connections, service: &mut dyn Service) {
        let now = connections.now();
        if let Some(event) = self.exhaustion.calm(now) {
            connections.report(&event);
        }
        if !self.ready || self.due(now).is_none_or(|due| due > now) {
            return;
        }
        self.accept_some(BATCH, connections, service);
    }

    /// Accepts those that are in the queue, before the socket is closed: closing it would reset them.
    ///
    /// Those who come meanwhile are not waited for: there may be no end to them.
    pub(super) fn accept_rest(mut self, connections: &mut Connections, service: &mut dyn Service) {
        let waiting = accept_queue(&self.listener).unwrap_or(BATCH);
        self.accept_some(waiting, connections, service);
    }

    /// Accepts until the queue is empty or the kernel has no room for one, `most` at most.
    fn accept_some(&mut self, most: usize, connections: &mut Connections, service: &mut dyn Service) {
        for _ in 0..most {
            match self.exhaustion.note(self.listener.accept(), connections.now()) {
                Accepted::Client((stream, remote)) => {
                    connections.adopt(service, stream, self.local, remote);
                }
                Accepted::Skip => {}
                Accepted::QueueEmpty => {
                    self.ready = false;
                    return;
                }
                Accepted::Paused(event) => {
                    return event.iter().for_each(|event| connections.report(event));
                }
            }
        }
    }
}
