//! A conversation without anybody: lines that have been hard on servers, and the replies they should get.

use std::net::SocketAddr;
use std::time::{Duration, Instant};
use std::{fmt, io};

use super::plan::{LEAVE, LEFT};
use crate::error::{Error, Result};
use crate::net::FourTuple;
use crate::report::{Event, TalkEvent, TestOutcome};
use crate::service::calls::CallAttempts;
use crate::service::{Ack, Closed, ConnectionId, Echo, Io, Prefix, Reply, Service, Signal, Timer};
use crate::text::{Escaped, Setting, Short};

/// A reply is overdue.
const ANSWER: Timer = Timer::named("answer");
/// How many foreign bytes a failure shows.
const EXCERPT: usize = 40;
/// The longest reply to one byte from which to learn what replies are.
const LONGEST_LEARNED: usize = 4096;

/// What is sent in one write.
#[derive(Debug)]
struct Case {
    name: &'static str,
    sent: Vec<u8>,
}

/// The built-in cases. Each ends a line: some servers answer lines alone.
fn cases() -> Vec<Case> {
    let hundred: String = (1..=100).map(|number| format!("line {number}\n")).collect();
    [
        ("one-byte", "x\n".into()),
        ("utf-8", "Grüße, 世界 🦀\n".into()),
        ("empty-line", "\n".into()),
        ("64KiB-line", format!("{}\n", "x".repeat(64 * 1024 - 1))),
        ("100-lines-in-one-write", hundred),
    ]
    .map(|(name, sent): (_, String)| Case { name, sent: sent.into_bytes() })
    .into()
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    Echo,
    Ack,
    /// This text before each line.
    Prefix(String),
}

impl Expect {
    /// The reply to these lines.
    fn reply_to(&self, lines: &[u8]) -> Vec<u8> {
        let mut reply = Vec::new();
        let mut send = |piece: &[u8]| reply.extend_from_slice(piece);
        match self {
            Self::Echo => Echo.reply(lines, &mut send),
            Self::Ack => Ack::default().reply(lines, &mut send),
            Self::Prefix(text) => Prefix::new(text).reply(lines, &mut send),
        }
        reply
    }

    /// What a server replies that replied so to `line`, if it is one of these.
    fn learned(line: &[u8], reply: &[u8]) -> Option<Self> {
        match reply.strip_suffix(line) {
            Some([]) => Some(Self::Echo),
            Some(text) => Some(Self::Prefix(String::from_utf8(text.to_vec()).ok()?)),
            None => Some(Self::Ack).filter(|ack| ack.reply_to(line) == reply),
        }
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Echo => f.write_str("echo"),
            Self::Ack => f.write_str("ack"),
            Self::Prefix(text) => write!(f, "prefix:{text}"),
        }
    }
}

/// Sends the built-in cases one by one, and checks each reply byte by byte.
#[derive(Debug)]
pub(crate) struct Script {
    calls: CallAttempts,
    /// None until the first reply has told.
    expect: Option<Expect>,
    reply_timeout: Duration,
    cases: std::vec::IntoIter<Case>,
    all: usize,
    passed: usize,
    waiting: Option<Waiting>,
    failure: Option<Error>,
}

/// A case that was sent.
#[derive(Debug)]
struct Waiting {
    case: Case,
    /// The reply it should get; or, while that is to be learned, all of it so far.
    expected: Vec<u8>,
    heard: usize,
    since: Instant,
}

impl Script {
    /// A script that expects these replies, each within `reply_timeout`, from the first of `remotes` that takes the
    /// call. Without `expect` the reply to the first line tells what the others should be.
    pub(crate) fn new(remotes: Vec<SocketAddr>, expect: Option<Expect>, reply_timeout: Duration) -> Self {
        let cases = cases();
        Self {
            calls: CallAttempts::to(remotes),
            expect,
            reply_timeout,
            all: cases.len(),
            cases: cases.into_iter(),
            passed: 0,
            waiting: None,
            failure: None,
        }
    }

    pub(crate) fn remote(&self) -> Option<SocketAddr> {
        self.calls.remote()
    }

    /// How it ended.
    ///
    /// # Errors
    ///
    /// Where nobody could be reached, or a reply was not as expected.
    pub(crate) fn outcome(self) -> Result<()> {
        if let Some(error) = self.failure {
            return Err(error);
        }
        match self.calls.connection() {
            Some((_, tuple)) if self.passed < self.all => {
                let words = format!("{} of {} replies were as expected", self.passed, self.all);
                let error = Error::new("test", tuple, io::Error::other(words));
                Err(error.hint(format_args!("{} says what a reply should be", Setting::ExpectedReply)))
            }
            _ => Ok(()),
        }
    }

    fn send_next(&mut self, io: &mut dyn Io, id: ConnectionId) {
        let Some(case) = self.cases.next() else { return self.end(io, id) };
        let expected = self.expect.as_ref().map_or_else(Vec::new, |expect| expect.reply_to(&case.sent));
        let since = Instant::now();
        io.send(id, &case.sent);
        io.after(id, ANSWER, self.reply_timeout);
        self.waiting = Some(Waiting { case, expected, heard: 0, since });
    }

    fn end(&mut self, io: &mut dyn Io, id: ConnectionId) {
        io.cancel(id, ANSWER);
        io.finish(id);
        io.after(id, LEFT, LEAVE);
    }

    /// Bytes came behind the last reply.
    fn surplus(&mut self, bytes: &[u8]) {
        if let Some((_, tuple)) = self.calls.connection() {
            let words = Escaped(&with_excerpt("more than the last reply came: ", bytes)).to_string();
            self.failure.get_or_insert_with(|| Error::new("test", tuple, io::Error::other(words)));
        }
    }

    /// The reply is not what it should be: the rest would be compared with the wrong bytes.
    fn fail(&mut self, io: &mut dyn Io, words: impl AsRef<[u8]>) {
        let Some(Waiting { case: failed, .. }) = self.waiting.take() else { return };
        let mut tell = |case: &Case, outcome| {
            io.report(&Event::Talk(TalkEvent::Test { name: case.name, sent: case.sent.len(), outcome }));
        };
        tell(&failed, TestOutcome::Failed(words.as_ref()));
        self.cases.by_ref().for_each(|case| tell(&case, TestOutcome::NotRun));
        if let Some((id, _)) = self.calls.connection() {
            // What is on its way is of no use any more.
            io.abort(id);
            io.stop();
        }
    }
}

impl Waiting {
    /// What the bytes that arrived make of the reply: whole, still a part, or in words what is wrong.
    fn check(&mut self, bytes: &[u8]) -> std::result::Result<bool, Vec<u8>> {
        let rest = self.expected.get(self.heard..).unwrap_or_default();
        let equal = rest.iter().zip(bytes).take_while(|(expected, came)| expected == came).count();
        let at = self.heard + equal;
        self.heard = at;
        match (rest.get(equal), bytes.get(equal..)) {
            (_, None | Some([])) => Ok(at == self.expected.len()),
            (Some(_), Some(came)) => Err(with_excerpt(&format!("byte {} differs: ", at + 1), came)),
            (None, Some(more)) => Err(with_excerpt(&format!("more than the {at} bytes expected: "), more)),
        }
    }
}

/// Adds to the first reply, and says what it is once it is a line.
fn learn(waiting: &mut Waiting, bytes: &[u8]) -> std::result::Result<Option<Expect>, Vec<u8>> {
    let (line, reply) = (&waiting.case.sent, &mut waiting.expected);
    reply.extend_from_slice(bytes);
    if !reply.ends_with(b"\n") && reply.len() < LONGEST_LEARNED {
        return Ok(None);
    }
    let learned = Expect::learned(line, reply);
    learned
        .map(Some)
        .ok_or_else(|| with_excerpt("not an echo, not Ack!, not the line behind a prefix: ", reply))
}

fn with_excerpt(words: &str, bytes: &[u8]) -> Vec<u8> {
    [words.as_bytes(), bytes.get(..EXCERPT).unwrap_or(bytes)].concat()
}

impl Service for Script {
    fn start(&mut self, io: &mut dyn Io) -> Result<()> {
        self.calls.next(io)
    }

    fn opened(&mut self, io: &mut dyn Io, id: ConnectionId, tuple: FourTuple) {
        self.calls.answered(io, id, tuple);
        self.send_next(io, id);
    }

    fn received(&mut self, io: &mut dyn Io, id: ConnectionId, bytes: &[u8]) {
        let Some(waiting) = &mut self.waiting else { return self.surplus(bytes) };
        let whole = match &self.expect {
            Some(_) => waiting.check(bytes),
            None => learn(waiting, bytes).map(|learned| {
                if let Some(expect) = &learned {
                    io.report(&Event::Talk(TalkEvent::Expect { reply: &expect.to_string() }));
                }
                self.expect = learned;
                self.expect.is_some()
            }),
        };
        match whole {
            Ok(false) => {}
            Err(words) => self.fail(io, words),
            Ok(true) => {
                let rtt = waiting.since.elapsed();
                let (name, sent) = (waiting.case.name, waiting.case.sent.len());
                io.report(&Event::Talk(TalkEvent::Test { name, sent, outcome: TestOutcome::Passed(rtt) }));
                self.passed += 1;
                self.waiting = None;
                self.send_next(io, id);
            }
        }
    }

    fn finished(&mut self, io: &mut dyn Io, id: ConnectionId) {
        match self.waiting {
            Some(_) => self.fail(io, "the other side ended (FIN) instead of replying"),
            None => io.finish(id),
        }
    }

    fn timer(&mut self, io: &mut dyn Io, id: ConnectionId, timer: Timer) {
        if timer == LEFT {
            io.close(id);
        }
        if let (ANSWER, Some(waiting)) = (timer, &self.waiting) {
            let (heard, expected) = (waiting.heard, waiting.expected.len());
            let (limit, set) = (Short(self.reply_timeout), Setting::ReplyTimeout);
            self.fail(
                io,
                match self.expect {
                    Some(_) => format!("{heard} of {expected} bytes came within {limit} ({set})"),
                    None => format!("no whole line came within {limit} ({set})"),
                },
            );
        }
    }

    fn failed(&mut self, io: &mut dyn Io, _: ConnectionId, error: Error) {
        if let Some(error) = self.calls.failed(io, error) {
            self.failure = Some(error);
        }
    }

    fn signal(&mut self, io: &mut dyn Io, signal: Signal) {
        if signal == Signal::Status {
            return;
        }
        self.calls.hang_up(io);
        io.stop();
    }

    fn closed(&mut self, io: &mut dyn Io, _: ConnectionId, account: Closed) {
        self.fail(io, format!("the connection ended: {}", account.reason));
        io.report(&account.event());
        io.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reply_to_one_line_tells_what_replies_are() {
        let prefix = |text: &str| Some(Expect::Prefix(text.to_owned()));
        for (reply, learned) in [
            ("x\n", Some(Expect::Echo)),
            ("Ack!\n", Some(Expect::Ack)),
            ("Server received: x\n", prefix("Server received: ")),
            ("X\n", None),
            ("x", None),
            ("x\n\n", None),
        ] {
            assert_eq!(Expect::learned(b"x\n", reply.as_bytes()), learned, "{reply:?}");
        }
    }
}
