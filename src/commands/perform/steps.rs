//! What can be performed: the steps as they were understood.

use std::fmt::{self, Display};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use crate::net::{NamedOption, OptionValue, TcpState};
use crate::report::quoted;
use crate::text::Short;
use nix::libc::{POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLPRI, POLLRDHUP};
use nix::sys::socket::MsgFlags;

/// One step.
#[derive(Debug)]
pub(super) struct Step {
    /// The socket it is about; `None` is the one without a name.
    pub socket: Option<String>,
    pub call: Call,
}

impl Step {
    /// The name that its line begins with.
    pub(super) fn named(&self) -> Option<&str> {
        self.socket.as_deref().filter(|_| self.call.has_socket())
    }

    /// What an error is about: the name and the arguments.
    pub(super) fn subject(&self) -> String {
        let prefix = self.named().map(|name| format!("{name} ")).unwrap_or_default();
        format!("{prefix}{}", self.call.arguments())
    }
}

/// A call and its arguments.
#[derive(Debug)]
pub(super) enum Call {
    Socket(Family),
    SetOption(&'static NamedOption, OptionValue),
    GetOption(&'static NamedOption),
    Bind(Address),
    Listen(i32),
    /// The name of the new socket.
    Accept(String),
    Connect(Address),
    Send(Payload, MsgFlags),
    /// At most so many bytes, or a page of them.
    Receive(Option<usize>, MsgFlags),
    Shutdown(Shutdown),
    Close,
    Nonblocking(bool),
    /// For these events, or those of a stream, for at most so long.
    Poll(Option<i16>, Duration),
    LocalName,
    RemoteName,
    /// All of them, or those with exactly these flags.
    Hide(Option<SegmentFlags>),
    Show,
    WaitFor(TcpState),
    /// For so long, or until a signal.
    Pause(Option<Duration>),
    /// The user whose the sockets are that are opened from then on.
    SetOwner(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Inet,
    Inet6,
}

/// Where to bind or to connect.
#[derive(Debug)]
pub(super) enum Address {
    Literal(SocketAddr),
    /// What getsockname(2) says of the socket of this name by then.
    Of(String),
}

#[derive(Debug)]
pub(super) enum Payload {
    Text(Vec<u8>),
    /// So many bytes of filler.
    Filler(usize),
}

/// The flags of a segment, spelled as tcpdump(8) does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentFlags(pub u8);

impl SegmentFlags {
    /// Each letter and its bit, in the order tcpdump prints them (RFC 9293 §3.1).
    pub(super) const LETTERS: [(char, u8); 6] =
        [('F', 0x01), ('S', 0x02), ('R', 0x04), ('P', 0x08), ('.', 0x10), ('U', 0x20)];
}

impl Display for SegmentFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = Self::LETTERS.iter().filter(|(_, bit)| self.0 & bit != 0);
        f.write_str(&set.map(|(letter, _)| letter).collect::<String>())
    }
}

/// The flags of send(2) and recv(2) that a step may name.
pub(super) const MESSAGE_FLAGS: [(&str, MsgFlags); 5] = [
    ("MSG_OOB", MsgFlags::MSG_OOB),
    ("MSG_PEEK", MsgFlags::MSG_PEEK),
    ("MSG_WAITALL", MsgFlags::MSG_WAITALL),
    ("MSG_DONTWAIT", MsgFlags::MSG_DONTWAIT),
    ("MSG_TRUNC", MsgFlags::MSG_TRUNC),
];

/// The events of poll(2).
pub(super) const POLL_FLAGS: [(&str, i16); 7] = [
    ("POLLIN", POLLIN),
    ("POLLPRI", POLLPRI),
    ("POLLOUT", POLLOUT),
    ("POLLERR", POLLERR),
    ("POLLHUP", POLLHUP),
    ("POLLRDHUP", POLLRDHUP),
    ("POLLNVAL", POLLNVAL),
];

/// Events by name, with `|` between them; 0 where there is none.
pub(super) fn poll_names(flags: i16) -> String {
    names(&POLL_FLAGS, |flag| flags & flag != 0).unwrap_or_else(|| "0".to_owned())
}

fn names<T: Copy>(table: &[(&'static str, T)], set: impl Fn(T) -> bool) -> Option<String> {
    let set: Vec<&str> = table.iter().filter(|(_, flag)| set(*flag)).map(|(name, _)| *name).collect();
    if set.is_empty() { None } else { Some(set.join("|")) }
}

impl Call {
    /// Whether there is a socket that it is about.
    pub(super) fn has_socket(&self) -> bool {
        !matches!(self, Self::Pause(_) | Self::SetOwner(_))
    }

    /// The word that the step begins with.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Socket(_) => "socket",
            Self::SetOption(..) => "setsockopt",
            Self::GetOption(_) => "getsockopt",
            Self::Bind(_) => "bind",
            Self::Listen(_) => "listen",
            Self::Accept(_) => "accept",
            Self::Connect(_) => "connect",
            Self::Send(..) => "send",
            Self::Receive(..) => "recv",
            Self::Shutdown(_) => "shutdown",
            Self::Close => "close",
            Self::Nonblocking(_) => "nonblocking",
            Self::Poll(..) => "poll",
            Self::LocalName => "getsockname",
            Self::RemoteName => "getpeername",
            Self::Hide(_) => "hide",
            Self::Show => "show",
            Self::WaitFor(_) => "wait",
            Self::Pause(_) => "pause",
            Self::SetOwner(_) => "setfsuid",
        }
    }

    /// What follows the word.
    pub(super) fn arguments(&self) -> String {
        match self {
            Self::Socket(Family::Inet6) => "inet6".to_owned(),
            Self::SetOption(option, value) => format!("{} {value}", option.name),
            Self::GetOption(option) => option.name.to_owned(),
            Self::Bind(address) | Self::Connect(address) => address.to_string(),
            Self::Listen(backlog) => backlog.to_string(),
            Self::Accept(name) => format!("as {name}"),
            Self::Send(payload, flags) => with_flags(payload.to_string(), *flags),
            Self::Receive(most, flags) => {
                with_flags(most.map(|most| most.to_string()).unwrap_or_default(), *flags)
            }
            Self::Shutdown(Shutdown::Read) => "RD".to_owned(),
            Self::Shutdown(Shutdown::Write) => "WR".to_owned(),
            Self::Shutdown(Shutdown::Both) => "RDWR".to_owned(),
            Self::Nonblocking(on) => if *on { "on" } else { "off" }.to_owned(),
            Self::Poll(events, time) => {
                let events = events.map(poll_names);
                let time = (!time.is_zero()).then(|| Short(*time).to_string());
                events.into_iter().chain(time).collect::<Vec<_>>().join(" ")
            }
            Self::Hide(Some(flags)) => format!("segments {flags}"),
            Self::Hide(None) | Self::Show => "segments".to_owned(),
            Self::WaitFor(state) => state.to_string(),
            Self::Pause(Some(time)) => Short(*time).to_string(),
            Self::SetOwner(user) => user.to_string(),
            Self::Socket(Family::Inet)
            | Self::Close
            | Self::LocalName
            | Self::RemoteName
            | Self::Pause(None) => String::new(),
        }
    }
}

fn with_flags(first: String, flags: MsgFlags) -> String {
    let names = names(&MESSAGE_FLAGS, |flag| flags.contains(flag)).unwrap_or_default();
    [first, names].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

impl Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(address) => address.fmt(f),
            Self::Of(name) => write!(f, "@{name}"),
        }
    }
}

impl Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(bytes) => f.write_str(&quoted(bytes)),
            Self::Filler(bytes) => write!(f, "{bytes}B"),
        }
    }
}
