//! Which ports connect(2) may pick.

use std::io;
use std::net::SocketAddr;

use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use nix::{libc, setsockopt_impl, sockopt_impl};
use socket2::{Domain, Socket};

use super::open::socket;
use super::options::IpLocalPortRange;
use crate::error::{Error, Result};

sockopt_impl!(
    /// TCP_FASTOPEN_NO_COOKIE (linux/tcp.h), since Linux 4.15.
    FastOpenNoCookie,
    SetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_FASTOPEN_NO_COOKIE,
    bool
);

/// Whether connect(2) may pick this port for a socket of this address: nobody has it by bind(2).
///
/// A port that a socket came by through bind(2), port 0 included, is kept from connect(2) towards every destination;
/// one that connect(2) picked is kept from no other destination (`__inet_hash_connect` in net/ipv4/inet_hashtables.c).
/// The socket table does not tell the two apart, so this asks: it connects, and closes at once. Nothing is sent:
/// TCP_FASTOPEN_CONNECT puts the SYN off until there is data, and the destination is the address itself.
///
/// # Errors
///
/// `ENOPROTOOPT` before Linux 6.3; `EOPNOTSUPP` where `net.ipv4.tcp_fastopen` has no bit 0; `EADDRNOTAVAIL` for an
/// address that is not this host's; `ERANGE` for a port that is not in `net.ipv4.ip_local_port_range`.
pub(crate) fn may_be_picked(local: SocketAddr) -> Result<bool> {
    ask(local).map_err(|error| Error::new("connect", format_args!("from {local}"), error))
}

fn ask(local: SocketAddr) -> io::Result<bool> {
    let socket = socket(Domain::for_address(local))?;
    socket.set_nonblocking(true)?;
    setsockopt(&socket, sockopt::TcpFastOpenConnect, &true)?;
    setsockopt(&socket, FastOpenNoCookie, &true)?;
    setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
    let port = local.port();
    setsockopt(&socket, IpLocalPortRange, &(u32::from(port) << 16 | u32::from(port)))?;
    // The zone of a link-local address stays with it; any port will do to connect to.
    let [mut any_port, mut remote] = [local; 2];
    any_port.set_port(0);
    remote.set_port(1);
    socket.bind(&any_port.into())?;
    match socket.connect(&remote.into()) {
        Err(error) if error.raw_os_error() == Some(Errno::EADDRNOTAVAIL as i32) => Ok(false),
        Err(error) => Err(error),
        Ok(()) => picked(&socket, port),
    }
}

/// The kernel leaves a range aside that is not within the system's own.
fn picked(socket: &Socket, port: u16) -> io::Result<bool> {
    let local = socket.local_addr()?.as_socket();
    if local.is_some_and(|local| local.port() == port) { Ok(true) } else { Err(Errno::ERANGE.into()) }
}
