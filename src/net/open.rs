//! Passive and active open: the only place that creates TCP sockets.
//!
//! The `bind` of mio and of the standard library set SO_REUSEADDR and a backlog on their own.

use std::io;
use std::net::SocketAddr;

use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use super::{FourTuple, SocketOptions};
use crate::error::{Error, Result};

/// A non-blocking socket that has its local address and is neither listening nor connected.
///
/// One source port, two connections, for their four-tuples differ:
///
/// ```
/// use fourtuple::{SocketOptions, bind};
///
/// let here = "127.0.0.1:0".parse().unwrap();
/// let (one, other) = (bind(here, &SocketOptions::default())?, bind(here, &SocketOptions::default())?);
/// let (to_one, to_other) = (one.local(), other.local());
/// let _listening = (one.listen(1)?, other.listen(1)?);
///
/// let shared = SocketOptions { reuse_port: true, ..SocketOptions::default() };
/// let red = bind(here, &shared)?;
/// let blue = bind(red.local(), &shared)?;
/// let _connecting = (red.connect(to_one)?, blue.connect(to_other)?);
/// # Ok::<(), fourtuple::Error>(())
/// ```
#[derive(Debug)]
pub struct BoundSocket {
    socket: Socket,
    local: SocketAddr,
}

/// Opens a socket with `options` and binds it to `local`; port 0 and the wildcard address leave the choice to the kernel.
///
/// ```
/// use fourtuple::{BoundSocket, SocketOptions, bind};
///
/// let bound: BoundSocket = bind("127.0.0.1:0".parse().unwrap(), &SocketOptions::default())?;
/// let refused = bind(bound.local(), &SocketOptions::default()).unwrap_err();
/// assert!(refused.to_string().contains("EADDRINUSE"));
/// # Ok::<(), fourtuple::Error>(())
/// ```
///
/// # Errors
///
/// `EADDRINUSE` where another socket is in the way (socket(7), SO_REUSEADDR); `EADDRNOTAVAIL` for an
/// address that is not this host's; `EACCES` for a privileged port (ip(7)); `EMFILE` and `ENFILE`
/// from `socket`.
pub fn bind(local: SocketAddr, options: &SocketOptions) -> Result<BoundSocket> {
    let socket = open(local, options)?;
    socket.bind(&local.into()).map_err(|error| Error::new("bind", local, error))?;
    let local = local_address(&socket)?;
    Ok(BoundSocket { socket, local })
}

/// Opens a socket with `options` and begins to connect it without bind(2): the kernel picks its address and port.
///
/// The socket becomes writable when the outcome is known, and SO_ERROR then tells it.
///
/// # Errors
///
/// As [`BoundSocket::connect`]; `EMFILE` and `ENFILE` from `socket`.
pub fn connect_unbound(remote: SocketAddr, options: &SocketOptions) -> Result<Socket> {
    let socket = open(remote, options)?;
    begin_to_connect(&socket, remote).map_err(|error| Error::new("connect", remote, error))?;
    Ok(socket)
}

/// A non-blocking socket with `options`, of the family of `address`.
fn open(address: SocketAddr, options: &SocketOptions) -> Result<Socket> {
    let open = || {
        let socket = socket(Domain::for_address(address))?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    let socket = open().map_err(|error: io::Error| Error::new("socket", address, error))?;
    options.apply(&socket, address)?;
    Ok(socket)
}

fn begin_to_connect(socket: &Socket, remote: SocketAddr) -> io::Result<()> {
    match socket.connect(&remote.into()) {
        Err(error) if error.raw_os_error() == Some(Errno::EINPROGRESS as i32) => Ok(()),
        outcome => outcome,
    }
}

/// Makes the call socket(2) for TCP: a blocking socket without any option.
///
/// # Errors
///
/// `EMFILE` and `ENFILE`; `EAFNOSUPPORT` where the kernel lacks the family.
pub fn socket(domain: Domain) -> io::Result<Socket> {
    Socket::new(domain, Type::STREAM, Some(Protocol::TCP))
}

impl BoundSocket {
    /// The address bound. Its port is still 0 where IP_BIND_ADDRESS_NO_PORT leaves it to [`connect`](Self::connect).
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Makes the call bind(2) once more, which the kernel refuses whatever the address.
    ///
    /// # Errors
    ///
    /// `EINVAL`, unless something is checked before that: `EACCES` for a privileged port.
    pub(super) fn bind_again(self, local: SocketAddr) -> Result<Self> {
        self.socket.bind(&local.into()).map_err(|error| Error::new("bind", local, error))?;
        Ok(self)
    }

    /// Listens: a passive OPEN (RFC 9293 §3.9.1).
    ///
    /// `backlog` bounds the accept queue; the kernel clamps it to `net.core.somaxconn` (listen(2)).
    ///
    /// # Errors
    ///
    /// `EADDRINUSE` where another socket listens on an address whose `bind` was shared.
    pub fn listen(self, backlog: i32) -> Result<Socket> {
        self.socket.listen(backlog).map_err(|error| Error::new("listen", self.local, error))?;
        Ok(self.socket)
    }

    /// Begins to connect: an active OPEN (RFC 9293 §3.9.1).
    ///
    /// The socket becomes writable when the outcome is known, and SO_ERROR then tells it.
    ///
    /// # Errors
    ///
    /// What the kernel knows at once: `EADDRNOTAVAIL` where the four-tuple exists or no port is left,
    /// `ENETUNREACH` without a route, `EAFNOSUPPORT` for the other address family.
    pub fn connect(self, remote: SocketAddr) -> Result<Socket> {
        begin_to_connect(&self.socket, remote)
            .map_err(|error| Error::new("connect", FourTuple { local: self.local, remote }, error))?;
        Ok(self.socket)
    }
}

/// The address getsockname(2) gives.
///
/// # Errors
///
/// `ENOBUFS`, and nothing else on a socket of ours.
pub(crate) fn local_address(socket: &Socket) -> Result<SocketAddr> {
    let failed = |error| Error::new("getsockname", "", error);
    let address = socket.local_addr().map_err(failed)?;
    address.as_socket().ok_or_else(|| failed(Errno::EAFNOSUPPORT.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    #[test]
    fn second_bind_to_one_address_is_refused_and_names_the_call() {
        let first = bind(loopback(), &SocketOptions::default()).unwrap();
        let error = bind(first.local(), &SocketOptions::default()).unwrap_err();
        assert_eq!((error.call(), error.errno()), ("bind", Some(Errno::EADDRINUSE)));
        assert!(error.to_string().starts_with(&format!("bind {}: EADDRINUSE", first.local())));
    }

    #[test]
    fn two_sockets_with_so_reuseaddr_may_bind_and_the_second_listen_is_refused() {
        let options = SocketOptions { reuse_address: true, ..SocketOptions::default() };
        let first = bind(loopback(), &options).unwrap();
        let second = bind(first.local(), &options).unwrap();
        let _listening = first.listen(1).unwrap();
        let error = second.listen(1).unwrap_err();
        assert_eq!((error.call(), error.errno()), ("listen", Some(Errno::EADDRINUSE)));
    }

    #[test]
    fn a_range_of_one_port_leaves_connect_no_choice() {
        let listener = bind(loopback(), &SocketOptions::default()).unwrap();
        let remote = listener.local();
        let _listening = listener.listen(1).unwrap();
        let free = bind(loopback(), &SocketOptions::default()).unwrap().local().port();
        let options = SocketOptions {
            bind_address_no_port: true,
            local_port_range: Some((free, free)),
            ..SocketOptions::default()
        };
        let bound = bind(loopback(), &options).unwrap();
        assert_eq!(bound.local().port(), 0);
        let socket = bound.connect(remote).unwrap();
        assert_eq!(local_address(&socket).unwrap().port(), free);
    }
}
