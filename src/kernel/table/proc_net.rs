//! /proc/net/tcp and its kin, proc(5): what is left where the kernel answers no sock_diag(7), and of UDP.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::kernel::inet_diag::{SocketRow, SocketTimer, TimerKind};
use crate::net::TcpState;

/// The TCP sockets that listen or are connected; none where neither file can be read.
///
/// The backlog of a listener is not there, nor IPV6_V6ONLY.
pub(super) fn tcp() -> Option<Vec<SocketRow>> {
    let tables = [text("tcp"), text("tcp6")];
    tables.iter().any(Option::is_some).then(|| tables.iter().flatten().flat_map(|text| rows(text)).collect())
}

/// The addresses at which UDP sockets have this port.
pub(crate) fn udp_on(port: u16) -> Vec<SocketAddr> {
    let tables = [text("udp"), text("udp6")];
    let addresses = |text: &String| -> Vec<SocketAddr> {
        text.lines().filter_map(|line| address(line.split_whitespace().nth(1)?)).collect()
    };
    tables.iter().flatten().flat_map(addresses).filter(|local| local.port() == port).collect()
}

/// That of this thread's network.
fn text(protocol: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/thread-self/net/{protocol}")).ok()
}

fn rows(text: &str) -> impl Iterator<Item = SocketRow> {
    text.lines().filter_map(row)
}

/// A line such as `0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711 …`.
fn row(line: &str) -> Option<SocketRow> {
    let columns: Vec<&str> = line.split_whitespace().collect();
    let column = |number: usize| columns.get(number).copied();
    let (send_queue, receive_queue) = column(4)?.split_once(':')?;
    let hexadecimal = |text| u32::from_str_radix(text, 16).ok();
    let state = TcpState::from_number(u8::from_str_radix(column(3)?, 16).ok()?)?;
    if state == TcpState::Closed {
        return None;
    }
    Some(SocketRow {
        state,
        local: address(column(1)?)?,
        remote: address(column(2)?)?,
        device: None,
        v6_only: None,
        receive_queue: hexadecimal(receive_queue)?,
        send_queue: hexadecimal(send_queue)?,
        timer: timer(column(5)?, column(6)?),
        uid: column(7)?.parse().ok()?,
        inode: column(9)?.parse().ok()?,
        cookie: 0,
    })
}

/// `03:00001770`: what runs, and for how many ticks of 10 ms; then how often it has expired.
fn timer(timer: &str, retransmissions: &str) -> Option<SocketTimer> {
    let (kind, ticks) = timer.split_once(':')?;
    let kind = match kind {
        "01" => TimerKind::Retransmit,
        "02" => TimerKind::Keepalive,
        "03" => TimerKind::TimeWait,
        "04" => TimerKind::Probe,
        _ => return None,
    };
    let ticks = u32::from_str_radix(ticks, 16).ok()?;
    Some(SocketTimer {
        kind,
        remaining: Duration::from_millis(u64::from(ticks) * 10),
        retransmissions: u32::from_str_radix(retransmissions, 16).ok()?.try_into().unwrap_or(u8::MAX),
    })
}

/// `0100007F:0BB8`: words of 32 bits in the byte order of the machine, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| Some(u32::from_str_radix(ip.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    let ip: IpAddr = match ip.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let mut octets = [0; 16];
            for (place, at) in octets.chunks_exact_mut(4).zip([0, 8, 16, 24]) {
                place.copy_from_slice(&word(at)?);
            }
            Ipv6Addr::from(octets).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTEN: &str = "   0: 0100007F:0BB8 00000000:0000 0A 00000000:00000003 00:00000000 00000000  1000        0 4711 1 \
                          0000000000000000 100 0 0 10 0";
    const TIME_WAIT: &str = "   1: 0100007F:0BB9 0200007F:0BB8 06 00000000:00000000 03:00001770 00000000     0        0 0 3 \
                             0000000000000000";

    #[test]
    fn a_line_is_read_as_the_kernel_lists_the_socket() {
        let listening = row(LISTEN).unwrap();
        assert_eq!((listening.state, listening.local), (TcpState::Listen, "127.0.0.1:3000".parse().unwrap()));
        assert_eq!((listening.receive_queue, listening.uid, listening.inode), (3, 1000, 4711));
        assert_eq!(listening.timer, None);
        let waiting = row(TIME_WAIT).unwrap();
        assert_eq!((waiting.state, waiting.remote), (TcpState::TimeWait, "127.0.0.2:3000".parse().unwrap()));
        assert_eq!(waiting.timer.unwrap().to_string(), "time-wait/60s");
        let ipv6 = LISTEN
            .replace("0100007F", "00000000000000000000000001000000")
            .replace("00000000:0000 ", "00000000000000000000000000000000:0000 ");
        assert_eq!(row(&ipv6).unwrap().local, "[::1]:3000".parse().unwrap());
    }

    #[test]
    fn a_udp_socket_is_found_by_its_port() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let local = socket.local_addr().unwrap();
        assert_eq!(udp_on(local.port()), [local]);
    }

    proptest::proptest! {
        #[test]
        fn no_line_makes_it_panic(line in ".{0,120}", cut in 0..LISTEN.len()) {
            let _ = row(&line);
            let _ = row(&LISTEN[..cut]);
            let _ = address(&line);
        }
    }
}
