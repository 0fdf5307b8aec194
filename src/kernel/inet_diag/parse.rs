//! One reply about one socket: `struct inet_diag_msg` and the attributes after it.

use std::fmt::Display;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use netlink_packet_core::{NlasIterator, Parseable};
use netlink_packet_sock_diag::INET_DIAG_SKV6ONLY;
use netlink_packet_sock_diag::inet::InetResponseHeader;

use super::row::{SocketRow, SocketTimer, TimerKind};
use crate::net::{Device, TcpState};

/// Where `idiag_timer`, `idiag_retrans` and `idiag_expires` stand in `struct inet_diag_msg` (linux/inet_diag.h).
const TIMER: usize = 2;
const RETRANSMISSIONS: usize = 3;
const EXPIRES: usize = 52;
const HEADER: usize = 72;

impl SocketRow {
    /// Reads what the kernel says about one socket; of its interface that is the number.
    pub(super) fn parse(payload: &[u8]) -> io::Result<Self> {
        let header = InetResponseHeader::parse(payload).map_err(malformed)?;
        let id = &header.socket_id;
        let state = match TcpState::from_number(header.state) {
            // The table holds no closed socket, unless it is bound (`inet_diag_dump_icsk`).
            Some(TcpState::Closed) => TcpState::BoundInactive,
            Some(state) => state,
            None => return Err(malformed(format_args!("state {}", header.state))),
        };
        Ok(Self {
            state,
            local: address(id.source_address, id.source_port, id.interface_id),
            remote: address(id.destination_address, id.destination_port, id.interface_id),
            device: Some(id.interface_id).filter(|&index| index != 0).map(Device::nameless),
            v6_only: read_v6_only(payload.get(HEADER..).unwrap_or_default())?,
            receive_queue: header.recv_queue,
            send_queue: header.send_queue,
            timer: read_timer(payload),
            uid: header.uid,
            inode: header.inode,
            cookie: u64::from_ne_bytes(id.cookie),
        })
    }
}

/// A reply that is not what linux/inet_diag.h describes.
pub(super) fn malformed(what: impl Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("malformed reply of the kernel: {what}"))
}

/// The interface is the one that the socket is bound to; only a link-local address needs it to be told.
fn address(ip: IpAddr, port: u16, interface: u32) -> SocketAddr {
    match ip {
        IpAddr::V6(ip) if ip.is_unicast_link_local() => SocketAddrV6::new(ip, port, 0, interface).into(),
        ip => SocketAddr::new(ip, port),
    }
}

/// Read from the raw reply: the crate's own timer has no remaining time in TIME-WAIT.
fn read_timer(payload: &[u8]) -> Option<SocketTimer> {
    let kind = match payload.get(TIMER)? {
        1 => TimerKind::Retransmit,
        2 => TimerKind::Keepalive,
        3 => TimerKind::TimeWait,
        4 => TimerKind::Probe,
        _ => return None,
    };
    let milliseconds = u32::from_ne_bytes(*payload.get(EXPIRES..)?.first_chunk()?);
    Some(SocketTimer {
        kind,
        remaining: Duration::from_millis(milliseconds.into()),
        retransmissions: *payload.get(RETRANSMISSIONS)?,
    })
}

fn read_v6_only(attributes: &[u8]) -> io::Result<Option<bool>> {
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute.map_err(malformed)?;
        if attribute.kind() == INET_DIAG_SKV6ONLY {
            return Ok(attribute.value().first().map(|&value| value != 0));
        }
    }
    Ok(None)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Puts together `struct inet_diag_msg`.
    fn reply(family: u8, state: u8, timer: [u8; 2], local: &[u8], remote: &[u8], rest: [u32; 5]) -> Vec<u8> {
        let mut bytes = vec![family, state, timer[0], timer[1], 0x0b, 0xb9, 0x0b, 0xb8];
        for ip in [local, remote] {
            bytes.extend_from_slice(ip);
            bytes.resize(bytes.len() + 16 - ip.len(), 0);
        }
        bytes.extend_from_slice(&2_u32.to_ne_bytes());
        bytes.extend_from_slice(&42_u64.to_ne_bytes());
        for number in rest {
            bytes.extend_from_slice(&number.to_ne_bytes());
        }
        bytes
    }

    pub(in super::super) fn established() -> Vec<u8> {
        reply(2, 1, [1, 3], &[127, 0, 0, 1], &[127, 0, 0, 2], [200, 5, 6, 1000, 4711])
    }

    #[test]
    fn every_field_of_a_reply_is_in_the_row() {
        let row = SocketRow::parse(&established()).unwrap();
        assert_eq!(
            row,
            SocketRow {
                state: TcpState::Established,
                local: "127.0.0.1:3001".parse().unwrap(),
                remote: "127.0.0.2:3000".parse().unwrap(),
                device: Some(Device::nameless(2)),
                v6_only: None,
                receive_queue: 5,
                send_queue: 6,
                timer: Some(SocketTimer {
                    kind: TimerKind::Retransmit,
                    remaining: Duration::from_millis(200),
                    retransmissions: 3
                }),
                uid: 1000,
                inode: 4711,
                cookie: 42,
            }
        );
        assert_eq!(row.timer.unwrap().to_string(), "retransmit/200ms/3");
    }

    #[test]
    fn time_wait_has_its_remaining_time() {
        let ip = [127, 0, 0, 1];
        let row = SocketRow::parse(&reply(2, 6, [3, 0], &ip, &ip, [58_231, 0, 0, 0, 0])).unwrap();
        assert_eq!(row.state, TcpState::TimeWait);
        assert_eq!(row.timer.unwrap().to_string(), "time-wait/58.231s");
    }

    #[test]
    fn a_closed_socket_in_the_table_is_a_bound_one() {
        let row = SocketRow::parse(&reply(2, 7, [0, 0], &[127, 0, 0, 1], &[0; 4], [0; 5])).unwrap();
        assert_eq!((row.state, row.timer), (TcpState::BoundInactive, None));
    }

    #[test]
    fn an_ipv6_address_has_its_interface_where_it_is_link_local_and_there_only() {
        let mut link_local = [0; 16];
        link_local[..2].copy_from_slice(&[0xfe, 0x80]);
        link_local[15] = 1;
        let mut loopback = [0; 16];
        loopback[15] = 1;
        let mut bytes = reply(10, 10, [0, 0], &link_local, &loopback, [0, 0, 128, 0, 1]);
        bytes.extend_from_slice(&[5, 0, 11, 0, 1, 0, 0, 0]);
        let row = SocketRow::parse(&bytes).unwrap();
        assert_eq!(row.local.to_string(), "[fe80::1%2]:3001");
        assert_eq!(row.remote.to_string(), "[::1]:3000");
        assert_eq!(row.v6_only, Some(true));
    }

    #[test]
    fn a_state_or_family_that_linux_does_not_have_is_an_error() {
        let ip = [127, 0, 0, 1];
        for (family, state) in [(2, 0), (2, 14), (1, 1)] {
            SocketRow::parse(&reply(family, state, [0, 0], &ip, &ip, [0; 5])).unwrap_err();
        }
    }
}
