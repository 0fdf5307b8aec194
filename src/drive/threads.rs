//! Clients that other threads of this process serve.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

use nix::sys::signal::SigSet;
use socket2::Socket;

use super::blocking::Front;
use super::conversation::{Client, serve};
use super::gauge::Gauge;
use super::signals::Waker;
use crate::error::Result;
use crate::net::FourTuple;
use crate::report::{Reporter, Totals};
use crate::service::{Closed, Reply};

/// All clients that have not ended, and the sums over those that have.
pub struct Threads<R> {
    /// Weak: the socket is closed when the thread that serves it lets go of it.
    unended: HashMap<u64, Weak<Client>>,
    next: u64,
    ended: Receiver<(u64, Closed)>,
    shared: Arc<Shared<R>>,
    totals: Totals,
}

/// What every thread that serves needs.
struct Shared<R> {
    reply: R,
    drain: Duration,
    reporter: Reporter,
    gauge: Gauge,
    ended: Sender<(u64, Closed)>,
    waker: Waker,
}

/// A client's way through the thread that serves it.
pub struct Service<R> {
    id: u64,
    client: Arc<Client>,
    shared: Arc<Shared<R>>,
}

impl<R: Reply> Threads<R> {
    /// No client yet.
    ///
    /// # Errors
    ///
    /// `EMFILE` from `fcntl`.
    pub fn new(front: &Front, reply: R) -> Result<Self> {
        let (sender, ended) = channel();
        let settings = front.settings();
        let shared = Shared {
            reply,
            drain: settings.drain,
            reporter: front.reporter().clone(),
            gauge: settings.gauge.clone(),
            ended: sender,
            waker: front.signals().waker()?,
        };
        let shared = Arc::new(shared);
        Ok(Self { unended: HashMap::new(), next: 0, ended, shared, totals: Totals::default() })
    }

    /// Takes on a client, which a thread is to serve by [`Service::run`].
    pub fn enter(&mut self, socket: Socket, tuple: FourTuple) -> Service<R> {
        let (id, client) = (self.next, Arc::new(Client::new(socket, tuple)));
        self.next += 1;
        self.unended.insert(id, Arc::downgrade(&client));
        self.totals.accepted += 1;
        Service { id, client, shared: Arc::clone(&self.shared) }
    }

    /// There was no thread for it.
    pub fn forget(&mut self, id: u64) {
        self.unended.remove(&id);
        self.totals.accepted -= 1;
    }

    pub fn note_ended(&mut self) {
        for (id, account) in self.ended.try_iter() {
            self.unended.remove(&id);
            self.totals.received += account.received;
            self.totals.sent += account.sent;
        }
    }

    pub fn unended(&self) -> usize {
        self.unended.len()
    }

    pub fn totals(&self) -> Totals {
        self.totals
    }

    pub fn finish_all(&self) {
        self.unended.values().filter_map(Weak::upgrade).for_each(|client| client.finish());
    }

    pub fn abort_all(&self) {
        self.unended.values().filter_map(Weak::upgrade).for_each(|client| client.abort());
    }
}

impl<R: Reply> Service<R> {
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Serves the client to its end on this thread.
    pub fn run(self) {
        // A signal is for the thread that waits; here it would only cut short a call with a timeout.
        let _ = SigSet::all().thread_block();
        let Self { id, client, shared } = self;
        let account = serve(&client, shared.reply.clone(), shared.drain, &shared.reporter);
        drop(client);
        shared.gauge.leave();
        shared.reporter.report(&account.event());
        // Nobody listens any more where the program has given up waiting.
        let _ = shared.ended.send((id, account));
        shared.waker.wake();
    }
}
