//! How an address is spelled, by users and in arguments: one grammar, of which each caller takes its parts.
//!
//! `3000`, `:3000`, `*:3000`, `127.0.0.1`, `127.0.0.1:3000`, `::1`, `[::1]`, `[::1]:3000`, `fe80::1%eth0`,
//! `[fe80::1%eth0]:3000`, and a host name in the place of an address: `localhost`, `localhost:3000`. As node and netstat
//! print them `:::3000` and, where a port must be, `::1:3000`; as ss does `0.0.0.0%eth0:3000` and `[fe80::1]%eth0:3000`.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use nix::net::if_::if_nametoindex;

use super::foreign_spelling::meant;

/// Which parts of an address are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    AddressPort,
    Address,
    Port,
}

/// Which addresses may have a zone, the interface they belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Zones {
    None,
    /// Those of IPv6.
    Ipv6,
    /// All, the wildcard address too, as ss(8) shows a socket with SO_BINDTODEVICE.
    All,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Grammar {
    /// The parts that may be given together.
    pub forms: &'static [Form],
    /// Whether a host name may stand for the address.
    pub names: bool,
    /// Which addresses may have a zone.
    pub zones: Zones,
    /// The lowest port: 0 where the kernel may pick one.
    pub lowest_port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spelled {
    /// The address, unless it is a name or not given.
    pub ip: Option<IpAddr>,
    /// The index of the interface that the zone names, or 0.
    pub scope: u32,
    /// The host as it was given, without brackets: an address or a name.
    pub host: Option<String>,
    pub port: Option<u16>,
}

impl Spelled {
    /// The socket address; `ip` stands for an address that is not given, and 0 for such a port.
    pub(crate) fn socket_address(&self, ip: IpAddr) -> SocketAddr {
        let port = self.port.unwrap_or_default();
        match self.ip.unwrap_or(ip) {
            IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, self.scope).into(),
            ip => SocketAddr::new(ip, port),
        }
    }
}

impl Grammar {
    /// Reads an address that this grammar takes.
    ///
    /// # Errors
    ///
    /// Words for the user: what is wrong, and the parts that are taken.
    pub(crate) fn read(&self, text: &str) -> Result<Spelled, String> {
        let takes_both = self.forms.contains(&Form::AddressPort);
        self.read_parts(text).map_err(|words| match meant(text).filter(|_| takes_both) {
            Some(address) => format!("{words}; {address} is written so here"),
            None => words,
        })
    }

    fn read_parts(&self, text: &str) -> Result<Spelled, String> {
        let Parts { host, zone, port } = self.split(text).ok_or_else(|| self.expected())?;
        let form = match (host, port) {
            (Some(_), Some(_)) => Form::AddressPort,
            (Some(_), None) => Form::Address,
            (None, Some(_)) => Form::Port,
            (None, None) => return Err(self.expected()),
        };
        let port = port.map(|port| self.port(port)).transpose()?;
        let ip = host.map(|host| self.host(host)).transpose()?.flatten();
        let scope = zone.map(|zone| self.zone(host, ip, zone)).transpose()?.unwrap_or_default();
        let zoned = |host: &str| zone.map_or_else(|| host.to_owned(), |zone| format!("{host}%{zone}"));
        let host = host.map(zoned);
        if self.forms.contains(&form) {
            Ok(Spelled { ip, scope, host, port })
        } else {
            Err(self.lack(form, host.as_deref().unwrap_or_default(), port))
        }
    }

    /// The parts of an address. Where a port must be, the last group of an IPv6 address without brackets is it.
    fn split<'a>(&self, text: &'a str) -> Option<Parts<'a>> {
        let parts = split(text)?;
        if self.forms.contains(&Form::Address) || !self.takes_port() || parts.port.is_some() {
            return Some(parts);
        }
        let with_port = |host: &'a str| {
            let (ip, port) = host.rsplit_once(':')?;
            let is_both = is_ipv6(ip) && !text.starts_with('[') && self.port(port).is_ok();
            is_both.then_some(Parts { host: Some(ip), port: Some(port), ..parts })
        };
        Some(parts.host.filter(|_| parts.zone.is_none()).and_then(with_port).unwrap_or(parts))
    }

    fn port(&self, text: &str) -> Result<u16, String> {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(port) if is_number && port >= self.lowest_port => Ok(port),
            _ if is_number && self.takes_port() => {
                Err(format!("not a port, a number from {} to 65535", self.lowest_port))
            }
            _ => Err(self.expected()),
        }
    }

    fn takes_port(&self) -> bool {
        self.forms.iter().any(|form| *form != Form::Address)
    }

    fn host(&self, text: &str) -> Result<Option<IpAddr>, String> {
        match text.parse() {
            Ok(ip) => Ok(Some(ip)),
            Err(_) if self.names && is_name(text) => Ok(None),
            Err(_) => Err(self.expected()),
        }
    }

    /// The index of the interface that is the zone of this host, or of the wildcard address.
    fn zone(&self, host: Option<&str>, ip: Option<IpAddr>, zone: &str) -> Result<u32, String> {
        let is_taken = match (self.zones, ip) {
            (Zones::All, ip) => ip.is_some() || host.is_none(),
            (Zones::Ipv6, Some(IpAddr::V6(_))) => true,
            (Zones::None, Some(IpAddr::V6(_))) => {
                return Err(format!("{}; a zone, as in %{zone}, is not taken", self.expected()));
            }
            _ => false,
        };
        if !is_taken {
            return Err(self.expected());
        }
        let index = zone.parse().ok().or_else(|| if_nametoindex(zone).ok());
        index.ok_or_else(|| format!("this network has no interface {zone}"))
    }

    /// What an address of this form has too little or too much.
    fn lack(&self, form: Form, host: &str, port: Option<u16>) -> String {
        let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let takes = |form| self.forms.contains(&form);
        match (form, port) {
            (Form::Address, _) if takes(Form::AddressPort) => {
                format!("it lacks the port, as in {bracketed}:3000")
            }
            (Form::Port, Some(port)) if takes(Form::AddressPort) => {
                format!("it lacks the address, as in 127.0.0.1:{port}")
            }
            (Form::AddressPort, Some(port)) if takes(Form::Address) => {
                format!("an address without a port, as in {host}: {port} is not taken here")
            }
            _ => self.expected(),
        }
    }

    /// The parts that are taken, by name and by example.
    fn expected(&self) -> String {
        let host = if self.names { "HOST" } else { "ADDRESS" };
        let names: Vec<String> = self
            .forms
            .iter()
            .map(|form| match form {
                Form::AddressPort => format!("{host}:PORT"),
                Form::Address => host.to_owned(),
                Form::Port => "PORT".to_owned(),
            })
            .collect();
        let examples = self.forms.iter().flat_map(|form| match form {
            Form::AddressPort => &["127.0.0.1:3000", "[::1]:3000"][..],
            Form::Address => &["127.0.0.1", "::1"],
            Form::Port => &[":3000"],
        });
        let examples: Vec<&str> = examples.copied().collect();
        let no_name =
            if self.names || self.forms == [Form::Port] { "" } else { " (a host name is not taken)" };
        format!("not {}, such as {}{no_name}", listed(&names), listed(&examples))
    }
}

/// `a, b or c`.
fn listed(words: &[impl AsRef<str>]) -> String {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    match words.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// What stands in a text, each part where it is given.
#[derive(Clone, Copy)]
struct Parts<'a> {
    host: Option<&'a str>,
    zone: Option<&'a str>,
    port: Option<&'a str>,
}

/// The parts of an address; nothing where brackets have no pair.
fn split(text: &str) -> Option<Parts<'_>> {
    if let Some(text) = text.strip_prefix('[') {
        return split_bracketed(text);
    }
    let (host, zone, port) = if let Some((host, rest)) = text.split_once('%') {
        let (zone, rest) = up_to_colon(rest);
        (host, Some(zone), rest.strip_prefix(':'))
    } else if is_ipv6(text) {
        // An IPv6 address without brackets has no port: `::1:3000` is one too.
        (text, None, None)
    } else if let Some((host, port)) = text.rsplit_once(':') {
        (host, None, Some(port))
    } else if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        ("", None, Some(text))
    } else {
        (text, None, None)
    };
    let host = Some(host).filter(|host| !["", "*"].contains(host) || port.is_none());
    Some(Parts { host, zone, port })
}

/// The parts of what follows a bracket; the zone stands within the brackets or, as ss(8) has it, behind them.
fn split_bracketed(text: &str) -> Option<Parts<'_>> {
    let (host, rest) = text.split_once(']')?;
    let (ip, within) = host.split_once('%').map_or((host, None), |(ip, zone)| (ip, Some(zone)));
    let (zone, rest) = match (within, rest.strip_prefix('%').map(up_to_colon)) {
        (None, Some((zone, rest))) => (Some(zone), rest),
        _ => (within, rest),
    };
    let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
    is_ipv6(ip).then_some(Parts { host: Some(ip), zone, port })
}

/// What stands before the first colon, and the rest. No interface has one in its name.
fn up_to_colon(text: &str) -> (&str, &str) {
    text.split_at(text.find(':').unwrap_or(text.len()))
}

fn is_ipv6(text: &str) -> bool {
    text.parse::<Ipv6Addr>().is_ok()
}

/// Whether it may be a host name; the resolver knows more.
fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.contains([':', '[', ']', '*'])
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const ALL: Grammar = Grammar {
        forms: &[Form::AddressPort, Form::Address, Form::Port],
        names: true,
        zones: Zones::All,
        lowest_port: 0,
    };
    const ADDRESS_PORT: Grammar =
        Grammar { forms: &[Form::AddressPort], names: false, zones: Zones::None, lowest_port: 1 };
    const ADDRESS: Grammar = Grammar { forms: &[Form::Address], ..ADDRESS_PORT };

    fn read(text: &str) -> Option<SocketAddr> {
        ALL.read(text).ok().map(|spelled| spelled.socket_address(Ipv4Addr::UNSPECIFIED.into()))
    }

    #[test]
    fn every_spelling_is_understood() {
        for (text, address) in [
            ("3000", "0.0.0.0:3000"),
            (":3000", "0.0.0.0:3000"),
            ("*:3000", "0.0.0.0:3000"),
            ("127.0.0.1", "127.0.0.1:0"),
            ("127.0.0.1:3000", "127.0.0.1:3000"),
            ("::1", "[::1]:0"),
            ("[::1]", "[::1]:0"),
            ("[::1]:3000", "[::1]:3000"),
            ("::1:3000", "[::1:3000]:0"),
            ("fe80::1%7", "[fe80::1%7]:0"),
            ("[fe80::1%7]:3000", "[fe80::1%7]:3000"),
            ("::ffff:127.0.0.1", "[::ffff:127.0.0.1]:0"),
            (":::3000", "[::]:3000"),
            ("[::]%7:3000", "[::%7]:3000"),
            ("[fe80::1]%7", "[fe80::1%7]:0"),
            ("fe80::1%7:3000", "[fe80::1%7]:3000"),
        ] {
            assert_eq!(read(text), Some(address.parse().unwrap()), "{text}");
        }
        let lo = if_nametoindex("lo").unwrap();
        assert_eq!(read("[fe80::1%lo]:3000"), Some(format!("[fe80::1%{lo}]:3000").parse().unwrap()));
        for (text, port) in [("localhost:3000", Some(3000)), ("localhost", None)] {
            let spelled = ALL.read(text).unwrap();
            assert_eq!((spelled.ip, spelled.host.as_deref(), spelled.port), (None, Some("localhost"), port));
        }
    }

    #[test]
    fn what_is_no_spelling_is_refused_by_every_caller() {
        for text in [
            "",
            ":",
            "*",
            "*:",
            "[::1",
            "[::1]:",
            "::1]:1",
            "[127.0.0.1]",
            "[127.0.0.1]:1",
            "[::1]3000",
            ":70000",
            "70000",
            "127.0.0.1:",
            "127.0.0.1:+1",
            "127.0.0.1:-1",
            "[localhost]:1",
            "a:b:1",
            "127.0.0.1%no-such",
            "127.0.0.1%lo:1:2",
            "[fe80::1%lo]%lo:1",
            "[fe80::1]%lo]:1",
            "[fe80::1%]:1",
        ] {
            assert!(ALL.read(text).is_err(), "{text}");
            assert!(ADDRESS_PORT.read(text).is_err(), "{text}");
            assert!(ADDRESS.read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn where_a_port_must_be_it_is_the_last_group_of_an_address_without_brackets() {
        let read = |text: &str| {
            let spelled = ADDRESS_PORT.read(text)?;
            Ok::<_, String>(spelled.socket_address(Ipv4Addr::UNSPECIFIED.into()))
        };
        for (text, address) in [
            ("::1:3111", "[::1]:3111"),
            ("fe80::1:22", "[fe80::1]:22"),
            (":::3111", "[::]:3111"),
            ("1:2:3:4:5:6:7:8:22", "[1:2:3:4:5:6:7:8]:22"),
        ] {
            assert_eq!(read(text), Ok(address.parse().unwrap()), "{text}");
        }
        for whole in ["::1", "1:2:3:4:5:6:7:8", "fe80::1:ab", "[::1:3111]", "::0"] {
            assert!(read(whole).unwrap_err().starts_with("it lacks the port"), "{whole}");
        }
        assert!(ADDRESS_PORT.read("0100007F:0BB8").unwrap_err().ends_with(" is written so here"));
    }

    #[test]
    fn a_zone_of_any_address_is_a_number() {
        let lo = if_nametoindex("lo").unwrap();
        let scope =
            |grammar: Grammar, text: &str| grammar.read(text).map(|spelled| (spelled.scope, spelled.port));
        for text in ["127.0.0.1%lo:53", "*%lo:53", "0.0.0.0%lo:53", "[::]%lo:53", "::1%lo:53"] {
            assert_eq!(scope(ALL, text), Ok((lo, Some(53))), "{text}");
        }
        let ipv6 = Grammar { zones: Zones::Ipv6, ..ALL };
        assert!(scope(ipv6, "127.0.0.1%lo:53").is_err() && scope(ipv6, "*%lo:53").is_err());
    }

    #[test]
    fn an_error_names_the_parts_that_are_taken() {
        let error = |grammar: Grammar, text: &str| grammar.read(text).unwrap_err();
        let all = "not HOST:PORT, HOST or PORT, such as 127.0.0.1:3000, [::1]:3000, 127.0.0.1, ::1 or :3000";
        assert_eq!(error(ALL, "[::1"), all);
        let both = "not ADDRESS:PORT, such as 127.0.0.1:3000 or [::1]:3000 (a host name is not taken)";
        assert_eq!(error(ADDRESS_PORT, "localhost:1"), both);
        assert_eq!(error(ADDRESS_PORT, "[fe80::1%lo]:1"), format!("{both}; a zone, as in %lo, is not taken"));
        assert_eq!(error(ADDRESS_PORT, "127.0.0.1"), "it lacks the port, as in 127.0.0.1:3000");
        assert_eq!(error(ADDRESS_PORT, "::1"), "it lacks the port, as in [::1]:3000");
        assert_eq!(error(ADDRESS_PORT, "80"), "it lacks the address, as in 127.0.0.1:80");
        assert_eq!(error(ADDRESS_PORT, "127.0.0.1:0"), "not a port, a number from 1 to 65535");
        let address = "not ADDRESS, such as 127.0.0.1 or ::1 (a host name is not taken)";
        assert_eq!(error(ADDRESS, "80"), address);
        assert_eq!(
            error(ADDRESS, "127.0.0.1:80"),
            "an address without a port, as in 127.0.0.1: 80 is not taken here"
        );
        let zone = Grammar { zones: Zones::Ipv6, ..ADDRESS };
        assert_eq!(error(zone, "fe80::1%no-such"), "this network has no interface no-such");
    }
}
