//! What is asked: a call, and the socket that it is made on.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::net::SocketOptions;

/// The call in question, and what the socket has when it comes to be made.
#[derive(Clone, Debug)]
pub struct PlannedCall {
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
