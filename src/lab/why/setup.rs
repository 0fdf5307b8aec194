//! Sockets in the states and with the options that others have, made on this side of a network and the other.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use socket2::Socket;

use crate::error::{Error, Result};
use crate::net::sharing_rule::reaches;
use crate::net::{self, BoundSocket, Device, SocketOptions, hears};
use crate::sandbox::as_user::as_user;

/// How long a handshake may take; on lo it takes microseconds.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);
pub(super) const BACKLOG: i32 = 128;

/// A socket that is there already.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SocketSetup {
    pub(super) kind: SetupState,
    pub(super) local: SocketAddr,
    pub(super) remote: Option<SocketAddr>,
    /// The interface that it is bound to.
    pub(super) device: Option<Device>,
    pub(super) reuse_address: bool,
    pub(super) reuse_port: bool,
    pub(super) v6_only: Option<bool>,
    /// Who has it, where it is another.
    pub(super) uid: Option<u32>,
    /// Whether its processes end before the call.
    pub(super) ends: bool,
    /// Whether it stands for one on another host.
    pub(super) is_far_away: bool,
}

/// What a socket has gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum SetupState {
    Bound,
    Listening,
    Open,
    /// In its handshake, which leaves nothing when it ends: connected, and closed with an RST.
    Opening,
    /// Connected, and its listener has not accepted it.
    Pending,
    /// The same, and the other side has closed.
    PendingRemoteClosed,
    /// Connected, and the other side has closed.
    RemoteClosed,
    /// Closed before the other side.
    Waiting,
}

/// The sockets that are there when the call is made.
#[derive(Default)]
pub(super) struct Setup<'a> {
    bound: Vec<(&'a SocketSetup, BoundSocket)>,
    listening: Vec<(&'a SocketSetup, Socket)>,
    connected: Vec<(&'a SocketSetup, Socket)>,
    /// The other ends, and what has not been accepted.
    remotes: Vec<Socket>,
}

impl<'a> Setup<'a> {
    /// Makes all of them, in an order in which each may be bound: whoever listens on an address keeps it from others that
    /// have SO_REUSEADDR, and not from those that were there before.
    pub(super) fn build(sockets: &'a [SocketSetup]) -> Result<Self> {
        let mut setup = Self::default();
        let (connections, others): (Vec<&SocketSetup>, Vec<&SocketSetup>) =
            sockets.iter().partition(|planned| planned.remote.is_some());
        let listens = |other: &&&SocketSetup| other.kind == SetupState::Listening;
        let is_accepted =
            |planned: &&SocketSetup| others.iter().filter(listens).any(|other| other.accepts(planned));
        let is_called = |other: &&SocketSetup, planned: &SocketSetup| {
            other.kind == SetupState::Listening && other.is_called_by(planned)
        };
        let (mut accepted, others_left): (Vec<&SocketSetup>, Vec<&SocketSetup>) =
            connections.into_iter().partition(is_accepted);
        let (calling, mut orphaned): (Vec<&SocketSetup>, Vec<&SocketSetup>) =
            others_left.into_iter().partition(|planned| others.iter().any(|other| is_called(other, planned)));
        let (servers, others): (Vec<&SocketSetup>, Vec<&SocketSetup>) =
            others.iter().partition(|other| calling.iter().any(|planned| is_called(other, planned)));
        // accept(2) gives the one that has waited longest.
        accepted.sort_by_key(|planned| planned.is_pending());
        // The wildcard address is had before others are there.
        orphaned.sort_by_key(|planned| planned.bound_at() == planned.local);
        setup.open_orphaned(orphaned)?;
        setup.open_unconnected(servers)?;
        setup.open_connected(calling)?;
        setup.open_unconnected(others)?;
        setup.open_connected(accepted)?;
        Ok(setup)
    }

    /// Connections are accepted by a listener that is closed when they are there.
    fn open_orphaned(&mut self, mut left: Vec<&'a SocketSetup>) -> Result<()> {
        while let Some(&first) = left.first() {
            let (of_one_listener, others): (Vec<&SocketSetup>, Vec<&SocketSetup>) =
                left.into_iter().partition(|planned| first.listens_as(planned));
            let listening = listen(first.opened()?)?;
            for planned in of_one_listener {
                if planned.is_pending() {
                    // With its listener it would be gone.
                    return Err(Error::new("accept", planned.local, Errno::ENOTCONN));
                }
                let (first, remote) = planned.connected(true, &listening)?;
                self.hold(planned, first, remote);
            }
            left = others;
        }
        Ok(())
    }

    /// Sockets that are bound, all of them before those listen that do.
    fn open_unconnected(&mut self, all: Vec<&'a SocketSetup>) -> Result<()> {
        let bound: Result<Vec<(&SocketSetup, BoundSocket)>> =
            all.into_iter().map(|planned| Ok((planned, planned.opened()?))).collect();
        for (planned, bound) in bound? {
            match planned.kind {
                SetupState::Listening => self.listening.push((planned, listen(bound)?)),
                _ => self.bound.push((planned, bound)),
            }
        }
        Ok(())
    }

    /// Connections to or from the listeners that are there.
    fn open_connected(&mut self, all: Vec<&'a SocketSetup>) -> Result<()> {
        for planned in all {
            let mut answering = self.listening.iter().filter(|(found, _)| found.answers_for(planned));
            let Some((found, socket)) = answering.next() else { continue };
            let (first, remote) = planned.connected(found.accepts(planned), socket)?;
            self.hold(planned, first, remote);
        }
        Ok(())
    }

    /// Brings a connection to where it is, by closing what is closed.
    fn hold(&mut self, planned: &'a SocketSetup, first: Option<Socket>, remote: Socket) {
        match planned.kind {
            SetupState::Waiting => {
                drop(first);
                drop(remote);
            }
            SetupState::RemoteClosed | SetupState::PendingRemoteClosed => {
                drop(remote);
                self.connected.extend(first.map(|first| (planned, first)));
            }
            _ => {
                self.remotes.push(remote);
                self.connected.extend(first.map(|first| (planned, first)));
            }
        }
    }

    /// The processes end that do so before the call.
    pub(super) fn end(&mut self) {
        for (planned, socket) in &self.connected {
            if planned.ends && planned.kind == SetupState::Opening {
                // Where it fails the step does not help, and is not told.
                let _ = socket.set_linger(Some(Duration::ZERO));
            }
        }
        self.connected.retain(|(planned, _)| !planned.ends);
        self.listening.retain(|(planned, _)| !planned.ends);
        self.bound.retain(|(planned, _)| !planned.ends);
    }
}

impl SocketSetup {
    fn options(&self) -> SocketOptions {
        SocketOptions {
            reuse_address: self.reuse_address,
            reuse_port: self.reuse_port,
            v6_only: self.v6_only,
            device: self.device,
            ..SocketOptions::default()
        }
    }

    /// A socket at its address; for a connection the one that accepts it.
    fn opened(&self) -> Result<BoundSocket> {
        as_user(self.uid, || net::bind(self.bound_at(), &self.options()))?
    }

    fn bound_at(&self) -> SocketAddr {
        let mut local = self.local;
        // bind(2) sets IPV6_V6ONLY with an address of IPv6 alone; accepted on the wildcard a connection lacks it.
        let is_ipv6 = matches!(local.ip().to_canonical(), IpAddr::V6(_));
        if self.remote.is_some() && is_ipv6 && self.v6_only == Some(false) {
            local.set_ip(Ipv6Addr::UNSPECIFIED.into());
        }
        local
    }

    /// Whether its listener has not accepted it.
    fn is_pending(&self) -> bool {
        matches!(self.kind, SetupState::Pending | SetupState::PendingRemoteClosed)
    }

    /// Whether one listener serves both.
    fn listens_as(&self, other: &Self) -> bool {
        (self.local, self.device) == (other.local, other.device) && self.has_options_of(other)
    }

    fn has_options_of(&self, other: &Self) -> bool {
        (self.reuse_address, self.reuse_port, self.uid) == (other.reuse_address, other.reuse_port, other.uid)
    }

    /// Whether the connection may have been accepted by this listener.
    fn accepts(&self, planned: &Self) -> bool {
        self.local.port() == planned.local.port()
            && self.has_options_of(planned)
            && reaches(planned.local.ip(), self.local.ip(), self.v6_only)
            && hears(self.device, planned.device)
    }

    /// Whether this listener is at either end of the connection.
    fn answers_for(&self, planned: &Self) -> bool {
        self.accepts(planned) || self.is_called_by(planned)
    }

    /// Whether it listens where the connection leads.
    fn is_called_by(&self, planned: &Self) -> bool {
        planned.remote.is_some_and(|remote| {
            remote.port() == self.local.port()
                && reaches(remote.ip(), self.local.ip(), self.v6_only)
                && self.device.is_none_or(|device| planned.device.is_none_or(|other| other == device))
        })
    }

    /// Connects to or from a listener: this end, unless nobody has accepted it, and the other one.
    fn connected(&self, is_accepted: bool, listening: &Socket) -> Result<(Option<Socket>, Socket)> {
        let Some(remote) = self.remote else {
            return Err(Error::new("connect", self.local, Errno::ENOTCONN));
        };
        if !is_accepted {
            let first = connect(self.opened()?, remote)?;
            return Ok((Some(first), accept(listening)?));
        }
        let [local, remote] = [self.local, remote].map(canonical);
        let shared = SocketOptions { reuse_address: true, reuse_port: true, ..SocketOptions::default() };
        let other = connect(net::bind(remote, &shared)?, local)?;
        let first = match self.is_pending() {
            true => None,
            false => Some(as_user(self.uid, || accept(listening))??),
        };
        Ok((first, other))
    }
}

/// An IPv4 address as such and not as a mapped one.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    match (address, address.ip().to_canonical()) {
        (SocketAddr::V6(_), IpAddr::V4(ip)) => (ip, address.port()).into(),
        _ => address,
    }
}

fn listen(bound: BoundSocket) -> Result<Socket> {
    bound.listen(BACKLOG)
}

fn accept(listening: &Socket) -> Result<Socket> {
    net::accept_within(listening, PATIENCE).map_err(|error| Error::new("accept", "", error))
}

/// Connects and waits for the outcome.
pub(super) fn connect(bound: BoundSocket, remote: SocketAddr) -> Result<Socket> {
    let socket = bound.connect(remote)?;
    let connected = net::connected_within(&socket, PATIENCE);
    connected.map(|()| socket).map_err(|error| Error::new("connect", remote, error))
}
