//! Whether a bind, listen or connect would succeed here and now; who is in the way, by which rule, and what helps.
//!
//! The kernel itself answers for bind(2): the call is made as it is asked about, and the socket closed at once. It never
//! listens and never connects, so nobody is disturbed and nothing is sent. What listen(2) and connect(2) would do after
//! it is read from the socket table, the routes and the settings.

mod advice;
mod connect;
mod elsewhere;
mod holding;
mod ports;
mod rehearsal;
mod remarks;
mod route;
pub mod rules;
mod settings;
mod step;
mod trial;
mod unknown;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use nix::errno::Errno;
use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};

pub use elsewhere::Place;
pub use holding::{claim, on_port, stage};
pub(super) use rehearsal::Rehearsal;
pub use settings::Settings;
pub use step::{Leftover, Set, Step};

use super::holders::Holder;
use crate::error::Result;
use crate::net::{SocketOptions, bind};
use rules::{Conflict, Newcomer};

/// The call in question, and what the socket has when it comes to be made.
#[derive(Clone, Debug)]
pub struct Question {
    /// How far it is to come, and from where to where.
    pub goal: Goal,
    /// The options of the socket; those count that decide about addresses and ports.
    pub options: SocketOptions,
}

/// How far a socket is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Goal {
    /// bind(2).
    Bind(SocketAddr),
    /// bind(2), then listen(2).
    Listen(SocketAddr),
    /// connect(2), after bind(2) where there is a local address.
    Connect {
        /// Where it is bound before, if it is.
        local: Option<SocketAddr>,
        /// Where it connects to.
        remote: SocketAddr,
    },
}

impl Goal {
    /// The address that is bound, where one is.
    pub fn local(&self) -> Option<SocketAddr> {
        match *self {
            Self::Bind(local) | Self::Listen(local) => Some(local),
            Self::Connect { local, .. } => local,
        }
    }

    /// The call that it comes down to, as its man page is named.
    pub fn call(&self) -> &'static str {
        match self {
            Self::Bind(_) => "bind",
            Self::Listen(_) => "listen",
            Self::Connect { .. } => "connect",
        }
    }
}

/// What is known about the question.
#[derive(Debug)]
pub struct Answer {
    /// Whether it would work.
    pub verdict: Verdict,
    /// Whether the verdict is about this host alone, and another one has its say.
    pub is_half: bool,
    /// The sockets because of which it fails.
    pub in_the_way: Vec<InTheWay>,
    /// The other sockets of the port.
    pub beside: Vec<Holder>,
    /// Who has the port in other network namespaces.
    pub elsewhere: Vec<(Place, Holder)>,
    /// What helps, cheapest first.
    pub advice: Vec<Advice>,
    /// What else is worth knowing, a sentence each.
    pub remarks: Vec<String>,
}

/// A step that makes the call work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What to do.
    pub step: Step,
    /// Whether that was seen.
    pub trial: Trial,
}

/// Whether a step was taken somewhere to see that it helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trial {
    /// The situation was made again in a scratch network, and the call worked.
    Works,
    /// It was not, for this reason.
    NotMade(String),
}

/// Whether a call would succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All calls up to the one in question would.
    Works,
    /// This call fails, with this errno.
    Fails {
        /// As its man page is named.
        call: &'static str,
        /// What the kernel answers.
        errno: Errno,
        /// What it means.
        because: Because,
    },
}

/// What an errno means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Because {
    /// Other sockets have the address.
    Held,
    /// A connection with this four-tuple exists.
    FourTuple,
    /// The kernel may pick from so many ports, and each is taken.
    NoPortLeft(usize),
    /// Ports below this one take CAP_NET_BIND_SERVICE.
    Privileged(u16),
    /// The address is not this host's.
    NotLocal,
    /// A security policy forbids it.
    Forbidden,
    /// The address is being checked for a duplicate (RFC 4862 §5.4), or was found to be one.
    Tentative,
    /// An IPv6 socket with IPV6_V6ONLY and an address of IPv4.
    V6Only,
    /// The socket is of the other address family.
    OtherFamily,
    /// A link-local address without the interface that it is on.
    NoScope,
    /// No route leads there, or one that forbids it.
    NoRoute,
    /// The socket is bound to loopback, and the remote address is elsewhere.
    FromLoopback,
    /// The remote address is this host's, and nobody listens there.
    NobodyListens,
    /// Somebody listens there, and accepts none of the connections that wait already.
    QueueFull,
    /// The kernel refuses it, and nothing that is seen here tells why.
    Unexplained,
}

/// A socket because of which the call fails.
#[derive(Debug)]
pub struct InTheWay {
    /// The socket.
    pub holder: Holder,
    /// The rule, where it is one about addresses; else the four-tuple is the same.
    pub conflict: Option<Conflict>,
}

/// Answers the question from this network namespace and as this user; what helps is what the rules say.
///
/// # Errors
///
/// As [`sockets`](super::inet_diag::sockets); what `socket` and `setsockopt` answer, such as `EMFILE`.
pub fn why(question: &Question) -> Result<Answer> {
    let settings = Settings::read();
    let mut answer = match question.goal {
        Goal::Bind(local) => holding::answer(local, false, &question.options, &settings),
        Goal::Listen(local) => holding::answer(local, true, &question.options, &settings),
        Goal::Connect { local, remote } => connect::answer(local, remote, &question.options, &settings),
    }?;
    let not_made = |step| Advice { step, trial: Trial::NotMade("not tried".to_owned()) };
    answer.remarks.extend(remarks::remarks(question, &answer, &settings));
    answer.advice = advice::steps(question, &answer, &settings).into_iter().map(not_made).collect();
    Ok(answer)
}

/// Makes the call bind(2) and closes the socket: the address it had, or the errno.
///
/// A socket with SO_REUSEADDR and SO_REUSEPORT that is let in by the first leaves the port in a state (`fastreuseport`)
/// in which the kernel lets in others with the second alone, unchecked, for as long as anybody has it. Either option
/// alone leaves no such trace, and where it suffices both do.
///
/// # Errors
///
/// What the calls before it answer: `EMFILE` and `ENFILE` from `socket`, `EINVAL` from `setsockopt`.
fn try_bind(local: SocketAddr, options: &SocketOptions) -> Result<std::result::Result<SocketAddr, Errno>> {
    if options.reuse_address && options.reuse_port {
        for reuse_address in [true, false] {
            let one = SocketOptions { reuse_address, reuse_port: !reuse_address, ..options.clone() };
            let outcome = bind_once(local, &one)?;
            if outcome != Err(Errno::EADDRINUSE) {
                return Ok(outcome);
            }
        }
    }
    bind_once(local, options)
}

fn bind_once(local: SocketAddr, options: &SocketOptions) -> Result<std::result::Result<SocketAddr, Errno>> {
    match bind(local, options) {
        Ok(bound) => Ok(Ok(bound.local())),
        Err(error) => match (error.call(), error.errno()) {
            ("bind", Some(errno)) => Ok(Err(errno)),
            _ => Err(error),
        },
    }
}

fn newcomer(ip: IpAddr, options: &SocketOptions, settings: &Settings) -> Newcomer {
    Newcomer {
        ip,
        reuse_address: options.reuse_address,
        reuse_port: options.reuse_port,
        v6_only: options.v6_only.unwrap_or(settings.v6_only),
        uid: geteuid().as_raw(),
    }
}

impl Because {
    /// One word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::FourTuple => "four-tuple",
            Self::NoPortLeft(_) => "no-port-left",
            Self::Privileged(_) => "privileged",
            Self::NotLocal => "not-local",
            Self::Forbidden => "forbidden",
            Self::Tentative => "tentative",
            Self::V6Only => "v6-only",
            Self::OtherFamily => "other-family",
            Self::NoScope => "no-scope",
            Self::NoRoute => "no-route",
            Self::FromLoopback => "from-loopback",
            Self::NobodyListens => "nobody-listens",
            Self::QueueFull => "queue-full",
            Self::Unexplained => "unexplained",
        }
    }
}

impl fmt::Display for Because {
    /// A sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Held => "another socket has the address",
            Self::FourTuple => "a four-tuple exists once, and this one does already",
            Self::NoPortLeft(ports) => {
                return write!(
                    f,
                    "the kernel may pick from {ports} ports (net.ipv4.ip_local_port_range), and each is taken"
                );
            }
            Self::Privileged(start) => {
                return write!(
                    f,
                    "ports below {start} (net.ipv4.ip_unprivileged_port_start) take CAP_NET_BIND_SERVICE"
                );
            }
            Self::NotLocal => "the address is none of this host's, as seen from this network namespace",
            Self::Forbidden => {
                "a security policy forbids it: SELinux, AppArmor, or a BPF program of the cgroup"
            }
            Self::Tentative => {
                "duplicate address detection has not ended for this address, or found a duplicate"
            }
            Self::V6Only => "a socket with IPV6_V6ONLY has no IPv4 address",
            Self::OtherFamily => {
                "an IPv4 socket has no IPv6 address, and an IPv6 socket takes IPv4 ones as ::ffff:1.2.3.4"
            }
            Self::NoScope => "a link-local address is one only together with its interface",
            Self::NoRoute => "no route leads there",
            Self::FromLoopback => "a socket bound to loopback reaches loopback alone",
            Self::NobodyListens => "the address is this host's, and nobody listens there",
            Self::QueueFull => {
                "who listens there does not accept: its queue is full, and further connections get no answer"
            }
            Self::Unexplained => "nothing that is seen from here tells why",
        })
    }
}

impl InTheWay {
    /// Whether all is known that it takes to say that it is in the way.
    fn is_certain(&self) -> bool {
        self.conflict.is_none_or(|conflict| conflict.is_certain())
    }

    /// Whether it is in the way only if an option is off of which that is not known.
    fn is_by_guess(&self) -> bool {
        self.conflict.is_some_and(|conflict| conflict.is_by_guess)
    }
}

impl Verdict {
    fn fails(call: &'static str, errno: Errno, because: Because) -> Self {
        Self::Fails { call, errno, because }
    }
}

impl Answer {
    fn new(verdict: Verdict) -> Self {
        Self {
            verdict,
            is_half: false,
            in_the_way: Vec::new(),
            beside: Vec::new(),
            elsewhere: Vec::new(),
            advice: Vec::new(),
            remarks: Vec::new(),
        }
    }

    fn remark(mut self, sentence: impl fmt::Display) -> Self {
        self.remarks.push(sentence.to_string());
        self
    }
}
