//! What a user of our programs sets or starts, in messages that know what it is for and not how it is typed.

use std::fmt;
use std::net::SocketAddr;
use std::sync::OnceLock;

/// Something that a user of our programs sets or starts.
///
/// Displays as that user types it, once `cli` has said how; in a program of others, as what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    ConnectTimeout,
    ReceiveTimeout,
    SendTimeout,
    ReplyTimeout,
    /// What a script expects to be replied.
    ExpectedReply,
    /// That each side of a conversation says a line in turn.
    Turns,
    CaptureBuffer,
    /// The ephemeral ports of a measurement.
    PortRange,
    /// The addresses that a measurement connects to.
    Destinations,
    /// A command in a network of its own.
    OwnNetwork,
    /// An experiment.
    Experiment,
    /// An experiment in the network that is there.
    ExperimentHere,
    /// A listener on this address.
    Listener(SocketAddr),
}

static SPELLING: OnceLock<fn(Setting) -> String> = OnceLock::new();

/// Has settings spelled so from now on; the first one to say counts.
pub(crate) fn spell_settings(spelling: fn(Setting) -> String) {
    let _ = SPELLING.set(spelling);
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (SPELLING.get(), self) {
            (Some(spelling), setting) => return f.write_str(&spelling(*setting)),
            (None, Self::ConnectTimeout) => "connect timeout",
            (None, Self::ReceiveTimeout) => "receive timeout",
            (None, Self::SendTimeout) => "send timeout",
            (None, Self::ReplyTimeout) => "reply timeout",
            (None, Self::ExpectedReply) => "the expected reply",
            (None, Self::Turns) => "turns",
            (None, Self::CaptureBuffer) => "buffer",
            (None, Self::PortRange) => "range",
            (None, Self::Destinations) => "destinations",
            (None, Self::OwnNetwork) => "a network namespace of its own",
            (None, Self::Experiment) => "any",
            (None, Self::ExperimentHere) => "an experiment in the host's namespace",
            (None, Self::Listener(_)) => "a listener",
        })
    }
}
