//! The events we print: [`Event`] is the whole output grammar, [`Reporter`] writes it.

mod call;
mod escape;
mod line;
mod load;
mod output;
mod reporter;
mod values;

use std::net::SocketAddr;
use std::time::Duration;

use nix::errno::Errno;

use crate::error::{Error, errno_name};

pub use call::{Call, Returned, Shown, quoted, visible};
pub use escape::{Escaped, Harmless};
pub use line::{Commas, Format, Line, Short};
pub use load::{Failures, Load};
pub use output::{Output, say};
pub use reporter::{Reporter, Verbosity, coloured};
pub use values::{ClientState, CloseReason, Parting, Refusal, RoundTrips, TestOutcome, Totals};

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
