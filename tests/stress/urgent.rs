//! Urgent data, which ends a read short of what is there.

use std::io::Read;

use socket2::SockRef;

use super::Verdict;
use super::clients::connect;
use super::server::Server;

const MSG_OOB: i32 = nix::libc::MSG_OOB;

/// 2,000 messages with an urgent byte in their midst come back whole and in order.
pub fn in_its_place() -> Verdict {
    let server = Server::start(&[]);
    let mut client = connect(server.address);
    let mut answered = 0;
    for round in 0..2_000_usize {
        let (before, after) = (vec![b'a'; round % 7], vec![b'c'; round % 5]);
        let socket = SockRef::from(&client);
        socket.send(&before).unwrap();
        socket.send_with_flags(b"b", MSG_OOB).unwrap();
        socket.send(&after).unwrap();
        let sent = [&before[..], b"b", &after].concat();
        let mut back = vec![0; sent.len()];
        match client.read_exact(&mut back) {
            Ok(()) if back == sent => answered += 1,
            Ok(()) => return Verdict::new(false, format!("{back:?} for {sent:?}")),
            Err(error) => return Verdict::new(false, format!("stuck after {answered}: {error}")),
        }
    }
    Verdict::new(answered == 2_000, format!("{answered} of 2,000 in order"))
}
