//! What the models share that serve each connection by blocking calls: one thread waits in poll(2) for connections,
//! signals and deadlines, and a [`Model`] has the connections served elsewhere.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;
use std::{io, thread};

use nix::poll::{PollFd, PollFlags};
use socket2::Socket;

use super::clock::{Clock, Time};
use super::connections::LoopSettings;
use super::event_loop::Ended;
use super::exhaustion::{Accepted, Exhaustion};
use super::signals::{Heard, Signals};
use crate::error::{Error, Result};
use crate::net::{FourTuple, accept_queue, local_address};
use crate::ready;
use crate::report::{Event, Reporter};
use crate::service::Signal;

/// The most connections accepted before signals are looked for again.
const BATCH: usize = 256;
/// How many waits in a row may fail before this gives up.
const FAILED_WAITS: u32 = 100;
/// How long those who serve may take to notice that their connection was aborted.
const GRACE: Duration = Duration::from_secs(1);

/// Who serves the connections that were accepted.
pub(super) trait Model {
    /// Whether one more would be served now; where not, it waits in the accept queue.
    fn has_room(&self) -> bool {
        true
    }

    /// Has a connection served to its end; `listener` is the socket it came from.
    ///
    /// # Errors
    ///
    /// `EAGAIN` and `ENOMEM` where there is nobody to serve it.
    fn serve(&mut self, socket: Socket, tuple: FourTuple, listener: &Socket) -> io::Result<()>;

    /// Notes who has ended; called whenever something woke the driver.
    fn note_ended(&mut self);

    /// How many have not ended.
    fn unended(&self) -> usize;

    /// Ends every connection once what was read is answered.
    fn finish_all(&mut self);

    fn abort_all(&mut self);

    /// What is to wake the driver, too, when it is readable.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// How far the end has come.
enum DrainPhase {
    Serving,
    Draining { until: Time },
    Aborting { until: Time, ended: Ended },
}

/// Waits, accepts and hears signals on behalf of a model.
pub(crate) struct Front {
    listener: Option<Socket>,
    local: SocketAddr,
    exhaustion: Exhaustion,
    signals: Signals,
    clock: Clock,
    reporter: Reporter,
    settings: LoopSettings,
    stage: DrainPhase,
}

impl Front {
    /// Accepts from `listener`, which does not block, and answers SIGINT, SIGTERM and SIGUSR2 from now on.
    ///
    /// # Errors
    ///
    /// `EMFILE` and `ENFILE` from `socketpair`.
    pub(crate) fn new(listener: Socket, reporter: Reporter, settings: LoopSettings) -> Result<Self> {
        let local = local_address(&listener)?;
        Ok(Self {
            listener: Some(listener),
            local,
            exhaustion: Exhaustion::default(),
            signals: Signals::catch(&[Signal::Stop, Signal::Status])?,
            clock: Clock::start(),
            reporter,
            settings,
            stage: DrainPhase::Serving,
        })
    }

    /// The address of the listening socket.
    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    pub(super) fn signals(&self) -> &Signals {
        &self.signals
    }

    pub(super) fn reporter(&self) -> &Reporter {
        &self.reporter
    }

    pub(super) fn settings(&self) -> &LoopSettings {
        &self.settings
    }

    /// Serves until a signal stops it and all connections have ended.
    ///
    /// # Errors
    ///
    /// `ENOMEM` from `ppoll` when it fails again and again. One connection's failure is an event and never ends this.
    pub(super) fn run(mut self, model: &mut dyn Model) -> Result<Ended> {
        loop {
            let connection_waits = self.wait(model)?;
            // Before what a signal tells of is looked at: one that comes after that must wake this loop again.
            self.hear(model);
            model.note_ended();
            if connection_waits {
                self.accept(model);
            }
            if let Some(ended) = self.see_to_end(model) {
                return Ok(ended);
            }
        }
    }

    /// Waits until something happens or is due; whether a connection may wait to be accepted.
    fn wait(&mut self, model: &dyn Model) -> Result<bool> {
        let now = self.clock.now();
        self.exhaustion.calm(now).iter().for_each(|event| self.reporter.report(event));
        let listener = self.listener.as_ref().filter(|_| model.has_room());
        let retry = self.exhaustion.paused().filter(|_| listener.is_some());
        let readable = |descriptor| PollFd::new(descriptor, PollFlags::POLLIN);
        let asked = listener.filter(|_| retry.is_none()).map(Socket::as_fd);
        let always = [Some(self.signals.as_fd()), model.descriptor()];
        let mut descriptors: Vec<PollFd> =
            always.into_iter().chain([asked]).flatten().map(readable).collect();
        let due = [retry, self.exhaustion.calm_at(), self.ends_at()].into_iter().flatten().min();
        poll(&mut descriptors, due.map(|due| due.since(now)))?;
        let is_ready = |descriptor: Option<&PollFd>| descriptor.and_then(PollFd::any).unwrap_or(false);
        if is_ready(descriptors.first()) {
            self.signals.note();
        }
        Ok(match retry {
            Some(at) => at <= self.clock.now(),
            None => asked.is_some() && is_ready(descriptors.last()),
        })
    }

    fn ends_at(&self) -> Option<Time> {
        match self.stage {
            DrainPhase::Serving => None,
            DrainPhase::Draining { until } | DrainPhase::Aborting { until, .. } => Some(until),
        }
    }

    fn hear(&mut self, model: &mut dyn Model) {
        for heard in self.signals.heard() {
            match heard {
                Heard::Tell(Signal::Status) => {
                    self.reporter.report(&Event::Connections { open: self.settings.gauge.open() });
                }
                Heard::Tell(Signal::Stop | Signal::Goodbye) => self.stop(model),
                Heard::Streams | Heard::Terminal => {}
                Heard::EndAtOnce(number) => self.abort(model, Ended::AtOnce(number)),
            }
        }
    }

    /// Accepts until the queue is empty, a batch at most.
    fn accept(&mut self, model: &mut dyn Model) {
        for _ in 0..BATCH {
            if !(model.has_room() && self.accept_one(model)) {
                return;
            }
        }
    }

    /// Accepts one, unless none waits or the kernel has no room for one.
    fn accept_one(&mut self, model: &mut dyn Model) -> bool {
        let Some(listener) = &self.listener else { return false };
        match self.exhaustion.note(listener.accept(), self.clock.now()) {
            Accepted::Client((socket, remote)) => {
                if let Some(remote) = remote.as_socket() {
                    self.admit(model, listener, socket, remote);
                }
                return true;
            }
            Accepted::Skip => return true,
            Accepted::QueueEmpty => {}
            Accepted::Paused(event) => event.iter().for_each(|event| self.reporter.report(event)),
        }
        false
    }

    /// Has a connection served, or refuses it.
    fn admit(&self, model: &mut dyn Model, listener: &Socket, socket: Socket, remote: SocketAddr) {
        let getsockname = || socket.local_addr().map(|local| local.as_socket().unwrap_or(self.local));
        let admitted = self.settings.admit(self.local, remote, getsockname);
        let outcome = admitted.and_then(|tuple| {
            model.serve(socket, tuple, listener).map_err(|error| self.settings.turn_out(&error))
        });
        if let Err(reason) = outcome {
            self.reporter.report(&Event::Refused { local: self.local, remote, reason });
        }
    }

    /// Accepts the last, closes the listening socket, and lets all connections finish.
    fn stop(&mut self, model: &mut dyn Model) {
        // Closing it would reset those in its queue. Those who come meanwhile are not waited for: there may be no end
        // to them.
        let waiting = self.listener.as_ref().map_or(0, |listener| accept_queue(listener).unwrap_or(BATCH));
        for _ in 0..waiting {
            if !self.accept_one(model) {
                break;
            }
        }
        self.listener = None;
        self.exhaustion = Exhaustion::default();
        model.finish_all();
        let limit = self.settings.drain;
        self.stage = DrainPhase::Draining { until: self.clock.now().after(limit) };
        let connections = self.settings.gauge.open();
        if connections > 0 {
            self.reporter.report(&Event::Draining { connections, limit });
        }
    }

    fn abort(&mut self, model: &mut dyn Model, ended: Ended) {
        model.abort_all();
        self.stage = DrainPhase::Aborting { until: self.clock.now().after(GRACE), ended };
    }

    /// Carries out what is due; how it ended, if it has.
    fn see_to_end(&mut self, model: &mut dyn Model) -> Option<Ended> {
        let now = self.clock.now();
        if let DrainPhase::Draining { until } = self.stage
            && until <= now
        {
            self.abort(model, Ended::Stopped);
        }
        let none_left = model.unended() == 0;
        match self.stage {
            DrainPhase::Draining { .. } if none_left => Some(Ended::Stopped),
            DrainPhase::Aborting { until, ended } if none_left || until <= now => Some(ended),
            _ => None,
        }
    }
}

/// Waits for events, a signal or the end of `limit`.
fn poll(descriptors: &mut [PollFd], limit: Option<Duration>) -> Result<()> {
    let mut failed = 0;
    loop {
        match ready::wait_within(descriptors, limit) {
            Ok(_) => return Ok(()),
            Err(_) if failed < FAILED_WAITS => thread::yield_now(),
            Err(errno) => return Err(Error::new("ppoll", "", errno)),
        }
        failed += 1;
    }
}
