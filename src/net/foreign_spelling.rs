//! Addresses as others write them, in tables and messages that people paste from.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// The address that is meant by what is no spelling of ours: from netstat of BSD and macOS (`127.0.0.1.3000`, `*.3000`),
/// /proc/net/tcp (`0100007F:0BB8`), `docker ps` (`0.0.0.0:3000->80/tcp`) or a URL (`http://127.0.0.1:3000/`).
pub(super) fn meant(text: &str) -> Option<SocketAddr> {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let rest = rest.split("->").next().unwrap_or_default();
    let rest = rest.split('/').next().unwrap_or_default();
    let within = || rest.parse().ok().filter(|_| rest != text);
    within().or_else(|| dotted(rest)).or_else(|| hexadecimal(rest))
}

/// The port after a dot.
fn dotted(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.rsplit_once('.')?;
    let port = port.parse().ok()?;
    match ip {
        "*" => Some((Ipv4Addr::UNSPECIFIED, port).into()),
        ip => ip.parse().ok().map(|ip: Ipv4Addr| (ip, port).into()),
    }
}

/// Each 32 bits of the address as a number in the machine's byte order, and the port: `%08X:%04X` (proc_net_tcp in the
/// kernel's documentation).
fn hexadecimal(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let is_hexadecimal = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hexadecimal(ip) || !is_hexadecimal(port) || port.len() != 4 {
        return None;
    }
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(ip.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    match ip.len() {
        8 => Some((Ipv4Addr::from(word(0)?), port).into()),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let octets: [u8; 16] = words.concat().try_into().ok()?;
            Some((Ipv6Addr::from(octets), port).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_another_program_printed_is_recognized() {
        for (text, address) in [
            ("127.0.0.1.3000", "127.0.0.1:3000"),
            ("*.3000", "0.0.0.0:3000"),
            ("0.0.0.0:3000->80/tcp", "0.0.0.0:3000"),
            ("[::]:3000->80/tcp", "[::]:3000"),
            ("http://127.0.0.1:3000/index.html", "127.0.0.1:3000"),
            ("tcp://[::1]:2375", "[::1]:2375"),
        ] {
            assert_eq!(meant(text), Some(address.parse().unwrap()), "{text}");
        }
        #[cfg(target_endian = "little")]
        for (text, address) in
            [("0100007F:0BB8", "127.0.0.1:3000"), ("00000000000000000000000001000000:0BB8", "[::1]:3000")]
        {
            assert_eq!(meant(text), Some(address.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn what_nobody_prints_is_not_guessed_at() {
        for text in ["", "1.2.3.4", "1.2.3.4.5.6", "localhost", "a:b", "::1", "0100007F:BB8", "é0000000:0BB8"]
        {
            assert_eq!(meant(text), None, "{text}");
        }
    }
}
