//! With whom to talk, and how.

use std::net::SocketAddr;
use std::time::Duration;

use super::view::Show;
use crate::service::Timer;

/// The other side's end has been waited for long enough.
pub(super) const LEFT: Timer = Timer::named("leave");
/// How long the other side may take to end after we have.
pub(super) const LEAVE: Duration = Duration::from_secs(1);

/// With whom to talk, and how.
#[derive(Clone, Debug)]
pub(crate) struct TalkPlan {
    /// The addresses to call, tried in order until one answers; none: wait for a caller.
    pub remotes: Vec<SocketAddr>,
    /// The address callers reach, where one is waited for.
    pub listening: Option<SocketAddr>,
    /// What to call oneself: the other side is a relay then.
    pub name: Option<String>,
    /// A line that is one of these ends the conversation, whoever says it.
    pub bye: Vec<String>,
    /// Each side says a line in turn, the caller first.
    pub turns: bool,
    pub speaker: Speaker,
    /// How the other side's words are shown.
    pub show: Show,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaker {
    /// A file, a pipe: what it brings is sent even after the other side has ended.
    Program,
    /// A terminal that edits lines by itself.
    Person,
    /// A terminal that hands over each key; the line is edited here.
    Keyboard,
}
