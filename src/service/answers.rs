//! Which heartbeat do these bytes answer? TCP keeps no message boundaries, so they must be counted.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The heartbeats that wait for an answer, oldest first.
///
/// As long as what arrives is the echo of what was sent, an answer is complete when its last byte is
/// here. Once a byte differs the remote side is no echo server, and every read answers the oldest.
#[derive(Debug)]
pub(super) struct Answers {
    message: Vec<u8>,
    waiting: VecDeque<Instant>,
    answered: u64,
    /// Bytes of the oldest one's echo that have arrived.
    echoed: usize,
    echoing: bool,
}

/// The bytes that answer one heartbeat.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HeartbeatAnswer {
    /// The heartbeat's number, from 1.
    pub sequence: u64,
    /// From its send to the arrival of the answer's last byte.
    pub rtt: Duration,
    pub text: Vec<u8>,
}

impl Answers {
    pub(super) fn to(message: &[u8]) -> Self {
        Self { message: message.to_vec(), waiting: VecDeque::new(), answered: 0, echoed: 0, echoing: true }
    }

    /// The message was sent once more.
    pub(super) fn expect(&mut self, now: Instant) {
        self.waiting.push_back(now);
    }

    /// When the oldest one still unanswered was sent.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.waiting.front().copied()
    }

    pub(super) fn answered(&self) -> u64 {
        self.answered
    }

    /// The answers that `bytes` complete.
    pub(super) fn receive(&mut self, mut bytes: &[u8], now: Instant) -> Vec<HeartbeatAnswer> {
        let mut complete = Vec::new();
        while self.echoing && !bytes.is_empty() {
            let expected = self.message.get(self.echoed..).unwrap_or_default();
            let length = expected.len().min(bytes.len());
            let (these, rest) = bytes.split_at(length);
            if !expected.starts_with(these) || self.waiting.is_empty() {
                break;
            }
            self.echoed += length;
            bytes = rest;
            if self.echoed == self.message.len() {
                complete.extend(self.complete(self.message.clone(), now));
            }
        }
        if !bytes.is_empty() {
            self.echoing = false;
            let mut text = self.message.get(..self.echoed).unwrap_or_default().to_vec();
            text.extend_from_slice(bytes);
            complete.extend(self.complete(text, now));
        }
        complete
    }

    fn complete(&mut self, text: Vec<u8>, now: Instant) -> Option<HeartbeatAnswer> {
        self.echoed = 0;
        let sent = self.waiting.pop_front()?;
        self.answered += 1;
        Some(HeartbeatAnswer { sequence: self.answered, rtt: now.saturating_duration_since(sent), text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting_for(message: &[u8], heartbeats: usize) -> Answers {
        let mut answers = Answers::to(message);
        for _ in 0..heartbeats {
            answers.expect(Instant::now());
        }
        answers
    }

    fn sequences(answers: &[HeartbeatAnswer]) -> Vec<u64> {
        answers.iter().map(|answer| answer.sequence).collect()
    }

    #[test]
    fn an_echo_in_pieces_is_one_answer_at_its_last_byte() {
        let mut answers = waiting_for(b"hello", 1);
        assert_eq!(answers.receive(b"he", Instant::now()), []);
        let complete = answers.receive(b"llo", Instant::now());
        assert_eq!(sequences(&complete), [1]);
        assert_eq!(complete[0].text, b"hello");
    }

    #[test]
    fn two_echoes_in_one_read_are_two_answers() {
        let mut answers = waiting_for(b"hello", 3);
        assert_eq!(sequences(&answers.receive(b"hellohellohe", Instant::now())), [1, 2]);
        assert_eq!(sequences(&answers.receive(b"llo", Instant::now())), [3]);
        assert_eq!(answers.oldest(), None);
    }

    #[test]
    fn a_server_that_is_no_echo_answers_once_a_read() {
        let mut answers = waiting_for(b"Ahoi", 2);
        let complete = answers.receive(b"Ack!\n", Instant::now());
        assert_eq!(sequences(&complete), [1]);
        assert_eq!(complete[0].text, b"Ack!\n");
        assert_eq!(sequences(&answers.receive(b"Ahoi", Instant::now())), [2]);
    }

    #[test]
    fn an_echo_that_breaks_off_keeps_its_first_bytes() {
        let mut answers = waiting_for(b"hello", 1);
        assert_eq!(answers.receive(b"he", Instant::now()), []);
        assert_eq!(answers.receive(b"y", Instant::now())[0].text, b"hey");
    }

    #[test]
    fn bytes_that_nobody_asked_for_answer_nothing() {
        let mut answers = waiting_for(b"hello", 0);
        assert_eq!(answers.receive(b"welcome", Instant::now()), []);
        answers.expect(Instant::now());
        assert_eq!(sequences(&answers.receive(b"hello", Instant::now())), [1]);
    }

    #[test]
    fn the_beginning_of_an_echo_that_nobody_waits_for_is_no_part_of_the_next() {
        let mut answers = waiting_for(b"hello", 0);
        assert_eq!(answers.receive(b"he", Instant::now()), []);
        answers.expect(Instant::now());
        assert_eq!(answers.receive(b"hello", Instant::now())[0].text, b"hello");
    }
}
