//! The options that decide whether sockets share an address, read from other processes' sockets.

use std::collections::BTreeMap;

use socket2::Socket;

use crate::kernel::borrow::Lender;
use crate::kernel::owners::Descriptor;
use crate::net::sharing_rule::Sharing;

/// Reads the options of sockets of other processes, through pidfd_getfd(2): by inode, those that we may trace.
///
/// Takes some microseconds a socket. The holder keeps its socket as it is.
pub(crate) fn read(descriptors: &[Descriptor]) -> BTreeMap<u32, Sharing> {
    let mut found = BTreeMap::new();
    let table = |descriptor: &Descriptor| (descriptor.process.pid, descriptor.slot.thread);
    for of_one_table in descriptors.chunk_by(|one, other| table(one) == table(other)) {
        let Some((pid, thread)) = of_one_table.first().map(table) else { continue };
        let Ok(lender) = Lender::of_table(pid, thread) else { continue };
        for descriptor in of_one_table {
            if found.contains_key(&descriptor.inode) {
                continue;
            }
            let Ok(socket) = lender.socket(descriptor.slot.number) else { continue };
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
    use crate::kernel::owners::descriptors;
    use crate::net::{SocketOptions, bind};

    #[test]
    fn our_own_socket_is_read_with_its_options() {
        let options = SocketOptions { reuse_port: true, ..SocketOptions::default() };
        let socket = bind("127.0.0.1:0".parse().unwrap(), &options).unwrap().listen(1).unwrap();
        let number = inode(&socket).unwrap().try_into().unwrap();
        let found = descriptors(&BTreeSet::from([number])).found;
        assert!(found.iter().any(|found| found.slot.number == socket.as_raw_fd()), "{found:?}");
        let expected = Sharing { reuse_address: Some(false), reuse_port: Some(true), v6_only: None };
        assert_eq!(read(&found).get(&number), Some(&expected));
    }

    #[test]
    fn a_descriptor_that_is_another_socket_by_now_is_not_read() {
        let socket =
            bind("127.0.0.1:0".parse().unwrap(), &SocketOptions::default()).unwrap().listen(1).unwrap();
        let number: u32 = inode(&socket).unwrap().try_into().unwrap();
        let mut found = descriptors(&BTreeSet::from([number])).found;
        assert_eq!(read(&found).len(), 1);
        for descriptor in &mut found {
            descriptor.inode = number.wrapping_add(1);
        }
        assert_eq!(read(&found), BTreeMap::new());
    }
}
