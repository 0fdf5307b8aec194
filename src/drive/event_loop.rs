//! One thread, one epoll: wait, note what happened, give everyone concerned a turn.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::thread;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use socket2::Socket;

use super::accept::Acceptor;
use super::clock::Time;
use super::connections::{Connections, LoopSettings};
use super::signals::{Heard, Signals};
use crate::error::{Error, Result};
use crate::report::{Event, Output, Reporter};
use crate::service::{Io, Service, Signal};
use crate::terminal::raw::RawTerminal;
use crate::terminal::standard::Standard;

/// Ids of connections count up from the low end.
const LISTENER: Token = Token(usize::MAX);
const SIGNALS: Token = Token(usize::MAX - 1);
const STREAMS: Token = Token(usize::MAX - 2);
/// The most events taken from the kernel at once.
const EVENTS: usize = 1024;
/// How many waits in a row may fail, or be interrupted, before the loop gives up.
const FAILED_WAITS: u32 = 100;

/// How a loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ended {
    /// All connections came to their end, or the drain limit was over.
    Stopped,
    /// A second SIGINT or SIGTERM, this number.
    AtOnce(i32),
}

/// Waits for sockets, signals and deadlines, and calls a service.
pub struct EventLoop {
    poll: Poll,
    signals: Signals,
    acceptor: Option<Acceptor>,
    connections: Connections,
    /// How many waits in a row were interrupted. A signal leaves a byte behind that ends the next one well.
    interrupted: u32,
    /// All that had arrived by this time has been passed on.
    known_until: Time,
    /// Until then the loop does not sleep.
    awake_until: Time,
    /// When a stop turns into an abort.
    abort_at: Option<Time>,
}

impl EventLoop {
    /// A loop without connections, which hears of SIGINT and SIGTERM from now on, and of what else is
    /// `asked` of it; no other signal is caught.
    ///
    /// ```
    /// use fourtuple::{ConnectionId, Ended, EventLoop, Io, LoopSettings, Service, SocketOptions, bind};
    /// use fourtuple::{Reporter, Verbosity};
    ///
    /// struct Echo;
    ///
    /// impl Service for Echo {
    ///     fn start(&mut self, io: &mut dyn Io) -> fourtuple::Result<()> {
    ///         io.stop(); // A server does not.
    ///         Ok(())
    ///     }
    ///
    ///     fn received(&mut self, io: &mut dyn Io, id: ConnectionId, bytes: &[u8]) {
    ///         io.send(id, bytes);
    ///     }
    /// }
    ///
    /// let reporter = Reporter::to(None, Default::default(), Verbosity::Normal);
    /// let mut event_loop = EventLoop::new(reporter, LoopSettings::default(), &[])?;
    /// let listening = bind("127.0.0.1:0".parse().unwrap(), &SocketOptions::default())?.listen(128)?;
    /// event_loop.accept_from(listening)?;
    /// assert_eq!(event_loop.run(&mut Echo)?, Ended::Stopped);
    /// # Ok::<(), fourtuple::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `EMFILE`, `ENFILE` and `ENOMEM` from `epoll_create`, `EMFILE` from `fcntl`; as for signals, `EMFILE` and
    /// `ENFILE` from `socketpair`, `ENOMEM` and `ENOSPC` from `epoll_ctl`.
    pub fn new(reporter: Reporter, settings: LoopSettings, asked: &[Signal]) -> Result<Self> {
        let poll = Poll::new().map_err(|error| Error::new("epoll_create", "", error))?;
        let copy = poll.registry().try_clone();
        let registry = copy.map_err(|error| Error::new("fcntl", "F_DUPFD_CLOEXEC of epoll", error))?;
        let signals = Signals::catch(asked)?;
        poll.registry()
            .register(&mut SourceFd(&signals.as_fd().as_raw_fd()), SIGNALS, Interest::READABLE)
            .map_err(|error| Error::new("epoll_ctl", "for signals", error))?;
        let connections = Connections::new(registry, reporter, settings);
        Ok(Self {
            poll,
            signals,
            acceptor: None,
            connections,
            interrupted: 0,
            known_until: Time::default(),
            awake_until: Time::default(),
            abort_at: None,
        })
    }

    /// Accepts connections from `listener` too, and returns its address.
    ///
    /// # Errors
    ///
    /// `ENOMEM` and `ENOSPC` from `epoll_ctl`.
    pub fn accept_from(&mut self, listener: Socket) -> Result<SocketAddr> {
        let acceptor = Acceptor::watch(listener, self.poll.registry(), LISTENER)?;
        let local = acceptor.local();
        self.acceptor = Some(acceptor);
        Ok(local)
    }

    /// Takes from standard input and writes to `output`, as the service asks.
    ///
    /// With `keys`, standard input is a terminal that hands over each key at once. Its settings are as before when the
    /// loop has ended, however it ends.
    ///
    /// # Errors
    ///
    /// `EMFILE` and `ENFILE` from `eventfd`, `ENOTTY` and `EIO` from `tcgetattr`.
    pub fn converse(&mut self, output: Output, keys: bool) -> Result<()> {
        let waker = Waker::new(self.poll.registry(), STREAMS);
        let waker = waker.map_err(|error| Error::new("eventfd", "for standard input", error))?;
        self.signals.catch_streams()?;
        let mut standard = Standard::new(waker, output);
        if keys {
            self.signals.catch_terminal()?;
            standard.read_keys(RawTerminal::take()?);
        }
        self.connections.take_streams(standard);
        Ok(())
    }

    /// Serves until the service stops it, all connections have ended and all output has been written.
    ///
    /// # Errors
    ///
    /// What the service could not start with, or `epoll_wait` when it fails again and again. One
    /// connection's failure is an event and never ends the loop.
    pub fn run(mut self, service: &mut dyn Service) -> Result<Ended> {
        let mut events = Events::with_capacity(EVENTS);
        service.start(&mut self.connections)?;
        while !self.done() {
            self.take_in(&mut events)?;
            if let Some(signal) = self.hear(service) {
                self.connections.abort_all(service);
                return Ok(Ended::AtOnce(signal));
            }
            // A stop accepts the last by itself; meanwhile more would come.
            if let Some(acceptor) = &mut self.acceptor
                && !self.connections.stopping()
            {
                acceptor.accept(&mut self.connections, service);
            }
            let ended = self.connections.ended();
            self.connections.serve_streams(service);
            self.connections.take_turns(service);
            self.connections.fire_timers(service, self.known_until);
            self.connections.wake(service, self.known_until);
            if let Some(acceptor) = &mut self.acceptor
                && self.connections.ended() != ended
            {
                acceptor.note_room(self.connections.now());
            }
            self.see_to_stop(service);
        }
        Ok(Ended::Stopped)
    }

    fn done(&self) -> bool {
        let idle = self.acceptor.is_none() && self.connections.len() == 0 && !self.connections.writes();
        self.connections.stopping() && idle
    }

    /// Waits until something happens or is due, and passes on all that happened.
    fn take_in(&mut self, events: &mut Events) -> Result<()> {
        self.connections.update_now();
        let asked = self.connections.now();
        let mut timeout = match asked < self.awake_until {
            true => Some(Duration::ZERO),
            false => self.due(asked).map(|due| due.since(asked)),
        };
        let mut happened = false;
        while self.wait(events, timeout)? {
            self.dispatch(events);
            happened |= !events.is_empty();
            if events.iter().count() < EVENTS {
                // This process may be stopped at any point, so a deadline is judged only by what epoll was
                // asked after it.
                self.known_until = asked;
                break;
            }
            timeout = Some(Duration::ZERO);
        }
        self.connections.update_now();
        if happened {
            self.awake_until = self.connections.now().after(self.connections.spin());
        }
        Ok(())
    }

    /// When the loop must wake at the latest.
    fn due(&self, now: Time) -> Option<Time> {
        let accept_at = self.acceptor.as_ref().and_then(|acceptor| acceptor.due(now));
        [self.connections.due(), accept_at, self.abort_at].into_iter().flatten().min()
    }

    /// Waits for events; false where a signal interrupted it.
    fn wait(&mut self, events: &mut Events, timeout: Option<Duration>) -> Result<bool> {
        for _ in 0..FAILED_WAITS {
            match self.poll.poll(events, timeout) {
                Ok(()) => {
                    self.interrupted = 0;
                    return Ok(true);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted && self.interrupted < FAILED_WAITS => {
                    self.interrupted += 1;
                    return Ok(false);
                }
                Err(_) => thread::yield_now(),
            }
        }
        let last = self.poll.poll(events, timeout);
        last.map(|()| true).map_err(|error| Error::new("epoll_wait", "", error))
    }

    /// Tells the table and the acceptor what happened.
    fn dispatch(&mut self, events: &Events) {
        for event in events {
            match event.token() {
                LISTENER => {
                    if let Some(acceptor) = &mut self.acceptor {
                        acceptor.note_ready();
                    }
                }
                SIGNALS => self.signals.note(),
                STREAMS => self.connections.note_streams(),
                _ => self.connections.note(event),
            }
        }
    }

    /// Tells the service of the signals that came; the number of one that ends the loop at once.
    fn hear(&mut self, service: &mut dyn Service) -> Option<i32> {
        for heard in self.signals.heard() {
            match heard {
                Heard::Tell(signal) => service.signal(&mut self.connections, signal),
                Heard::Streams => self.connections.note_streams(),
                Heard::Terminal => self.connections.note_terminal(),
                Heard::EndAtOnce(number) => return Some(number),
            }
        }
        None
    }

    /// Carries out a stop: accept the last, finish all, and when the drain limit is over abort the rest.
    fn see_to_stop(&mut self, service: &mut dyn Service) {
        if !self.connections.stopping() {
            return;
        }
        let now = self.connections.now();
        match self.abort_at {
            Some(at) if at <= now => {
                self.connections.abort_all(service);
                self.connections.drop_streams();
            }
            Some(_) => {}
            None => {
                if let Some(acceptor) = self.acceptor.take() {
                    acceptor.accept_rest(&mut self.connections, service);
                }
                let limit = self.connections.drain_limit();
                self.abort_at = Some(now.after(limit));
                self.connections.finish_all();
                let connections = self.connections.len();
                if connections > 0 {
                    self.connections.report(&Event::Draining { connections, limit });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::net::FourTuple;
    use crate::report::Verbosity;
    use crate::service::{Closed, ConnectionId};
    use crate::text::Format;

    /// Asks to be woken again and again, and notes the least that it was late.
    struct Sleeper {
        due: Instant,
        times: usize,
        late: Duration,
    }

    const SLEEP: Duration = Duration::from_micros(1_200);

    impl Service for Sleeper {
        fn start(&mut self, io: &mut dyn Io) -> Result<()> {
            self.due = Instant::now() + SLEEP;
            io.wake_after(SLEEP);
            Ok(())
        }

        fn woken(&mut self, io: &mut dyn Io) {
            self.late = self.late.min(Instant::now() - self.due);
            self.times += 1;
            match self.times {
                ..50 => self.start(io).unwrap(),
                _ => io.stop(),
            }
        }

        fn opened(&mut self, _: &mut dyn Io, _: ConnectionId, _: FourTuple) {}
        fn received(&mut self, _: &mut dyn Io, _: ConnectionId, _: &[u8]) {}
        fn signal(&mut self, _: &mut dyn Io, _: Signal) {}
        fn closed(&mut self, _: &mut dyn Io, _: ConnectionId, _: Closed) {}
    }

    #[test]
    fn a_service_is_woken_to_some_microseconds_though_epoll_rounds_to_a_millisecond() {
        let reporter = Reporter::stdout(Format::Text, Verbosity::Nothing);
        let event_loop = EventLoop::new(reporter, LoopSettings::default(), &[]).unwrap();
        let mut sleeper = Sleeper { due: Instant::now(), times: 0, late: Duration::MAX };
        event_loop.run(&mut sleeper).unwrap();
        // Rounded up it would be late by 0.8 ms each time; a busy machine makes it late too, but not each time.
        assert!(sleeper.late < Duration::from_micros(400), "{:?}", sleeper.late);
    }
}
