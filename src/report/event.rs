//! The whole output grammar: every event that a program prints.

use std::net::SocketAddr;
use std::time::Duration;

use nix::errno::Errno;

use super::call::CallEvent;
use super::heartbeat::HeartbeatEvent;
use super::load::LoadEvent;
use super::relay::RelayEvent;
use super::talk::TalkEvent;
use super::values::{CloseReason, RefuseReason, Totals, Verbosity};
use crate::error::{Error, errno_name};
use crate::text::{Commas, Format, Line};

/// Something that happened, printed as one line.
///
/// ```
/// use fourtuple::{Event, Format, Reporter, Verbosity};
///
/// assert_eq!(Event::AcceptResumed.text(), "accept-resumed");
/// Reporter::stdout(Format::Json, Verbosity::Normal).report(&Event::Connections { open: 2 });
/// ```
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
        reason: RefuseReason,
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
    // Either.
    Closed {
        local: SocketAddr,
        remote: SocketAddr,
        reason: CloseReason,
        received: u64,
        sent: u64,
        duration: Duration,
    },
    // What one program tells alone.
    Heartbeat(HeartbeatEvent<'a>),
    Talk(TalkEvent<'a>),
    Relay(RelayEvent<'a>),
    Call(CallEvent<'a>),
    Load(LoadEvent),
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

    pub(super) fn verbosity(&self) -> Verbosity {
        match self {
            Self::Received { .. } => Verbosity::Verbose,
            Self::Accepted { .. }
            | Self::Refused { .. }
            | Self::Killed { .. }
            | Self::Bound { .. }
            | Self::Established { .. }
            | Self::Closed { .. }
            | Self::Heartbeat(HeartbeatEvent::Sent { .. } | HeartbeatEvent::Answer { .. })
            | Self::Talk(TalkEvent::Said { .. } | TalkEvent::Notice { .. })
            | Self::Relay(RelayEvent::Client { .. } | RelayEvent::Room { .. })
            | Self::Call(_) => Verbosity::Normal,
            _ => Verbosity::Quiet,
        }
    }

    pub(super) fn line(&self, format: Format) -> Line {
        if let (Self::Call(call), Format::Text) = (self, format) {
            return Line::words(call.text());
        }
        let mut line = Line::unbegun(format);
        self.fields(&mut line);
        line
    }

    fn fields<'l>(&self, line: &'l mut Line) -> &'l mut Line {
        match self {
            Self::Listening { local, reuse_address, reuse_port, model, workers } => line
                .begin("listening")
                .field("local", local)
                .field("reuse-address", on_off(*reuse_address))
                .field("reuse-port", on_off(*reuse_port))
                .field_if_any("model", *model)
                .number_if_any("workers", (*workers > 1).then_some(*workers as u64)),
            Self::SharedWith { pids } => line.begin("shared").field("with", Commas(pids)),
            Self::AcceptPaused { reason } => line.begin("accept-paused").field("reason", errno_name(*reason)),
            Self::AcceptResumed => line.begin("accept-resumed"),
            Self::Connections { open } => line.begin("connections").number("open", *open as u64),
            Self::Draining { connections, limit } => {
                line.begin("draining").number("connections", *connections as u64).duration("limit", *limit)
            }
            Self::Stopped { accepted, bytes } => line
                .begin("stopped")
                .number("accepted", *accepted)
                .number_if_any("received", bytes.map(|(received, _)| received))
                .number_if_any("sent", bytes.map(|(_, sent)| sent)),
            Self::Failed { error } => line
                .begin("failed")
                .field("call", error.call())
                .text("subject", error.subject().as_bytes())
                .field_if_any("errno", error.errno().map(errno_name)),
            Self::Accepted { local, remote } => {
                line.begin("accepted").field("local", local).field("remote", remote)
            }
            Self::Established { local, remote } => {
                line.begin("established").field("local", local).field("remote", remote)
            }
            Self::Refused { local, remote, reason } => {
                line.begin("refused").field("local", local).field("remote", remote).field("reason", reason)
            }
            Self::Received { local, remote, bytes } => line
                .begin("received")
                .field("local", local)
                .field("remote", remote)
                .number("bytes", bytes.len() as u64)
                .text("text", bytes),
            Self::Killed { local, remote, pid } => line
                .begin("killed")
                .field("local", local)
                .field("remote", remote)
                .number("pid", u64::from(*pid)),
            Self::Bound { local } => line.begin("bound").field("local", local),
            Self::Closed { local, remote, reason, received, sent, duration } => line
                .begin("closed")
                .field("local", local)
                .field("remote", remote)
                .field("reason", reason)
                .number("received", *received)
                .number("sent", *sent)
                .duration("duration", *duration),
            Self::Heartbeat(heartbeat) => heartbeat.fields(line),
            Self::Talk(talk) => talk.fields(line),
            Self::Relay(relay) => relay.fields(line),
            Self::Call(call) => call.fields(line.begin("call")),
            Self::Load(load) => load.fields(line),
        }
    }
}

impl Totals {
    /// The event that ends a program with them.
    pub(crate) fn event(self) -> Event<'static> {
        Event::Stopped { accepted: self.accepted, bytes: Some((self.received, self.sent)) }
    }
}

fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            event.text(),
            "closed local=127.0.0.1:3000 remote=[::1]:3001 reason=receive-timeout \
             received=5 sent=4 duration=20ms"
        );
    }

    #[test]
    fn foreign_text_cannot_forge_a_second_event() {
        let address = "127.0.0.1:1".parse().unwrap();
        let bytes = b"x\"\nclosed local=1.1.1.1:1";
        let line = Event::Received { local: address, remote: address, bytes }.text();
        assert!(line.ends_with(r#"bytes=25 text="x\"\nclosed local=1.1.1.1:1""#), "{line}");
    }
}
