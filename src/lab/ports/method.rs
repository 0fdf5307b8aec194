//! The ways a client comes by its source port.

use std::fmt;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use crate::error::{Error, errno_name};

/// A way to come by a source port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// connect(2) on a socket that is not bound: it picks address and port.
    Connect,
    /// bind(2) to an address and port 0, then connect(2): bind picks the port.
    BindPortZero,
    /// The same with IP_BIND_ADDRESS_NO_PORT: connect picks the port. ip(7)
    BindAddressNoPort,
    /// The same with IP_LOCAL_PORT_RANGE too: connect picks the port from the socket's own range. ip(7)
    LocalPortRange,
    /// bind(2) to one port after the other with SO_REUSEADDR, and again for the next destination.
    ReuseAddress,
    /// The same with SO_REUSEPORT.
    ReusePort,
}

/// Which call chooses the port: what it looks at is what makes a port taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PortChoice {
    /// connect(2), which looks at the four-tuple.
    Connect,
    /// bind(2), which looks at the local address.
    Bind,
    Program,
}

impl Method {
    /// Every way.
    pub const ALL: [Self; 6] = [
        Self::Connect,
        Self::BindPortZero,
        Self::BindAddressNoPort,
        Self::LocalPortRange,
        Self::ReuseAddress,
        Self::ReusePort,
    ];

    /// Its name in output, one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::BindPortZero => "bind-port-0",
            Self::BindAddressNoPort => "IP_BIND_ADDRESS_NO_PORT",
            Self::LocalPortRange => "IP_LOCAL_PORT_RANGE",
            Self::ReuseAddress => "SO_REUSEADDR",
            Self::ReusePort => "SO_REUSEPORT",
        }
    }

    pub(super) fn choice(self) -> PortChoice {
        match self {
            Self::Connect | Self::BindAddressNoPort | Self::LocalPortRange => PortChoice::Connect,
            Self::BindPortZero => PortChoice::Bind,
            Self::ReuseAddress | Self::ReusePort => PortChoice::Program,
        }
    }

    /// What fails when no port is left.
    pub(super) fn ends(self) -> Failure {
        match self.choice() {
            PortChoice::Bind => Failure::new("bind", Errno::EADDRINUSE),
            PortChoice::Connect | PortChoice::Program => Failure::new("connect", Errno::EADDRNOTAVAIL),
        }
    }
}

/// A call that fails, and how. Displays as `connect EADDRNOTAVAIL`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The call, as its man page is named.
    pub call: String,
    /// The name of the errno, as errno(3) has it.
    pub errno: String,
}

impl Failure {
    pub(super) fn new(call: &str, errno: Errno) -> Self {
        Self { call: call.to_owned(), errno: errno_name(errno) }
    }

    /// The call and the errno of `error`.
    pub(super) fn from_error(error: &Error) -> Self {
        let errno = error.errno().map_or_else(|| "-".to_owned(), errno_name);
        Self { call: error.call().to_owned(), errno }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.call, self.errno)
    }
}
