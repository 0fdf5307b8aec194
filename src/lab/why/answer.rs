//! What is answered: the verdict, who is in the way, what helps.

use std::collections::BTreeSet;
use std::fmt;

use nix::errno::Errno;

use super::network_namespace::NetworkNamespace;
use super::reason::{Doubt, Reason};
use super::remedy::Remedy;
use crate::error::errno_name;
use crate::kernel::holders::Holder;
use crate::kernel::packet_filter::Ruling;
use crate::net::sharing_rule::Conflict;

/// What is known about the question.
///
/// ```
/// use fourtuple::{Answer, Goal, PlannedCall, SocketOptions, bind, why};
///
/// let holder = bind("127.0.0.1:0".parse().unwrap(), &SocketOptions::default())?;
/// let goal = Goal::Bind(holder.local());
/// let answer: Answer = why(&PlannedCall { goal, options: SocketOptions::default() })?;
/// assert_eq!(answer.in_the_way[0].holder.processes[0].pid, std::process::id());
/// # Ok::<(), fourtuple::Error>(())
/// ```
#[derive(Debug)]
pub struct Answer {
    /// Whether it would work.
    pub verdict: Verdict,
    /// Whether the verdict is about this host alone, and another one has its say.
    pub is_half: bool,
    /// The sockets because of which it fails.
    pub in_the_way: Vec<InTheWay>,
    /// What the call would meet next, once that is out of the way.
    pub behind: Vec<Behind>,
    /// The other sockets of the port.
    pub beside: Vec<Holder>,
    /// Who has the port in other network namespaces.
    pub elsewhere: Vec<(NetworkNamespace, Holder)>,
    /// What helps, cheapest first.
    pub advice: Vec<Advice>,
    /// What else is worth knowing, a sentence each.
    pub remarks: Vec<String>,
    /// The rules of packet filters that decide, or may.
    pub rules: Vec<MetRule>,
}

/// A rule that connections meet.
///
/// Displays as `table inet filter, chain input, handle 7 drops what other hosts send there (tcp dport 80)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetRule {
    /// Where it is, and what it does.
    pub ruling: Ruling,
    /// Whose connections meet it.
    pub clients: Clients,
}

/// Whose connections meet a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    /// The one that is asked about.
    Own,
    /// Those that this host opens to the address that is asked about.
    ThisHost,
    /// Those that other hosts open to it.
    OtherHosts,
    /// Both.
    All,
}

/// Something in the way behind what the verdict is about.
///
/// Displays as `bind fails with EADDRINUSE (Address already in use): another socket has the address`.
#[derive(Debug)]
pub struct Behind {
    /// How the call would end there; never that it works.
    pub verdict: Verdict,
    /// The sockets because of which it does.
    pub in_the_way: Vec<InTheWay>,
    /// The other sockets of the port that this is about.
    pub beside: Vec<Holder>,
}

/// A step that makes the call work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What to do.
    pub remedy: Remedy,
    /// Whether that was seen.
    pub trial: TrialOutcome,
}

/// Whether a step was taken somewhere to see that it helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrialOutcome {
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
    /// This call may fail, with this errno: what decides it cannot be read.
    MayFail {
        /// As its man page is named.
        call: &'static str,
        /// What the kernel answers then.
        errno: Errno,
        /// What is not known.
        doubt: Doubt,
    },
    /// This call fails, with this errno.
    Fails {
        /// As its man page is named.
        call: &'static str,
        /// What the kernel answers.
        errno: Errno,
        /// What it means.
        reason: Reason,
    },
}

/// A socket because of which the call fails.
#[derive(Debug)]
pub struct InTheWay {
    /// The socket.
    pub holder: Holder,
    /// The rule, where it is one about addresses; else the four-tuple is the same.
    pub conflict: Option<Conflict>,
}

impl Clients {
    /// One word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::ThisHost => "this-host",
            Self::OtherHosts => "other-hosts",
            Self::All => "all",
        }
    }
}

impl fmt::Display for MetRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.ruling.about(match self.clients {
            Clients::Own => "it",
            Clients::ThisHost => "what this host sends there",
            Clients::OtherHosts => "what other hosts send there",
            Clients::All => "what is sent there",
        }))
    }
}

impl InTheWay {
    /// Whether all is known that it takes to say that it is in the way.
    pub(super) fn is_certain(&self) -> bool {
        self.conflict.is_none_or(|conflict| conflict.is_certain())
    }

    /// Whether it is in the way only if IPV6_V6ONLY is off, of which that is not known.
    pub(super) fn is_by_guess(&self) -> bool {
        self.conflict.is_some_and(|conflict| conflict.is_by_guess)
    }
}

impl Verdict {
    pub(super) fn fails(call: &'static str, errno: Errno, reason: Reason) -> Self {
        Self::Fails { call, errno, reason }
    }

    pub(super) fn may_fail(call: &'static str, errno: Errno, doubt: Doubt) -> Self {
        Self::MayFail { call, errno, doubt }
    }

    /// The call that fails, or may, with its errno and what that means; none where it works.
    pub fn failure(&self) -> Option<(&'static str, Errno, Reason)> {
        match self {
            Self::Works => None,
            Self::MayFail { call, errno, doubt } => Some((*call, *errno, doubt.supposed())),
            Self::Fails { call, errno, reason } => Some((*call, *errno, reason.clone())),
        }
    }

    /// Whether it fails or not by what cannot be known here.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::MayFail { .. })
    }
}

impl fmt::Display for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((call, errno, reason)) = self.verdict.failure() else { return Ok(()) };
        let (errno, words) = (errno_name(errno), errno.desc());
        match &self.verdict {
            Verdict::MayFail { doubt, .. } => write!(f, "{call} may fail with {errno} ({words}): {doubt}"),
            _ => write!(f, "{call} fails with {errno} ({words}): {reason}"),
        }
    }
}

impl Answer {
    pub(super) fn new(verdict: Verdict) -> Self {
        Self {
            verdict,
            is_half: false,
            in_the_way: Vec::new(),
            behind: Vec::new(),
            beside: Vec::new(),
            elsewhere: Vec::new(),
            advice: Vec::new(),
            remarks: Vec::new(),
            rules: Vec::new(),
        }
    }

    pub(super) fn remark(mut self, sentence: impl fmt::Display) -> Self {
        self.remarks.push(sentence.to_string());
        self
    }

    /// The same, and behind it what `next` says, which supposes that nothing of it is in the way any more.
    pub(super) fn followed_by(mut self, next: Self) -> Self {
        let Self { verdict, in_the_way, beside, behind, .. } = next;
        for obstacle in [Behind { verdict, in_the_way, beside }].into_iter().chain(behind) {
            let reason = obstacle.verdict.failure().map(|(_, _, reason)| reason);
            if reason.is_some_and(|reason| self.reasons().all(|earlier| earlier != reason)) {
                self.behind.push(obstacle);
            }
        }
        self
    }

    /// All that is in the way, in the order in which the call meets it.
    pub(super) fn obstacles(&self) -> impl Iterator<Item = (&Verdict, &[InTheWay])> {
        let behind = self.behind.iter().map(|behind| (&behind.verdict, &behind.in_the_way[..]));
        let first = (self.verdict != Verdict::Works).then_some((&self.verdict, &self.in_the_way[..]));
        first.into_iter().chain(behind)
    }

    /// What each of them means.
    pub(super) fn reasons(&self) -> impl Iterator<Item = Reason> {
        self.obstacles().filter_map(|(verdict, _)| verdict.failure()).map(|(_, _, reason)| reason)
    }

    /// The sockets that are in the way anywhere, each once.
    pub fn all_in_the_way(&self) -> Vec<&InTheWay> {
        let all = self.in_the_way.iter().chain(self.behind.iter().flat_map(|behind| &behind.in_the_way));
        let mut seen = BTreeSet::new();
        all.filter(|found| seen.insert(found.holder.row.cookie)).collect()
    }

    /// The sockets of a port that the answer is about.
    pub(super) fn on_port(&self, port: u16) -> impl Iterator<Item = &Holder> {
        let behind = self
            .behind
            .iter()
            .flat_map(|behind| behind.in_the_way.iter().map(|found| &found.holder).chain(&behind.beside));
        let first = self.in_the_way.iter().map(|found| &found.holder).chain(&self.beside);
        first.chain(behind).filter(move |holder| holder.row.local.port() == port)
    }
}
