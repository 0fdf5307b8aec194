//! What we say, on its way to the other side.

use super::keyword::Keyword;
use super::turns::Turns;
use crate::service::{ConnectionId, Io};

/// With so many bytes unsent, no more are taken from standard input; below it, whoever types is not held up.
const MUCH_UNSENT: usize = 64 * 1024;

/// One direction of a conversation: from standard input to the socket.
#[derive(Debug)]
pub(super) struct Outgoing {
    keyword: Keyword,
    pub turns: Option<Turns>,
    /// Bytes given to the driver, and how many of them the kernel has not taken.
    given: u64,
    unsent: usize,
    ended: bool,
}

impl Outgoing {
    pub(super) fn new(keyword: Keyword, turns: Option<Turns>) -> Self {
        Self { keyword, turns, given: 0, unsent: 0, ended: false }
    }

    /// How many bytes have gone, and how many are still to go.
    pub(super) fn counts(&self) -> (u64, usize) {
        (self.given - self.unsent as u64, self.unsent)
    }

    /// Whether all that may go has gone.
    pub(super) fn is_idle(&self) -> bool {
        self.unsent == 0
    }

    /// Sends what standard input brought, each line in its turn; true where a keyword ends it.
    pub(super) fn say(&mut self, io: &mut dyn Io, id: ConnectionId, bytes: &[u8]) -> bool {
        let end = self.keyword.find(bytes);
        let bytes = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        match &mut self.turns {
            Some(turns) => turns.say(bytes),
            None => self.send(io, id, bytes),
        }
        match end {
            Some(_) => self.send_all(io, id),
            None => self.send_in_turn(io, id),
        }
        end.is_some()
    }

    /// Standard input has ended: when all of it has gone, so have we.
    pub(super) fn end(&mut self, io: &mut dyn Io, id: ConnectionId) {
        self.ended = true;
        if let Some(turns) = &mut self.turns {
            turns.end();
        }
        self.send_in_turn(io, id);
    }

    /// Sends what waits for its turn: it will not come.
    pub(super) fn send_all(&mut self, io: &mut dyn Io, id: ConnectionId) {
        if let Some(mut turns) = self.turns.take() {
            self.send(io, id, &turns.all());
        }
        self.send_in_turn(io, id);
    }

    /// Sends what may go, and takes more from standard input where it may follow.
    pub(super) fn send_in_turn(&mut self, io: &mut dyn Io, id: ConnectionId) {
        while let Some(line) = self.turns.as_mut().and_then(Turns::next) {
            self.send(io, id, &line);
        }
        let (waiting, full) =
            self.turns.as_ref().map_or((0, false), |turns| (turns.waiting(), turns.is_full()));
        if self.ended && waiting == 0 {
            io.finish(id);
        }
        if self.unsent >= MUCH_UNSENT || full {
            io.pause_input();
        } else if !self.ended {
            io.resume_input();
        }
    }

    /// Sends a line of ours, whoever's turn it is.
    pub(super) fn send(&mut self, io: &mut dyn Io, id: ConnectionId, bytes: &[u8]) {
        self.given += bytes.len() as u64;
        self.unsent = io.send(id, bytes);
    }

    /// The kernel has taken all.
    pub(super) fn drained(&mut self) {
        self.unsent = 0;
    }

    /// Whether standard input has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }
}
