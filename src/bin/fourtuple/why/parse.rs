//! What `fourtuple why` takes for an address.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Reads `3000`, `127.0.0.1:3000`, `[::1]:3000`, `:3000` or `*:3000`; a port alone is one of the wildcard address 0.0.0.0.
pub fn parse_local(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix('*').unwrap_or(text);
    let port = port.strip_prefix(':').unwrap_or(port);
    if let Ok(port) = port.parse() {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port));
    }
    text.parse().map_err(|_| words(text))
}

/// Reads `127.0.0.1:3000` or `[::1]:3000`.
pub fn parse_remote(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<SocketAddr>() {
        Ok(remote) if remote.port() == 0 => Err("port 0 cannot be connected to".to_owned()),
        Ok(remote) => Ok(remote),
        Err(_) => Err(words(text)),
    }
}

/// What was most likely meant.
fn words(text: &str) -> String {
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => format!("it lacks the port, as in {ip}:3000"),
        Ok(IpAddr::V6(ip)) => format!("it lacks the port, as in [{ip}]:3000"),
        Err(_) => {
            "not an address with a port, such as 127.0.0.1:3000 or [::1]:3000 (a host name has several)"
                .to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_one_of_every_ipv4_address() {
        for text in ["3000", ":3000", "*:3000", "0.0.0.0:3000"] {
            assert_eq!(parse_local(text), Ok("0.0.0.0:3000".parse().unwrap()), "{text}");
        }
        assert_eq!(parse_local("[::1]:3000"), Ok("[::1]:3000".parse().unwrap()));
    }

    #[test]
    fn what_is_no_address_is_told_what_it_lacks() {
        assert_eq!(parse_local("127.0.0.1").unwrap_err(), "it lacks the port, as in 127.0.0.1:3000");
        assert_eq!(parse_remote("::1").unwrap_err(), "it lacks the port, as in [::1]:3000");
        for text in ["", "70000", "-1", "localhost:3000", "[::1]", "1.2.3:4", "*"] {
            assert!(parse_local(text).is_err(), "{text}");
        }
        assert!(parse_remote("127.0.0.1:0").is_err());
        assert!(parse_remote("3000").is_err());
    }
}
