//! A connection's addresses, kept compactly.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use crate::net::FourTuple;

/// A four-tuple in 16 bytes for IPv4; a `SocketAddr` alone takes 32.
#[derive(Debug)]
pub(super) enum Addresses {
    V4 { local: (Ipv4Addr, u16), remote: (Ipv4Addr, u16) },
    Other(Box<FourTuple>),
}

impl From<FourTuple> for Addresses {
    fn from(tuple: FourTuple) -> Self {
        match (tuple.local, tuple.remote) {
            (SocketAddr::V4(local), SocketAddr::V4(remote)) => {
                Self::V4 { local: (*local.ip(), local.port()), remote: (*remote.ip(), remote.port()) }
            }
            _ => Self::Other(Box::new(tuple)),
        }
    }
}

impl Addresses {
    pub(super) fn tuple(&self) -> FourTuple {
        match self {
            Self::V4 { local, remote } => FourTuple {
                local: SocketAddrV4::new(local.0, local.1).into(),
                remote: SocketAddrV4::new(remote.0, remote.1).into(),
            },
            Self::Other(tuple) => **tuple,
        }
    }
}
