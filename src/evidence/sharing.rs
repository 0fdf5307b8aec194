//! The options that decide whether sockets share an address, read from other processes' sockets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use socket2::Socket;

use super::borrow::Lender;
use super::owners::Descriptor;

/// The options that decide whether an address is shared; `None` where it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sharing {
    /// SO_REUSEADDR.
    pub reuse_address: Option<bool>,
    /// SO_REUSEPORT.
    pub reuse_port: Option<bool>,
    /// IPV6_V6ONLY, of an IPv6 socket.
    pub v6_only: Option<bool>,
}

impl Sharing {
    /// What getsockopt(2) says of `socket`.
    pub fn of(socket: &Socket) -> Self {
        Self {
            reuse_address: socket.reuse_address().ok(),
            reuse_port: socket.reuse_port().ok(),
            v6_only: socket.only_v6().ok(),
        }
    }
}

/// Reads the options of sockets of other processes, through pidfd_getfd(2): by inode, those that we may trace.
///
/// Takes some microseconds a socket. The holder keeps its socket as it is.
pub fn read(descriptors: &[Descriptor]) -> BTreeMap<u32, Sharing> {
    let mut found = BTreeMap::new();
    for of_one_process in descriptors.chunk_by(|one, other| one.process.pid == other.process.pid) {
        let Some(first) = of_one_process.first() else { continue };
        let Ok(lender) = Lender::open(first.process.pid.cast_signed()) else { continue };
        for descriptor in of_one_process {
            if found.contains_key(&descriptor.inode) {
                continue;
            }
            let Ok(socket) = lender.socket(descriptor.number) else { continue };
            if inode(&socket) == Some(descriptor.inode.into()) {
                found.insert(descriptor.inode, Sharing::of(&socket));
            }
        }
    }
    found
}

/// Its number in sockfs: the descriptor may be another socket's by now.
fn inode(socket: &Socket) -> Option<u64> {
    nix::sys::stat::fstat(socket).ok().map(|found| found.st_ino)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::os::fd::AsRawFd;

    use super::*;
    use crate::evidence::owners::descriptors;
    use crate::net::{SocketOptions, bind};

    #[test]
    fn our_own_socket_is_read_with_its_options() {
        let options = SocketOptions { reuse_port: true, ..SocketOptions::default() };
        let socket = bind("127.0.0.1:0".parse().unwrap(), &options).unwrap().listen(1).unwrap();
        let number = inode(&socket).unwrap().try_into().unwrap();
        let found = descriptors(&BTreeSet::from([number]));
        assert!(found.iter().any(|found| found.number == socket.as_raw_fd()), "{found:?}");
        let expected = Sharing { reuse_address: Some(false), reuse_port: Some(true), v6_only: None };
        assert_eq!(read(&found).get(&number), Some(&expected));
    }
}
