//! What a TCP connection is.

use std::fmt;
use std::net::SocketAddr;

/// Local and remote address and port: what identifies a connection (RFC 9293 §4, "connection").
///
/// ```
/// let local = "127.0.0.1:3001".parse().unwrap();
/// let remote = "127.0.0.1:3000".parse().unwrap();
/// assert_eq!(fourtuple::FourTuple { local, remote }.to_string(), "127.0.0.1:3001 -> 127.0.0.1:3000");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FourTuple {
    /// Our end: getsockname(2).
    pub local: SocketAddr,
    /// The other end: getpeername(2).
    pub remote: SocketAddr,
}

impl fmt::Display for FourTuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.local, self.remote)
    }
}
