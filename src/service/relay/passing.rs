//! Messages from one of a pair to the other, and the back-pressure on who sends them.

use std::io::Write;
use std::time::Duration;

use super::client::{RelayClient, Standing};
use super::{MORE, Relay};
use crate::buffer::Buffer;
use crate::service::{ConnectionId, Io};
use crate::text::Harmless;

/// So many bytes of messages are sent at once.
const BATCH: usize = 16 * 1024;
/// So many messages at most: empty lines are short, and many. Then other rooms have a turn.
pub(super) const MESSAGES: usize = if cfg!(test) { 3 } else { 128 };

impl Relay {
    /// Passes on what may be passed in the room of `id`, either way, and ends the room if that was all; true where there
    /// may be more, which is seen to later.
    pub(super) fn pass_all(&mut self, io: &mut dyn Io, id: ConnectionId) -> bool {
        let Some(members) = self.hall.room(id).map(|room| room.members) else { return false };
        let mut words = std::mem::take(&mut self.words);
        let left = self.collect(members, &mut words);
        let more = left == 0 || words.iter().any(|words| words.len() >= BATCH);
        for (id, words) in members.into_iter().zip(&mut words) {
            if !words.is_empty() {
                self.send(io, id, words);
                words.clear();
            }
            self.throttle(io, id);
        }
        self.words = words;
        let over = |id: &&ConnectionId| self.clients.get(id).is_some_and(RelayClient::is_over);
        if more {
            io.after(id, MORE, Duration::ZERO);
        } else if let Some(&leaver) = members.iter().find(over) {
            self.end_room(io, leaver);
        }
        more
    }

    /// Takes the messages of both as they follow each other, and adds each to what its receiver is to be sent; how many
    /// more might have been taken.
    fn collect(&mut self, [first, second]: [ConnectionId; 2], words: &mut [Buffer; 2]) -> usize {
        let ([to_first, to_second], mut left) = (words, MESSAGES);
        loop {
            let before = left;
            left -= self.pass(first, second, left, to_first, to_second);
            left -= self.pass(second, first, left, to_second, to_first);
            if left == 0 || left == before {
                return left;
            }
        }
    }

    /// Takes one message where there are turns, else as many as there are, `most` at most; how many these were.
    fn pass(
        &mut self,
        from: ConnectionId,
        to: ConnectionId,
        most: usize,
        to_from: &mut Buffer,
        to_to: &mut Buffer,
    ) -> usize {
        let leaving = self.standing(from).is_leaving();
        let may_pass = leaving || self.hall.may_write(from) && !self.standing(to).is_leaving();
        let keeps_up = self.stopping || self.clients.get(&to).is_some_and(|client| !client.blocked);
        let named = |client: &&mut RelayClient| !client.unnamed;
        let Some(client) = self.clients.get_mut(&from).filter(named).filter(|_| may_pass && keeps_up) else {
            return 0;
        };
        let in_turn = self.plan.turns && !leaving;
        let passed = client.take_messages(if in_turn { most.min(1) } else { most }, to_to);
        self.hall.passed(from, passed);
        if in_turn && passed > 0 {
            to_to.extend_from_slice(b"* status WRITE\n");
            to_from.extend_from_slice(b"* status READ\n");
        }
        passed
    }

    /// Reads no more from a client of whom a line's length is kept, and reads again when it is less.
    pub(super) fn throttle(&mut self, io: &mut dyn Io, id: ConnectionId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let full = client.lines.len() > self.plan.max_line;
        if full != client.paused {
            client.paused = full;
            if full { io.pause(id) } else { io.resume(id) }
        }
    }
}

impl RelayClient {
    /// Takes its next messages as its partner will see them, so many or a batch at most; how many these were.
    fn take_messages(&mut self, most: usize, words: &mut Buffer) -> usize {
        let (mut lines, mut taken) = (std::mem::take(&mut self.lines), 0);
        while taken < most && words.len() < BATCH {
            // Writing to a Buffer cannot fail.
            let line = lines.take(|line| writeln!(words, "{}: {}", self.name(), Harmless(line)));
            if line.is_none() {
                break;
            }
            taken += 1;
        }
        self.lines = lines;
        taken
    }

    /// Whether it has said all, and all of it has passed.
    fn is_over(&self) -> bool {
        matches!(self.standing, Standing::SaidAll(_)) && self.lines.is_empty()
    }
}
