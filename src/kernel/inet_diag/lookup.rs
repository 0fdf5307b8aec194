//! One connection by its four-tuple: the kernel looks it up, and walks no table.

use std::io;
use std::net::IpAddr;

use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use nix::errno::Errno;
use nix::libc::{AF_INET, AF_INET6, IPPROTO_TCP};

use super::dump::{SOCK_DIAG_BY_FAMILY, name_devices};
use super::parse::malformed;
use super::row::SocketRow;
use crate::error::{Error, Result};
use crate::kernel::netlink::{self, NetlinkReply};
use crate::net::{FourTuple, zone};

/// Asks for the connection, and for nothing else.
pub(super) fn lookup(tuple: FourTuple) -> Result<Option<SocketRow>> {
    match netlink::ask(NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, 0, &request(tuple)).and_then(read) {
        Err(error) if error.raw_os_error() == Some(Errno::ENOENT as i32) => Ok(None),
        Ok(mut row) => {
            name_devices(std::slice::from_mut(&mut row));
            Ok(Some(row))
        }
        Err(error) => Err(Error::new("sock_diag", tuple, error)),
    }
}

/// `struct inet_diag_req_v2`.
fn request(FourTuple { local, remote }: FourTuple) -> Vec<u8> {
    // An IPv4 connection of an IPv6 socket is looked up as what it is on the wire.
    let [local_ip, remote_ip] = [local, remote].map(|address| address.ip().to_canonical());
    let family = if local_ip.is_ipv4() { AF_INET } else { AF_INET6 };
    let mut message = Vec::new();
    message.extend([family as u8, IPPROTO_TCP as u8, 0, 0]); // no attributes
    message.extend((!0_u32).to_ne_bytes()); // states
    message.extend(local.port().to_be_bytes());
    message.extend(remote.port().to_be_bytes());
    message.extend(octets(local_ip));
    message.extend(octets(remote_ip));
    // Any interface, unless the address is one only together with its own.
    message.extend(zone(local).or(zone(remote)).unwrap_or(0).to_ne_bytes());
    message.extend([0xff; 8]); // any cookie
    message
}

fn octets(ip: IpAddr) -> [u8; 16] {
    let mut octets = [0; 16];
    match ip {
        IpAddr::V4(ip) => octets.iter_mut().zip(ip.octets()).for_each(|(place, octet)| *place = octet),
        IpAddr::V6(ip) => octets = ip.octets(),
    }
    octets
}

fn read(reply: NetlinkReply) -> io::Result<SocketRow> {
    match reply.kind {
        SOCK_DIAG_BY_FAMILY => SocketRow::parse(&reply.payload),
        other => Err(malformed(format_args!("message type {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::net::{SocketOptions, TcpState, bind, local_address};

    #[test]
    fn each_end_of_a_connection_is_found_and_one_that_never_was_is_not() {
        let bound = |local: &str| bind(local.parse().unwrap(), &SocketOptions::default()).unwrap();
        for (server, mapped) in [("127.0.0.1:0", false), ("127.0.0.1:0", true), ("[::1]:0", false)] {
            if server.starts_with('[') && std::net::TcpListener::bind(server).is_err() {
                eprintln!("skipped: ::1 cannot be bound here");
                continue;
            }
            let server = bound(server);
            let mut remote = server.local();
            let _listening = server.listen(1).unwrap();
            let client =
                if mapped { bound("[::ffff:127.0.0.1]:0") } else { bound(&format!("{}:0", show(remote))) };
            if mapped {
                remote = format!("[::ffff:127.0.0.1]:{}", remote.port()).parse().unwrap();
            }
            let client = client.connect(remote).unwrap();
            let local = local_address(&client).unwrap();
            for (local, remote) in [(local, remote), (remote, local)] {
                let row = lookup(FourTuple { local, remote }).unwrap().unwrap();
                assert_eq!(row.state, TcpState::Established);
                assert_eq!((row.local.port(), row.remote.port()), (local.port(), remote.port()));
            }
            let nobody = FourTuple { local, remote: SocketAddr::new(remote.ip(), 1) };
            assert_eq!(lookup(nobody).unwrap(), None);
        }
    }

    /// As an address is written before its port.
    fn show(address: SocketAddr) -> String {
        address.to_string().rsplit_once(':').unwrap().0.to_owned()
    }
}
