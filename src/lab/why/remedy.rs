//! A change that unblocks a call, and what is left of the question then.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::{Goal, PlannedCall};
use crate::kernel::owners::{Process, ProcessList};
use crate::kernel::supervisor::Supervisor;
use crate::net::{Device, OnDevice, SocketOptions, with_zone};

/// A change after which the call works.
///
/// Displays in words that go on from `what helps: `.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Options on the new socket.
    Set(Vec<OptionChange>),
    /// Options on both sockets: these processes, which have the old ones, start again with them.
    Restart(Vec<Process>, Vec<OptionChange>),
    /// Until the last socket in the way is gone: when its time is over, and when at the latest.
    Wait(Duration, Duration),
    /// Another local address.
    Address(IpAddr),
    /// Another local port; 0 leaves it to the kernel.
    Port(u16),
    /// The interface of a link-local address, which is this one's zone.
    Zone(SocketAddr, Device),
    /// Another remote address, where somebody listens, and the interface that is its zone.
    Remote(SocketAddr, Option<Device>),
    /// The new socket made by the user who has the old one.
    User(u32),
    /// These processes end, and what their connections leave behind is taken care of.
    Stop(Vec<Process>, AfterStop),
    /// Options on both sockets, the next time: of the old one nothing is left that could be restarted.
    NextTime(Vec<OptionChange>),
    /// Something to do elsewhere, in words.
    Elsewhere(String),
    /// The same, of which it is known what it comes to.
    Provide(Provision, String),
    /// All of these, each against one of several things in the way.
    Together(Vec<Remedy>),
}

/// What something done elsewhere comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provision {
    /// CAP_NET_BIND_SERVICE, or the port is privileged no more.
    Privilege,
    /// This host has the address.
    OwnAddress(IpAddr),
    /// A socket listens there.
    Listener(SocketAddr),
}

/// An option to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionChange {
    /// SO_REUSEADDR, on.
    ReuseAddress,
    /// SO_REUSEPORT, on.
    ReusePort,
    /// IPV6_V6ONLY, on or off.
    V6Only(bool),
}

/// What is left where a process with connections ends: TIME-WAIT, for a minute. What takes more comes later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AfterStop {
    /// Nothing that is in the way.
    Nothing,
    /// What SO_REUSEADDR on the new socket passes over.
    ReuseAddress,
    /// What must be waited for.
    Wait,
}

impl Remedy {
    /// The kind of remedy, one word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Set(_) => "set",
            Self::Restart(..) => "restart",
            Self::Wait(..) => "wait",
            Self::Address(_) => "address",
            Self::Port(_) => "port",
            Self::Zone(..) => "zone",
            Self::Remote(..) => "remote",
            Self::User(_) => "user",
            Self::Stop(..) => "stop",
            Self::NextTime(_) => "next-time",
            Self::Elsewhere(_) | Self::Provide(..) => "elsewhere",
            Self::Together(_) => "together",
        }
    }

    /// What it consists of; itself, where that is one thing.
    pub fn parts(&self) -> &[Self] {
        match self {
            Self::Together(parts) => parts,
            single => std::slice::from_ref(single),
        }
    }

    /// Both in one, where two of a kind come to that.
    pub(super) fn merged(&self, other: &Self) -> Option<Self> {
        let union = |one: &[Process], other: &[Process]| {
            let all: BTreeSet<Process> = one.iter().chain(other).cloned().collect();
            all.into_iter().collect()
        };
        match (self, other) {
            (one, other) if one == other => Some(one.clone()),
            (Self::Stop(processes, left), Self::Stop(others, theirs)) => {
                Some(Self::Stop(union(processes, others), *left.max(theirs)))
            }
            (Self::Wait(time, latest), Self::Wait(longer, later)) => {
                Some(Self::Wait(*time.max(longer), *latest.max(later)))
            }
            (Self::Set(changes), Self::Set(others)) => Some(Self::Set([&changes[..], others].concat())),
            _ => None,
        }
    }

    /// The commands that stop these processes for good, where something would start them again or must end with them.
    pub fn commands(&self) -> Vec<String> {
        let Self::Stop(processes, _) = self else { return Vec::new() };
        let supervisors = processes.iter().filter_map(|process| process.supervisor.as_ref());
        let commands: BTreeSet<String> = supervisors.filter_map(Supervisor::stop_command).collect();
        commands.into_iter().collect()
    }

    /// What is to be asked, or called, after this remedy.
    pub fn applied_to(&self, question: &PlannedCall) -> PlannedCall {
        let PlannedCall { mut goal, mut options } = question.clone();
        match self {
            Self::Set(changes) | Self::Restart(_, changes) | Self::NextTime(changes) => {
                changes.iter().for_each(|change| change.apply_to(&mut options));
            }
            Self::User(_) => options.reuse_port = true,
            Self::Stop(_, AfterStop::ReuseAddress) => options.reuse_address = true,
            Self::Address(ip) => {
                // A zone is that of the address before.
                goal = goal.with_local(|local| *local = SocketAddr::new(*ip, local.port()));
            }
            Self::Port(port) => goal = goal.with_local(|local| local.set_port(*port)),
            Self::Zone(address, device) => goal = goal.in_zone(*address, *device),
            Self::Remote(to, _) => {
                if let Goal::Connect { remote, .. } = &mut goal {
                    *remote = *to;
                }
            }
            Self::Together(parts) => {
                return parts.iter().fold(question.clone(), |question, part| part.applied_to(&question));
            }
            Self::Wait(..) | Self::Stop(..) | Self::Elsewhere(_) | Self::Provide(..) => {}
        }
        PlannedCall { goal, options }
    }
}

impl Goal {
    fn with_local(mut self, change: impl Fn(&mut SocketAddr)) -> Self {
        match &mut self {
            Self::Bind(local) | Self::Listen(local) | Self::Connect { local: Some(local), .. } => {
                change(local)
            }
            Self::Connect { local: None, .. } => {}
        }
        self
    }
}

impl Goal {
    /// The same with this interface as the zone of the address that lacks one.
    fn in_zone(mut self, address: SocketAddr, device: Device) -> Self {
        let zoned = with_zone(address, device.index);
        let lacks = |of: &SocketAddr| *of == with_zone(address, 0);
        match &mut self {
            Self::Bind(local) | Self::Listen(local) => *local = zoned,
            Self::Connect { local: Some(local), .. } if lacks(local) => *local = zoned,
            Self::Connect { remote, .. } => *remote = zoned,
        }
        self
    }
}

impl OptionChange {
    pub(super) fn apply_to(self, options: &mut SocketOptions) {
        match self {
            Self::ReuseAddress => options.reuse_address = true,
            Self::ReusePort => options.reuse_port = true,
            Self::V6Only(on) => options.v6_only = Some(on),
        }
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set(changes) => write!(f, "{} on the new socket", OptionList(changes)),
            Self::Restart(processes, changes)
                if changes.iter().all(|change| matches!(change, OptionChange::V6Only(_))) =>
            {
                write!(f, "restart {} with {}", ProcessList(processes), OptionList(changes))
            }
            Self::Restart(processes, changes) => {
                write!(
                    f,
                    "{} on both sockets: restart {} with it",
                    OptionList(changes),
                    ProcessList(processes)
                )
            }
            Self::Wait(time, latest) => {
                let [time, latest] = [time, latest].map(Duration::as_secs_f64);
                write!(f, "wait {time:.1}s, {latest:.1}s at most")
            }
            Self::Address(ip) => write!(f, "another address: {ip}"),
            Self::Port(0) => f.write_str("port 0: the kernel picks a free one"),
            Self::Port(port) => write!(f, "another port: {port}"),
            Self::Zone(address, device) => {
                write!(f, "name the interface: {}", OnDevice(*address, Some(*device)))
            }
            Self::Remote(remote, device) => write!(f, "connect to {}", OnDevice(*remote, *device)),
            Self::User(uid) => write!(f, "SO_REUSEPORT on the new socket, created by uid {uid}"),
            Self::Stop(processes, leftover) => {
                write!(f, "stop {}", ProcessList(processes))?;
                for (index, command) in self.commands().iter().enumerate() {
                    write!(f, "{} `{command}`", if index == 0 { ":" } else { " and" })?;
                }
                leftover.fmt(f)
            }
            Self::NextTime(changes) => write!(
                f,
                "next time, {} on the old socket and on the new one: then it works at once",
                OptionList(changes)
            ),
            Self::Elsewhere(words) | Self::Provide(_, words) => f.write_str(words),
            Self::Together(parts) => parts.iter().enumerate().try_for_each(|(index, part)| {
                write!(f, "{}{part}", if index == 0 { "" } else { "; and then: " })
            }),
        }
    }
}

impl fmt::Display for AfterStop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "",
            Self::ReuseAddress => ", and SO_REUSEADDR on the new socket: connections leave TIME-WAIT",
            Self::Wait => ", and wait a minute: its connections leave TIME-WAIT",
        })
    }
}

struct OptionList<'a>(&'a [OptionChange]);

impl fmt::Display for OptionList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, change) in self.0.iter().enumerate() {
            let and = if index == 0 { "" } else { " and " };
            let name = match change {
                OptionChange::ReuseAddress => "SO_REUSEADDR",
                OptionChange::ReusePort => "SO_REUSEPORT",
                OptionChange::V6Only(true) => "IPV6_V6ONLY",
                OptionChange::V6Only(false) => "IPV6_V6ONLY off",
            };
            write!(f, "{and}{name}")?;
        }
        Ok(())
    }
}
