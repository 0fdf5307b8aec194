//! The events we print: [`Event`] is the whole output grammar, [`Reporter`] writes it.

mod call;
mod escape;
mod line;
mod load;
mod output;
mod sink;

use std::fmt::{self, Display};
use std::fs::File;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::time::Duration;

use nix::errno::Errno;

use crate::error::{Error, errno_name};
use sink::Sink;

pub use call::{Call, Returned, Shown, quoted, visible};

pub use escape::{Escaped, Harmless};
pub use line::{Commas, Format, Line, Short};
pub use load::{Failures, Load};
pub use output::{Output, say};

/// Something that happened, printed as one line.
#[derive(Debug)]
#[expect(missing_docs, reason = "a variant's name and fields are the word and the keys it prints")]
pub enum Event<'a> {
    // The program.
    Listening {
        local: SocketAddr,
        reuse_address: bool,
        reuse_port: bool,
        model: Option<&'static str>,
        workers: usize,
    },
    SharedWith {
        pids: &'a [u32],
    },
    AcceptPaused {
        reason: Errno,
    },
    AcceptResumed,
    Connections {
        open: usize,
    },
    Draining {
        connections: usize,
        limit: Duration,
    },
    Stopped {
        accepted: u64,
        /// Received and sent; not known to a process whose children served.
        bytes: Option<(u64, u64)>,
    },
    Failed {
        error: &'a Error,
    },
    // A connection, passively opened.
    Accepted {
        local: SocketAddr,
        remote: SocketAddr,
    },
    Refused {
        local: SocketAddr,
        remote: SocketAddr,
        reason: Refusal,
    },
    Received {
        local: SocketAddr,
        remote: SocketAddr,
        bytes: &'a [u8],
    },
    /// The process that served it ended without a word.
    Killed {
        local: SocketAddr,
        remote: SocketAddr,
        pid: u32,
    },
    // A connection, actively opened.
    Bound {
        local: SocketAddr,
    },
    Established {
        local: SocketAddr,
        remote: SocketAddr,
    },
    Heartbeat {
        sequence: u64,
        bytes: usize,
    },
    Answer {
        sequence: u64,
        bytes: usize,
        rtt: Duration,
        text: &'a [u8],
    },
    Summary {
        sent: u64,
        answered: u64,
        rtt: Option<RoundTrips>,
    },
    // Either.
    Closed {
        local: SocketAddr,
        remote: SocketAddr,
        reason: CloseReason,
        received: u64,
        sent: u64,
        duration: Duration,
    },
    // A conversation.
    Said {
        by: &'a [u8],
        text: &'a [u8],
        /// No newline stood behind it, so far.
        unfinished: bool,
    },
    Notice {
        words: &'a str,
    },
    /// What the replies to a test should be, learned from the first one.
    Expect {
        reply: &'a str,
    },
    Test {
        name: &'a str,
        sent: usize,
        outcome: TestOutcome<'a>,
    },
    Conversation {
        state: &'a str,
        local: SocketAddr,
        remote: Option<SocketAddr>,
        received: u64,
        sent: u64,
        unsent: usize,
    },
    // A relay.
    Status {
        clients: usize,
        rooms: usize,
        waiting: usize,
    },
    Client {
        name: &'a str,
        remote: SocketAddr,
        state: ClientState,
    },
    Room {
        number: u64,
        first: SocketAddr,
        second: SocketAddr,
        messages: u64,
        closed: Option<Parting>,
    },
    // A call, made as it was told.
    Call(Call<'a>),
    // A load run.
    Load(Load),
}

/// What came of sending something to see what is replied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestOutcome<'a> {
    /// The reply was as expected, its last byte there after this time.
    Passed(Duration),
    /// It was not, as these words tell.
    Failed(&'a [u8]),
    /// An earlier one failed.
    NotRun,
}

/// What a program did, summed over its connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connections taken on.
    pub accepted: u64,
    /// Bytes read from all of them.
    pub received: u64,
    /// Bytes that the kernel took for all of them.
    pub sent: u64,
}

impl Totals {
    /// The event that ends a program with them.
    pub fn event(self) -> Event<'static> {
        Event::Stopped { accepted: self.accepted, bytes: Some((self.received, self.sent)) }
    }
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.received += other.received;
        self.sent += other.sent;
    }
}

/// The spread of the round-trip times measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundTrips {
    /// The shortest.
    pub min: Duration,
    /// The arithmetic mean.
    pub mean: Duration,
    /// The longest.
    pub max: Duration,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The remote side sent FIN, and all that was owed to it has been sent.
    Fin,
    /// We closed it.
    Local,
    /// The remote side sent RST.
    Reset,
    /// No byte arrived for as long as `--receive-timeout` allows.
    ReceiveTimeout,
    /// No unsent byte could be sent for as long as `--send-timeout` allows.
    SendTimeout,
    /// It was still open when `--drain` was over, or at the second signal: we sent RST.
    Abort,
    /// A call on its socket, named as its man page is, failed otherwise.
    Failed(&'static str, Errno),
}

impl Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fin => "fin",
            Self::Local => "local",
            Self::Reset => "reset",
            Self::ReceiveTimeout => "receive-timeout",
            Self::SendTimeout => "send-timeout",
            Self::Abort => "abort",
            Self::Failed(_, errno) => return f.write_str(&errno_name(*errno)),
        })
    }
}

/// Why an accepted connection was closed before it was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `--max-connections` were open already.
    MaxConnections,
    /// The conversation has its one caller.
    Busy,
    /// A call on its socket failed.
    Failed(Errno),
}

impl Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MaxConnections => f.write_str("max-connections"),
            Self::Busy => f.write_str("busy"),
            Self::Failed(errno) => f.write_str(&errno_name(*errno)),
        }
    }
}

/// Where a client of a relay is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientState {
    /// It has no partner yet.
    Waiting,
    /// It is in a room.
    Connected,
    /// Its connection has ended.
    Disconnected(CloseReason),
}

/// How a room came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// One said `exit`.
    Exit,
    /// One sent FIN.
    Fin,
    /// One sent a line longer than `--max-line` allows.
    LineTooLong,
    /// The connection of one ended otherwise, as `client … state=disconnected` tells.
    Lost,
    /// The relay ended.
    Stop,
}

impl Display for Parting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exit => "exit",
            Self::Fin => "fin",
            Self::LineTooLong => "line-too-long",
            Self::Lost => "lost",
            Self::Stop => "stop",
        })
    }
}

/// How much a program tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Nothing at all.
    Nothing,
    /// The program's own events, none of its connections'.
    Quiet,
    /// A line when a connection opens or closes, a heartbeat leaves or is answered.
    Normal,
    /// Every read too.
    Verbose,
}

impl Event<'_> {
    /// The event as text, without a newline.
    pub fn text(&self) -> String {
        self.line(Format::Text).finish()
    }

    /// The event as JSON, without a newline.
    pub fn json(&self) -> String {
        self.line(Format::Json).finish()
    }

    fn verbosity(&self) -> Verbosity {
        match self {
            Self::Received { .. } => Verbosity::Verbose,
            Self::Accepted { .. }
            | Self::Refused { .. }
            | Self::Killed { .. }
            | Self::Bound { .. }
            | Self::Established { .. }
            | Self::Heartbeat { .. }
            | Self::Answer { .. }
            | Self::Closed { .. }
            | Self::Said { .. }
            | Self::Notice { .. }
            | Self::Client { .. }
            | Self::Room { .. }
            | Self::Call(_) => Verbosity::Normal,
            _ => Verbosity::Quiet,
        }
    }

    fn line(&self, format: Format) -> Line {
        let new = |word| Line::new(format, word);
        let tuple = |word, local: &SocketAddr, remote: &SocketAddr| {
            let mut line = new(word);
            line.field("local", local).field("remote", remote);
            line
        };
        let mut line;
        match self {
            Self::Listening { local, reuse_address, reuse_port, model, workers } => {
                line = new("listening");
                line.field("local", local)
                    .field("reuse-address", on_off(*reuse_address))
                    .field("reuse-port", on_off(*reuse_port));
                if let Some(model) = model {
                    line.field("model", model);
                }
                if *workers > 1 {
                    line.number("workers", *workers as u64);
                }
            }
            Self::SharedWith { pids } => {
                line = new("shared");
                let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
                line.field("with", pids.join(","));
            }
            Self::AcceptPaused { reason } => {
                line = new("accept-paused");
                line.field("reason", errno_name(*reason));
            }
            Self::AcceptResumed => line = new("accept-resumed"),
            Self::Connections { open } => {
                line = new("connections");
                line.number("open", *open as u64);
            }
            Self::Draining { connections, limit } => {
                line = new("draining");
                line.number("connections", *connections as u64).duration("limit", *limit);
            }
            Self::Stopped { accepted, bytes } => {
                line = new("stopped");
                line.number("accepted", *accepted);
                if let Some((received, sent)) = bytes {
                    line.number("received", *received).number("sent", *sent);
                }
            }
            Self::Failed { error } => {
                line = new("failed");
                line.field("call", error.call()).text("subject", error.subject().as_bytes());
                if let Some(errno) = error.errno() {
                    line.field("errno", errno_name(errno));
                }
            }
            Self::Accepted { local, remote } => line = tuple("accepted", local, remote),
            Self::Refused { local, remote, reason } => {
                line = tuple("refused", local, remote);
                line.field("reason", reason);
            }
            Self::Received { local, remote, bytes } => {
                line = tuple("received", local, remote);
                line.number("bytes", bytes.len() as u64).text("text", bytes);
            }
            Self::Killed { local, remote, pid } => {
                line = tuple("killed", local, remote);
                line.number("pid", u64::from(*pid));
            }
            Self::Bound { local } => {
                line = new("bound");
                line.field("local", local);
            }
            Self::Established { local, remote } => line = tuple("established", local, remote),
            Self::Heartbeat { sequence, bytes } => {
                line = new("heartbeat");
                line.number("sequence", *sequence).number("bytes", *bytes as u64);
            }
            Self::Answer { sequence, bytes, rtt, text } => {
                line = new("answer");
                line.number("sequence", *sequence)
                    .number("bytes", *bytes as u64)
                    .duration("rtt", *rtt)
                    .text("text", text);
            }
            Self::Summary { sent, answered, rtt } => {
                line = new("summary");
                line.number("sent", *sent).number("answered", *answered);
                if let Some(rtt) = rtt {
                    line.duration("rtt-min", rtt.min)
                        .duration("rtt-mean", rtt.mean)
                        .duration("rtt-max", rtt.max);
                }
            }
            Self::Closed { local, remote, reason, received, sent, duration } => {
                line = tuple("closed", local, remote);
                line.field("reason", reason)
                    .number("received", *received)
                    .number("sent", *sent)
                    .duration("duration", *duration);
            }
            Self::Said { by, text, unfinished } => {
                line = new("said");
                line.text("by", by).whole_text("text", text).mark("unfinished", *unfinished);
            }
            Self::Notice { words } => {
                line = new("notice");
                line.text("words", words.as_bytes());
            }
            Self::Expect { reply } => {
                line = new("expect");
                line.text("reply", reply.as_bytes());
            }
            Self::Test { name, sent, outcome } => {
                line = new("test");
                line.field("name", name).number("sent", *sent as u64);
                match outcome {
                    TestOutcome::Passed(rtt) => line.field("outcome", "passed").duration("rtt", *rtt),
                    TestOutcome::Failed(words) => line.field("outcome", "failed").text("words", words),
                    TestOutcome::NotRun => line.field("outcome", "not-run"),
                };
            }
            Self::Conversation { state, local, remote, received, sent, unsent } => {
                line = new("conversation");
                line.field("state", state).field("local", local);
                if let Some(remote) = remote {
                    line.field("remote", remote);
                }
                line.number("received", *received).number("sent", *sent).number("unsent", *unsent as u64);
            }
            Self::Status { clients, rooms, waiting } => {
                line = new("status");
                line.number("clients", *clients as u64)
                    .number("rooms", *rooms as u64)
                    .number("waiting", *waiting as u64);
            }
            Self::Client { name, remote, state } => {
                line = new("client");
                line.field("name", name).field("remote", remote);
                match state {
                    ClientState::Waiting => line.field("state", "waiting"),
                    ClientState::Connected => line.field("state", "connected"),
                    ClientState::Disconnected(reason) => {
                        line.field("state", "disconnected").field("reason", reason)
                    }
                };
            }
            Self::Room { number, first, second, messages, closed } => {
                line = new("room");
                line.number("number", *number).field("first", first).field("second", second);
                match closed {
                    None => line.field("state", "open"),
                    Some(parting) => {
                        line.field("state", "closed").field("reason", parting).number("messages", *messages)
                    }
                };
            }
            Self::Call(call) => line = call.line(format),
            Self::Load(load) => line = load.line(format),
        }
        line
    }
}

fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

/// Writes events as a program was asked to.
///
/// A clone writes to the same output.
#[derive(Clone)]
pub struct Reporter {
    format: Format,
    verbosity: Verbosity,
    output: Option<Sink>,
    record: Option<Sink>,
}

impl Reporter {
    /// A reporter on standard output.
    pub fn stdout(format: Format, verbosity: Verbosity) -> Self {
        Self::to(Some(Output::stdout(format)), format, verbosity)
    }

    /// A reporter on `output`, which has the same format; or on none.
    pub fn to(output: Option<Output>, format: Format, verbosity: Verbosity) -> Self {
        Self { format, verbosity, output: output.map(Sink::Writer), record: None }
    }

    /// One that writes nothing, for a loop of whose connections another tells.
    #[must_use]
    pub fn silent(&self) -> Self {
        Self { verbosity: Verbosity::Nothing, record: None, ..self.clone() }
    }

    /// The same, which also writes every event to `file` as JSON Lines, the verbose ones too.
    #[must_use]
    pub fn with_record(self, file: File) -> Self {
        Self { record: Some(Sink::Writer(Output::record(file))), ..self }
    }

    /// Whether an event of this verbosity is printed or recorded.
    pub fn tells(&self, verbosity: Verbosity) -> bool {
        verbosity <= self.verbosity || self.record.is_some()
    }

    /// Queues the event's line; returns at once, whether anybody reads or not.
    pub fn report(&self, event: &Event) {
        if let Some(output) = &self.output
            && event.verbosity() <= self.verbosity
            && self.prints(event)
        {
            output.line(event.line(self.format).finish());
        }
        if let Some(record) = &self.record {
            record.line(event.line(Format::Json).finish());
        }
    }

    /// A failure stands on standard error in words; only JSON Lines have it as an event too.
    fn prints(&self, event: &Event) -> bool {
        self.format == Format::Json || !matches!(event, Event::Failed { .. })
    }

    /// Waits until what was reported has been written, for a second at most.
    pub fn flush(&self) {
        for output in [&self.output, &self.record].into_iter().flatten() {
            output.flush();
        }
    }
}

/// Whether `stream` is a terminal that is to be coloured (`NO_COLOR` is not set).
pub fn coloured(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(event: Event) -> String {
        event.line(Format::Text).finish()
    }

    #[test]
    fn a_closed_connection_names_its_four_tuple_reason_and_counts() {
        let event = Event::Closed {
            local: "127.0.0.1:3000".parse().unwrap(),
            remote: "[::1]:3001".parse().unwrap(),
            reason: CloseReason::ReceiveTimeout,
            received: 5,
            sent: 4,
            duration: Duration::from_millis(20),
        };
        assert_eq!(
            shown(event),
            "closed local=127.0.0.1:3000 remote=[::1]:3001 reason=receive-timeout \
             received=5 sent=4 duration=20ms"
        );
    }

    #[test]
    fn foreign_text_cannot_forge_a_second_event() {
        let address = "127.0.0.1:1".parse().unwrap();
        let bytes = b"x\"\nclosed local=1.1.1.1:1";
        let line = shown(Event::Received { local: address, remote: address, bytes });
        assert!(line.ends_with(r#"bytes=25 text="x\"\nclosed local=1.1.1.1:1""#), "{line}");
    }
}
