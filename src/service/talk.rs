//! A conversation with one other side: what standard input brings is sent, what arrives is shown.

mod calls;
mod edit;
mod keys;
mod keyword;
mod lines;
mod outgoing;
mod screen;
mod script;
mod turns;
mod view;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use nix::errno::Errno;

use super::{Closed, ConnectionId, Input, Io, Service, Signal, Timer};
use crate::error::{Error, Result};
use crate::net::FourTuple;
use crate::report::{CloseReason, Event, Refusal, Short};
use calls::{Calls, any_address};
use edit::Typed;
use keyword::Keyword;
use outgoing::Outgoing;
use screen::Screen;
use turns::Turns;
use view::View;

pub use script::Script;
pub use view::Show;

/// With so many bytes unwritten on standard output, nothing more is read from the other side.
const MUCH_UNWRITTEN: usize = 256 * 1024;
/// How long the other side may take to end after we have.
const LEAVE: Duration = Duration::from_secs(1);
/// How long standard input may be silent after the other side has ended.
const SILENCE: Duration = Duration::from_secs(1);
/// How long the end of a line is waited for before its beginning is shown.
const UNFINISHED: Duration = Duration::from_millis(200);
/// How long the other side may keep its turn before that is said.
const TURN: Duration = Duration::from_secs(5);

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
    /// Each side says a line in turn, the caller first.
    pub turns: bool,
    /// Who speaks for us.
    pub speaker: Speaker,
    /// How the other side's words are shown.
    pub show: Show,
}

/// What standard input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// A file, a pipe: what it brings is sent even after the other side has ended.
    Program,
    /// A terminal that edits lines by itself.
    Person,
    /// A terminal that hands over each key; the line is edited here.
    Keyboard,
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
    calls: Calls,
    state: State,
    partner: Option<(ConnectionId, FourTuple)>,
    outgoing: Outgoing,
    /// In what we hear.
    keyword: Keyword,
    view: View,
    screen: Option<Screen>,
    /// The other side is not read from.
    paused: bool,
    partner_ended: bool,
    received: u64,
    failure: Option<Error>,
}

impl Talk {
    /// A conversation that has not begun.
    pub fn new(plan: TalkPlan) -> Self {
        let turns = plan.turns.then(|| Turns::new(plan.listening.is_none()));
        Self {
            calls: Calls::to(plan.remotes.clone()),
            state: State::Waiting,
            partner: None,
            outgoing: Outgoing::new(Keyword::new(&plan.bye), turns),
            keyword: Keyword::new(&plan.bye),
            view: View::new(plan.show, plan.name.is_some()),
            screen: (plan.speaker == Speaker::Keyboard).then(Screen::new),
            paused: false,
            partner_ended: false,
            received: 0,
            failure: None,
            plan,
        }
    }

    /// The address called last.
    pub fn remote(&self) -> Option<SocketAddr> {
        self.calls.remote()
    }

    /// How it ended.
    ///
    /// # Errors
    ///
    /// Where nobody could be reached, the other side sent RST, or standard input or output failed.
    pub fn outcome(self) -> Result<()> {
        self.failure.map_or(Ok(()), Err)
    }

    fn is_partner(&self, id: ConnectionId) -> bool {
        self.partner.is_some_and(|(partner, _)| partner == id)
    }

    fn begin(&mut self, io: &mut dyn Io, id: ConnectionId, tuple: FourTuple) {
        self.partner = Some((id, tuple));
        self.state = State::Talking;
        self.calls.end();
        let FourTuple { local, remote } = tuple;
        io.report(&match self.plan.listening {
            Some(_) => Event::Accepted { local, remote },
            None => Event::Established { local, remote },
        });
        self.greet(io, remote);
        if let Some(name) = &self.plan.name {
            let line = format!("/name {name}\n");
            self.outgoing.send(io, id, line.as_bytes());
        }
        self.outgoing.send_in_turn(io, id);
        self.expect_turn(io, id);
    }

    fn greet(&mut self, io: &mut dyn Io, remote: SocketAddr) {
        self.say_here(io, &format!("Connected to {remote}"));
        if self.plan.speaker != Speaker::Program {
            let words = match self.plan.bye.as_slice() {
                [] => "Ctrl-C ends the talk, Ctrl-D your part of it".to_owned(),
                words => format!("A line {} ends the talk, and so does Ctrl-C", words.join(" or ")),
            };
            self.say_here(io, &words);
        }
        match &self.outgoing.turns {
            Some(turns) if turns.ours() => self.notice(io, "Line by line in turns: yours is the first"),
            Some(_) => self.notice(io, "Line by line in turns: the caller's is the first, yours wait for it"),
            None => {}
        }
        if let Some(screen) = &mut self.screen {
            io.write(screen.open().as_bytes());
        }
    }

    /// Shows lines that are harmless, above the one being typed; how many bytes are unwritten.
    fn show(&self, io: &mut dyn Io, lines: &[u8]) -> usize {
        match &self.screen {
            Some(screen) if !lines.is_empty() => io.write(&screen.above(lines)),
            _ => io.write(lines),
        }
    }

    /// Says something on the terminal, where standard output is one.
    fn say_here(&self, io: &mut dyn Io, words: &str) {
        if self.plan.show == Show::Lines {
            self.show(io, format!("{words}\n").as_bytes());
        }
    }

    /// Says something on the terminal, or else as an event.
    fn notice(&self, io: &mut dyn Io, words: &str) {
        self.say_here(io, words);
        if self.plan.show != Show::Lines {
            io.report(&Event::Notice { words });
        }
    }

    fn type_in(&mut self, io: &mut dyn Io, id: ConnectionId, keys: &[u8]) {
        let Some(screen) = &mut self.screen else { return self.say(io, id, keys) };
        if self.outgoing.has_ended() {
            return;
        }
        let (typed, shown) = screen.type_in(keys);
        io.write(&shown);
        for ended in typed {
            match ended {
                _ if self.state != State::Talking => {}
                Typed::Line(line) => self.say(io, id, format!("{line}\n").as_bytes()),
                Typed::End => self.end_input(io, id),
            }
        }
    }

    fn say(&mut self, io: &mut dyn Io, id: ConnectionId, bytes: &[u8]) {
        if self.outgoing.say(io, id, bytes) {
            return self.leave(io);
        }
        self.expect_turn(io, id);
        self.expect_input(io, id);
    }

    fn end_input(&mut self, io: &mut dyn Io, id: ConnectionId) {
        self.outgoing.end(io, id);
        self.close_screen(io);
        if self.plan.speaker != Speaker::Program {
            self.say_here(io, "You have ended your part; Ctrl-C ends the talk");
        }
    }

    fn close_screen(&mut self, io: &mut dyn Io) {
        if let Some(screen) = &mut self.screen {
            io.write(screen.close().as_bytes());
        }
    }

    /// Tells, in a while, that the other side keeps the turn.
    fn expect_turn(&self, io: &mut dyn Io, id: ConnectionId) {
        if self.outgoing.turns.as_ref().is_some_and(|turns| !turns.ours()) {
            io.after(id, Timer::Turn, TURN);
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
        let end = self.keyword.find(bytes);
        let bytes = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        let shown = self.view.arrived(bytes);
        self.paused = self.show(io, &shown) > MUCH_UNWRITTEN;
        if self.paused {
            io.pause(id);
        }
        if end.is_some() {
            return self.leave(io);
        }
        self.expect_line(io, id);
        self.hear_turn(io, id, bytes);
    }

    /// Shows the beginning of a line in a while, unless its end comes before or is not read.
    fn expect_line(&self, io: &mut dyn Io, id: ConnectionId) {
        match self.view.waits() && !self.paused {
            true => io.after(id, Timer::Line, UNFINISHED),
            false => io.cancel(id, Timer::Line),
        }
    }

    fn hear_turn(&mut self, io: &mut dyn Io, id: ConnectionId, bytes: &[u8]) {
        let Some(turns) = &mut self.outgoing.turns else { return };
        let echoed = turns.hear(bytes);
        if turns.ours() {
            io.cancel(id, Timer::Turn);
        }
        if echoed {
            self.notice(
                io,
                "Your first line came back as it was: an echo server? It takes a turn with each line",
            );
        }
        self.outgoing.send_in_turn(io, id);
        self.expect_turn(io, id);
    }

    /// Ends the conversation from our side; what the other side still says is thrown away.
    fn leave(&mut self, io: &mut dyn Io) {
        if let Some(id) = self.calls.end() {
            io.close(id);
        }
        if let Some((id, _)) = self.partner.filter(|_| self.state == State::Talking) {
            self.state = State::Leaving;
            self.close_screen(io);
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
        let (sent, unsent) = self.outgoing.counts();
        let state = self.state.word();
        Some(Event::Conversation { state, local, remote, received: self.received, sent, unsent })
    }
}

impl Service for Talk {
    fn start(&mut self, io: &mut dyn Io) -> Result<()> {
        if let Some(local) = self.plan.listening {
            self.say_here(io, &format!("Waiting for a caller on {local}"));
        }
        self.calls.next(io)
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
        if !self.is_partner(id) || self.state != State::Talking {
            return io.finish(id);
        }
        self.partner_ended = true;
        // No turn comes any more.
        self.outgoing.send_all(io, id);
        match self.plan.speaker {
            Speaker::Program => self.expect_input(io, id),
            Speaker::Person | Speaker::Keyboard => {
                let rest = self.view.rest();
                self.show(io, &rest);
                self.say_here(io, "The other side has ended the talk");
                self.leave(io);
            }
        }
    }

    fn drained(&mut self, io: &mut dyn Io, id: ConnectionId) {
        if !self.is_partner(id) {
            return;
        }
        self.outgoing.drained();
        match self.state {
            State::Talking => {
                self.outgoing.send_in_turn(io, id);
                self.expect_input(io, id);
            }
            State::Leaving => io.after(id, Timer::Leave, LEAVE),
            State::Waiting | State::Over => {}
        }
    }

    fn timer(&mut self, io: &mut dyn Io, id: ConnectionId, timer: Timer) {
        match timer {
            Timer::Leave | Timer::Input if self.is_partner(id) && !self.outgoing.is_idle() => {}
            Timer::Leave => io.close(id),
            Timer::Input => io.finish(id),
            Timer::Line => {
                let shown = self.view.so_far();
                self.show(io, &shown);
            }
            Timer::Turn => {
                let waiting = self.outgoing.turns.as_ref().map_or(0, Turns::waiting);
                let words = format!(
                    "It is the other side's turn, and it has ended no line for {}; yours that wait: {waiting}. \
                     Does it take turns? If not, talk without --turns",
                    Short(TURN)
                );
                self.notice(io, &words);
            }
            Timer::Interval | Timer::Answer => {}
        }
    }

    fn input(&mut self, io: &mut dyn Io, input: Input<'_>) {
        if let (Input::Columns(columns), Some(screen)) = (&input, &mut self.screen) {
            io.write(screen.resize(*columns).as_bytes());
        }
        let Some((id, _)) = self.partner.filter(|_| self.state == State::Talking) else { return };
        match input {
            Input::Bytes(bytes) => self.type_in(io, id, bytes),
            Input::Columns(_) => {}
            Input::End => self.end_input(io, id),
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
                if let Some((id, _)) = self.partner.filter(|_| self.paused) {
                    self.paused = false;
                    io.resume(id);
                    self.expect_line(io, id);
                }
            }
        }
    }

    fn failed(&mut self, io: &mut dyn Io, _: ConnectionId, error: Error) {
        self.calls.failed(error);
        if let Err(error) = self.calls.next(io) {
            self.failure = Some(error);
            io.stop();
        }
    }

    fn signal(&mut self, io: &mut dyn Io, signal: Signal) {
        match signal {
            Signal::Stop => self.leave(io),
            Signal::Goodbye => {
                self.notice(io, "The conversation ends (SIGUSR1)");
                self.leave(io);
            }
            Signal::Status => {
                if let Some(status) = self.status() {
                    io.report(&status);
                    self.say_here(io, &status.text());
                }
            }
        }
    }

    fn closed(&mut self, io: &mut dyn Io, id: ConnectionId, account: Closed) {
        if !self.is_partner(id) {
            return;
        }
        self.judge(&account);
        self.state = State::Over;
        self.close_screen(io);
        let rest = self.view.rest();
        self.show(io, &rest);
        io.report(&account.event());
        self.say_here(io, "Disconnected");
        if io.write(&[]) == 0 {
            io.stop();
        }
    }
}

#[cfg(test)]
mod tests;
