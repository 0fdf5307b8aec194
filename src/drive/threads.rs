//! Clients that other threads of this process serve.

use std::collections::HashMap;
use std::io;
use std::os::unix::thread::JoinHandleExt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::pthread::pthread_kill;
use nix::sys::signal::{SigSet, Signal};
use signal_hook::flag;
use socket2::Socket;

use super::blocking::{Front, Model};
use super::client::{AcceptedClient, serve};
use super::event_loop::Ended;
use super::gauge::Gauge;
use super::signals::Waker;
use crate::error::{Error, Result};
use crate::net::FourTuple;
use crate::report::{Reporter, Totals};
use crate::service::{Closed, Reply};

/// Interrupts a call that blocks. Its handler does nothing, and by default it does nothing either.
const INTERRUPT: Signal = Signal::SIGURG;

/// All clients that have not ended, and the sums over those that have; `S` gives the thread that serves one.
pub(super) struct Threads<R, S> {
    start: S,
    /// How many are served at once.
    most: usize,
    unended: HashMap<u64, Served>,
    next: u64,
    ended: Receiver<(u64, Closed)>,
    shared: Arc<ThreadContext<R>>,
    totals: Totals,
}

/// A client, and the thread that serves it or will.
struct Served {
    /// The socket is closed when that thread lets go of it.
    client: Weak<AcceptedClient>,
    thread: Arc<JoinHandle<()>>,
}

/// What every thread that serves needs.
struct ThreadContext<R> {
    reply: R,
    drain: Duration,
    reporter: Reporter,
    gauge: Gauge,
    ended: Sender<(u64, Closed)>,
    waker: Waker,
}

/// A client's way through the thread that serves it.
pub(super) struct Turn<R> {
    id: u64,
    client: Arc<AcceptedClient>,
    shared: Arc<ThreadContext<R>>,
}

impl<R, S> Threads<R, S>
where
    R: Reply,
    S: Fn(Turn<R>) -> io::Result<Arc<JoinHandle<()>>>,
{
    /// No client yet, and room for `most` at once, each of which is served by [`Turn::run`] on the thread of `start`.
    ///
    /// # Errors
    ///
    /// `EMFILE` from `fcntl`.
    pub(super) fn new(front: &Front, reply: R, most: usize, start: S) -> Result<Self> {
        flag::register(INTERRUPT as i32, Arc::default())
            .map_err(|error| Error::new("sigaction", INTERRUPT, error))?;
        let (sender, ended) = channel();
        let settings = front.settings();
        let shared = ThreadContext {
            reply,
            drain: settings.drain,
            reporter: front.reporter().clone(),
            gauge: settings.gauge.clone(),
            ended: sender,
            waker: front.signals().waker()?,
        };
        let shared = Arc::new(shared);
        Ok(Self { start, most, unended: HashMap::new(), next: 0, ended, shared, totals: Totals::default() })
    }

    /// Serves what `front` accepts until a signal stops it.
    ///
    /// # Errors
    ///
    /// `ENOMEM` from `ppoll`.
    pub(super) fn run(mut self, front: Front) -> Result<(Ended, Totals)> {
        let ended = front.run(&mut self)?;
        Ok((ended, self.totals))
    }
}

impl<R, S> Model for Threads<R, S>
where
    R: Reply,
    S: Fn(Turn<R>) -> io::Result<Arc<JoinHandle<()>>>,
{
    fn has_room(&self) -> bool {
        self.unended.len() < self.most
    }

    fn serve(&mut self, socket: Socket, tuple: FourTuple, _: &Socket) -> io::Result<()> {
        let (id, client) = (self.next, Arc::new(AcceptedClient::new(socket, tuple)));
        let weak = Arc::downgrade(&client);
        let thread = (self.start)(Turn { id, client, shared: Arc::clone(&self.shared) })?;
        self.unended.insert(id, Served { client: weak, thread });
        self.next += 1;
        self.totals.accepted += 1;
        Ok(())
    }

    fn note_ended(&mut self) {
        for (id, account) in self.ended.try_iter() {
            self.unended.remove(&id);
            self.totals.received += account.received;
            self.totals.sent += account.sent;
        }
    }

    fn unended(&self) -> usize {
        self.unended.len()
    }

    fn finish_all(&mut self) {
        for served in self.unended.values() {
            if let Some(client) = served.client.upgrade() {
                client.finish();
                // The handle is held, so the number is still this thread's.
                let _ = pthread_kill(served.thread.as_pthread_t(), INTERRUPT);
            }
        }
    }

    fn abort_all(&mut self) {
        self.unended.values().filter_map(|served| served.client.upgrade()).for_each(|client| client.abort());
    }
}

impl<R: Reply> Turn<R> {
    /// Serves the client to its end on this thread.
    pub(super) fn run(self) {
        // Every other signal is for the thread that waits.
        let mut others = SigSet::all();
        others.remove(INTERRUPT);
        let _ = others.thread_set_mask();
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
