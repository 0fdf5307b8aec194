//! A conversation with one other side: what standard input brings is sent, what arrives is shown.

mod end;
mod keyword;
mod lines;
mod outgoing;
mod plan;
mod script;
mod turns;
mod view;
mod words;

use std::net::SocketAddr;
use std::time::Duration;

use nix::errno::Errno;

use super::calls::CallAttempts;
use super::{Closed, ConnectionId, Input, Io, Service, Signal, Timer};
use crate::error::{Error, Result};
use crate::net::FourTuple;
use crate::report::Event;
use crate::terminal::edit::Typed;
use crate::terminal::screen::Screen;
use keyword::Keyword;
use outgoing::Outgoing;
use plan::{LEAVE, LEFT};
use turns::Turns;
use view::View;

pub(crate) use plan::{Speaker, TalkPlan};
pub(crate) use script::{Expect, Script};
pub(crate) use view::Show;

/// With so many bytes unwritten on standard output, nothing more is read from the other side.
const MUCH_UNWRITTEN: usize = 256 * 1024;

/// Standard input has been silent for long enough.
const INPUT: Timer = Timer::named("input");
/// A line has been without its end for long enough.
const LINE: Timer = Timer::named("line");
/// The other side has kept its turn for long enough.
const KEPT: Timer = Timer::named("turn");

/// How long standard input may be silent after the other side has ended.
const SILENCE: Duration = Duration::from_secs(1);
/// How long the end of a line is waited for before its beginning is shown.
const UNFINISHED: Duration = Duration::from_millis(200);
/// How long the other side may keep its turn before that is said.
const TURN: Duration = Duration::from_secs(5);

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

#[derive(Debug)]
pub(crate) struct Talk {
    plan: TalkPlan,
    calls: CallAttempts,
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
    pub(crate) fn new(plan: TalkPlan) -> Self {
        let turns = plan.turns.then(|| Turns::new(plan.listening.is_none()));
        Self {
            calls: CallAttempts::to(plan.remotes.clone()),
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

    pub(crate) fn remote(&self) -> Option<SocketAddr> {
        self.calls.remote()
    }

    /// How it ended.
    ///
    /// # Errors
    ///
    /// Where nobody could be reached, the other side sent RST, or standard input or output failed.
    pub(crate) fn outcome(self) -> Result<()> {
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

    /// Tells, in a while, that the other side keeps the turn.
    fn expect_turn(&self, io: &mut dyn Io, id: ConnectionId) {
        if self.outgoing.turns.as_ref().is_some_and(|turns| !turns.ours()) {
            io.after(id, KEPT, TURN);
        }
    }

    /// After the other side's end, what input still brings is sent; when it falls silent, that is the end.
    fn expect_input(&self, io: &mut dyn Io, id: ConnectionId) {
        if self.partner_ended {
            io.after(id, INPUT, SILENCE);
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
            true => io.after(id, LINE, UNFINISHED),
            false => io.cancel(id, LINE),
        }
    }

    fn hear_turn(&mut self, io: &mut dyn Io, id: ConnectionId, bytes: &[u8]) {
        let Some(turns) = &mut self.outgoing.turns else { return };
        let echoed = turns.hear(bytes);
        if turns.ours() {
            io.cancel(id, KEPT);
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
                self.leave(io);
                let rest = self.view.rest();
                self.show(io, &rest);
                self.say_here(io, "The other side has ended the talk");
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
            State::Leaving => io.after(id, LEFT, LEAVE),
            State::Waiting | State::Over => {}
        }
    }

    fn timer(&mut self, io: &mut dyn Io, id: ConnectionId, timer: Timer) {
        match timer {
            LEFT | INPUT if self.is_partner(id) && !self.outgoing.is_idle() => {}
            LEFT => io.close(id),
            INPUT => io.finish(id),
            LINE => {
                let shown = self.view.so_far();
                self.show(io, &shown);
            }
            KEPT => self.complain(io),
            _ => {}
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
        if let Some(error) = self.calls.failed(io, error) {
            self.failure = Some(error);
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
