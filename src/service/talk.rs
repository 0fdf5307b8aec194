//! A conversation with one other side: what standard input brings is sent, what arrives is shown.

mod keyword;
mod lines;
mod view;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use nix::errno::Errno;

use super::{Closed, ConnectionId, Input, Io, Service, Signal, Timer};
use crate::error::{Error, Result};
use crate::net::FourTuple;
use crate::report::{CloseReason, Event, Refusal};
use keyword::Keyword;
use view::View;

pub use view::Show;

/// With so many bytes unwritten on standard output, nothing more is read from the other side.
const MUCH_UNWRITTEN: usize = 256 * 1024;
/// How long the other side may take to end after we have.
const LEAVE: Duration = Duration::from_secs(1);
/// How long standard input may be silent after the other side has ended.
const SILENCE: Duration = Duration::from_secs(1);
/// How long the end of a line is waited for before its beginning is shown.
const UNFINISHED: Duration = Duration::from_millis(200);

/// With whom to talk, and how.
#[derive(Clone, Debug)]
pub struct TalkPlan {
    /// The addresses to call, tried in order until one answers; none: wait for a caller.
    pub remotes: Vec<SocketAddr>,
    /// The address callers reach, where one is waited for.
    pub listening: Option<SocketAddr>,
    /// What to call oneself: the other side is a relay then.
    pub name: Option<String>,
    /// A line that is one of these ends the conversation, whoever says it.
    pub bye: Vec<String>,
    /// Standard input is a person at a terminal: nobody is there to go on once the other side has ended.
    pub person: bool,
    /// How the other side's words are shown.
    pub show: Show,
}

/// Where a conversation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nobody is there yet.
    Waiting,
    Talking,
    /// We have ended it, and the other side may take a moment to.
    Leaving,
    /// It is over; what was said may still be on its way to standard output.
    Over,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Talking => "talking",
            Self::Leaving => "leaving",
            Self::Over => "over",
        }
    }
}

/// A conversation.
#[derive(Debug)]
pub struct Talk {
    plan: TalkPlan,
    /// How many of the plan's remotes have been tried, and the call that has not been answered yet.
    tried: usize,
    calling: Option<ConnectionId>,
    state: State,
    partner: Option<(ConnectionId, FourTuple)>,
    /// In what we say, and in what we hear.
    keywords: [Keyword; 2],
    view: View,
    input_ended: bool,
    partner_ended: bool,
    received: u64,
    /// Bytes given to the driver, and how many of them the kernel has not taken.
    given: u64,
    unsent: usize,
    failure: Option<Error>,
}

impl Talk {
    /// A conversation that has not begun.
    pub fn new(plan: TalkPlan) -> Self {
        Self {
            tried: 0,
            calling: None,
            state: State::Waiting,
            partner: None,
            keywords: [Keyword::new(&plan.bye), Keyword::new(&plan.bye)],
            view: View::new(plan.show, plan.name.is_some()),
            input_ended: false,
            partner_ended: false,
            received: 0,
            given: 0,
            unsent: 0,
            failure: None,
            plan,
        }
    }

    /// The address tried last.
    pub fn remote(&self) -> Option<SocketAddr> {
        self.plan.remotes.get(self.tried.checked_sub(1)?).copied()
    }

    /// How it ended.
    ///
    /// # Errors
    ///
    /// Where nobody could be reached, the other side sent RST, or standard input or output failed.
    pub fn outcome(self) -> Result<()> {
        self.failure.map_or(Ok(()), Err)
    }

    /// Opens to the first remote not tried yet that does not fail at once.
    fn call(&mut self, io: &mut dyn Io) -> Result<()> {
        while let Some(&remote) = self.plan.remotes.get(self.tried) {
            self.tried += 1;
            match io.open(any_address(remote), remote) {
                Ok(id) => {
                    self.calling = Some(id);
                    return Ok(());
                }
                Err(error) => self.failed_call(error),
            }
        }
        self.failure.take().map_or(Ok(()), Err)
    }

    /// Keeps the latest failure, with the ones before it as notes.
    fn failed_call(&mut self, error: Error) {
        self.failure = Some(match self.failure.take() {
            Some(before) => error.note(format_args!("and before: {before}")),
            None => error,
        });
    }

    fn is_partner(&self, id: ConnectionId) -> bool {
        self.partner.is_some_and(|(partner, _)| partner == id)
    }

    fn begin(&mut self, io: &mut dyn Io, id: ConnectionId, tuple: FourTuple) {
        self.partner = Some((id, tuple));
        self.state = State::Talking;
        self.calling = None;
        self.failure = None;
        let FourTuple { local, remote } = tuple;
        io.report(&match self.plan.listening {
            Some(_) => Event::Accepted { local, remote },
            None => Event::Established { local, remote },
        });
        if let Some(name) = &self.plan.name {
            let line = format!("/name {name}\n");
            self.send(io, id, line.as_bytes());
        }
        io.resume_input();
    }

    fn send(&mut self, io: &mut dyn Io, id: ConnectionId, bytes: &[u8]) {
        self.given += bytes.len() as u64;
        self.unsent = io.send(id, bytes);
        if self.unsent > 0 {
            io.pause_input();
        }
    }

    /// What standard input brought, up to a keyword.
    fn say(&mut self, io: &mut dyn Io, id: ConnectionId, bytes: &[u8]) {
        let [said, _] = &mut self.keywords;
        let end = said.find(bytes);
        self.send(io, id, bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default());
        if end.is_some() {
            self.leave(io);
        } else {
            self.expect_input(io, id);
        }
    }

    /// After the other side's end, what input still brings is sent; when it falls silent, that is the end.
    fn expect_input(&self, io: &mut dyn Io, id: ConnectionId) {
        if self.partner_ended {
            io.after(id, Timer::Input, SILENCE);
        }
    }

    /// What arrived, up to a keyword.
    fn hear(&mut self, io: &mut dyn Io, id: ConnectionId, bytes: &[u8]) {
        let [_, heard] = &mut self.keywords;
        let end = heard.find(bytes);
        let shown = self.view.arrived(bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default());
        if io.write(&shown) > MUCH_UNWRITTEN {
            io.pause(id);
        }
        if end.is_some() {
            return self.leave(io);
        }
        if self.view.waits() {
            io.after(id, Timer::Line, UNFINISHED);
        } else {
            io.cancel(id, Timer::Line);
        }
    }

    /// Ends the conversation from our side; what the other side still says is thrown away.
    fn leave(&mut self, io: &mut dyn Io) {
        if let Some(id) = self.calling.take() {
            self.failure = None;
            io.close(id);
        }
        if let Some((id, _)) = self.partner.filter(|_| self.state == State::Talking) {
            self.state = State::Leaving;
            io.finish(id);
            io.after(id, Timer::Leave, LEAVE);
        }
        io.pause_input();
        io.stop();
    }

    /// Whoever calls while we talk is told so; closing at once would send RST if it has said something.
    fn turn_away(&self, io: &mut dyn Io, id: ConnectionId, tuple: FourTuple) {
        let FourTuple { local, remote } = tuple;
        io.report(&Event::Refused { local, remote, reason: Refusal::Busy });
        io.send(id, b"busy\n");
        io.finish(id);
        io.after(id, Timer::Leave, LEAVE);
    }

    /// Why an end that the other side or the kernel brought about is a failure, if it is one.
    fn judge(&mut self, closed: &Closed) {
        // However the other side takes our leaving, it is over.
        if self.state == State::Leaving {
            return;
        }
        let error = |call, source: io::Error| Some(Error::new(call, closed.tuple, source));
        let failure = match closed.reason {
            CloseReason::Fin | CloseReason::Local | CloseReason::Abort => None,
            CloseReason::Reset => error("recv", Errno::ECONNRESET.into())
                .map(|error| error.note("the other side broke off (RST): what it had not read is lost")),
            CloseReason::Failed(call, errno) => error(call, errno.into()),
            CloseReason::ReceiveTimeout | CloseReason::SendTimeout => {
                error("send", io::Error::other("a time limit was over"))
            }
        };
        self.failure = failure.or(self.failure.take());
    }

    fn status(&self) -> Option<Event<'static>> {
        let (local, remote) = match self.partner {
            Some((_, tuple)) => (tuple.local, Some(tuple.remote)),
            None => (self.plan.listening.or_else(|| self.remote().map(any_address))?, self.remote()),
        };
        let sent = self.given - self.unsent as u64;
        let state = self.state.word();
        Some(Event::Conversation { state, local, remote, received: self.received, sent, unsent: self.unsent })
    }
}

/// The wildcard address of the same family, and any port.
fn any_address(remote: SocketAddr) -> SocketAddr {
    match remote {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

impl Service for Talk {
    fn start(&mut self, io: &mut dyn Io) -> Result<()> {
        self.call(io)
    }

    fn opened(&mut self, io: &mut dyn Io, id: ConnectionId, tuple: FourTuple) {
        match self.state {
            State::Waiting => self.begin(io, id, tuple),
            _ => self.turn_away(io, id, tuple),
        }
    }

    fn received(&mut self, io: &mut dyn Io, id: ConnectionId, bytes: &[u8]) {
        if self.is_partner(id) && self.state == State::Talking {
            self.received += bytes.len() as u64;
            self.hear(io, id, bytes);
        }
    }

    fn finished(&mut self, io: &mut dyn Io, id: ConnectionId) {
        match self.state {
            State::Talking if self.is_partner(id) && self.plan.person => self.leave(io),
            State::Talking if self.is_partner(id) => {
                self.partner_ended = true;
                self.expect_input(io, id);
            }
            _ => io.finish(id),
        }
    }

    fn drained(&mut self, io: &mut dyn Io, id: ConnectionId) {
        if !self.is_partner(id) {
            return;
        }
        self.unsent = 0;
        if self.state == State::Talking {
            io.resume_input();
            self.expect_input(io, id);
        }
    }

    fn timer(&mut self, io: &mut dyn Io, id: ConnectionId, timer: Timer) {
        match timer {
            Timer::Leave | Timer::Input if self.is_partner(id) && self.unsent > 0 => {}
            Timer::Leave => io.close(id),
            Timer::Input => io.finish(id),
            Timer::Line => {
                let shown = self.view.so_far();
                io.write(&shown);
            }
            Timer::Interval | Timer::Answer => {}
        }
    }

    fn input(&mut self, io: &mut dyn Io, input: Input<'_>) {
        let Some((id, _)) = self.partner.filter(|_| self.state == State::Talking) else { return };
        match input {
            Input::Bytes(bytes) => self.say(io, id, bytes),
            Input::End => {
                self.input_ended = true;
                io.finish(id);
            }
            Input::Failed(error) => {
                self.failure = Some(error);
                self.leave(io);
            }
        }
    }

    fn written(&mut self, io: &mut dyn Io, outcome: Result<()>) {
        match outcome {
            Err(error) => {
                // Whoever has closed its end of a pipe has seen enough.
                if error.errno() != Some(Errno::EPIPE) {
                    self.failure = Some(error);
                }
                self.leave(io);
            }
            Ok(()) if self.state == State::Over => io.stop(),
            Ok(()) => {
                if let Some((id, _)) = self.partner {
                    io.resume(id);
                }
            }
        }
    }

    fn failed(&mut self, io: &mut dyn Io, _: ConnectionId, error: Error) {
        self.failed_call(error);
        if let Err(error) = self.call(io) {
            self.failure = Some(error);
            io.stop();
        }
    }

    fn signal(&mut self, io: &mut dyn Io, signal: Signal) {
        match signal {
            Signal::Stop | Signal::Goodbye => self.leave(io),
            Signal::Status => {
                if let Some(status) = self.status() {
                    io.report(&status);
                }
            }
        }
    }

    fn closed(&mut self, io: &mut dyn Io, id: ConnectionId, account: Closed) {
        if !self.is_partner(id) {
            return;
        }
        io.report(&account.event());
        self.judge(&account);
        self.state = State::Over;
        let rest = self.view.rest();
        if io.write(&rest) == 0 {
            io.stop();
        }
    }
}
