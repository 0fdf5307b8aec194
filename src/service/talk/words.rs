//! What we say to the one who sits here, beside the conversation.

use std::net::SocketAddr;

use super::turns::Turns;
use super::view::Show;
use super::{Speaker, TURN, Talk};
use crate::net::any_local;
use crate::report::{self, Event};
use crate::service::Io;
use crate::text::{Setting, Short};

impl Talk {
    pub(super) fn greet(&mut self, io: &mut dyn Io, remote: SocketAddr) {
        self.say_here(io, &format!("Connected to {remote}"));
        if self.plan.speaker != Speaker::Program {
            let words: Vec<_> = self.plan.bye.iter().map(|word| format!("{word}, ")).collect();
            self.say_here(io, &format!("To end the talk: {}Ctrl-C; your part of it: Ctrl-D", words.concat()));
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
    pub(super) fn show(&self, io: &mut dyn Io, lines: &[u8]) -> usize {
        match &self.screen {
            Some(screen) if !lines.is_empty() => io.write(&screen.above(lines)),
            _ => io.write(lines),
        }
    }

    /// Says something on the terminal, where standard output is one.
    pub(super) fn say_here(&self, io: &mut dyn Io, words: &str) {
        if self.plan.show == Show::Lines {
            self.show(io, format!("{words}\n").as_bytes());
        }
    }

    /// Says something on the terminal, or else as an event.
    pub(super) fn notice(&self, io: &mut dyn Io, words: &str) {
        self.say_here(io, words);
        if self.plan.show != Show::Lines {
            io.report(&Event::Talk(report::TalkEvent::Notice { words }));
        }
    }

    pub(super) fn close_screen(&mut self, io: &mut dyn Io) {
        if let Some(screen) = &mut self.screen {
            io.write(screen.close().as_bytes());
        }
    }

    /// The other side keeps its turn.
    pub(super) fn complain(&self, io: &mut dyn Io) {
        let waiting = self.outgoing.turns.as_ref().map_or(0, Turns::waiting);
        let words = format!(
            "It is the other side's turn, and it has ended no line for {}; yours that wait: {waiting}. \
             Does it take turns? If not, talk without {}",
            Short(TURN),
            Setting::Turns
        );
        self.notice(io, &words);
    }

    pub(super) fn status(&self) -> Option<Event<'static>> {
        let (local, remote) = match self.partner {
            Some((_, tuple)) => (tuple.local, Some(tuple.remote)),
            None => (self.plan.listening.or_else(|| self.remote().map(any_local))?, self.remote()),
        };
        let (sent, unsent) = self.outgoing.counts();
        let state = self.state.word();
        let received = self.received;
        Some(Event::Talk(report::TalkEvent::Conversation { state, local, remote, received, sent, unsent }))
    }
}
