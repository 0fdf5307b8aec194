//! How an address is spelled, by users and in arguments: one grammar, of which each caller takes its parts.
//!
//! `3000`, `:3000`, `*:3000`, `127.0.0.1`, `127.0.0.1:3000`, `::1`, `[::1]`, `[::1]:3000`, `fe80::1%eth0`,
//! `[fe80::1%eth0]:3000`, and a host name in the place of an address: `localhost`, `localhost:3000`.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use nix::net::if_::if_nametoindex;

/// Which parts of an address are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    AddressPort,
    Address,
    Port,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Grammar {
    /// The parts that may be given together.
    pub forms: &'static [Form],
    /// Whether a host name may stand for the address.
    pub names: bool,
    /// Whether an IPv6 address may have a zone, the interface it belongs to.
    pub zones: bool,
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
        let (host, port) = split(text).ok_or_else(|| self.expected())?;
        let form = match (host, port) {
            (Some(_), Some(_)) => Form::AddressPort,
            (Some(_), None) => Form::Address,
            (None, Some(_)) => Form::Port,
            (None, None) => return Err(self.expected()),
        };
        let port = port.map(|port| self.port(port)).transpose()?;
        let mut spelled = Spelled { ip: None, scope: 0, host: host.map(str::to_owned), port };
        if let Some(host) = host {
            (spelled.ip, spelled.scope) = self.host(host)?;
        }
        if self.forms.contains(&form) {
            Ok(spelled)
        } else {
            Err(self.lack(form, host.unwrap_or_default(), port))
        }
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

    fn host(&self, text: &str) -> Result<(Option<IpAddr>, u32), String> {
        match text.split_once('%') {
            None => match text.parse() {
                Ok(ip) => Ok((Some(ip), 0)),
                Err(_) if self.names && is_name(text) => Ok((None, 0)),
                Err(_) => Err(self.expected()),
            },
            Some((ip, zone)) => {
                let ip: Ipv6Addr = ip.parse().map_err(|_| self.expected())?;
                if !self.zones {
                    return Err(format!("{}; a zone, as in %{zone}, is not taken", self.expected()));
                }
                let index = zone.parse().ok().or_else(|| if_nametoindex(zone).ok());
                let index = index.ok_or_else(|| format!("this network has no interface {zone}"))?;
                Ok((Some(ip.into()), index))
            }
        }
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

/// The host and the port, each where it is given; nothing where brackets have no pair.
fn split(text: &str) -> Option<(Option<&str>, Option<&str>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(text) => {
            let (host, rest) = text.split_once(']')?;
            let is_ipv6 = host.split('%').next().is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok());
            let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
            return is_ipv6.then_some((Some(host), port));
        }
        // An IPv6 address without brackets has no port: `::1:3000` is one too.
        None if text.split('%').next().is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok()) => (text, None),
        None => match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => ("", Some(text)),
            None => (text, None),
        },
    };
    Some((Some(host).filter(|host| !["", "*"].contains(host) || port.is_none()), port))
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
        zones: true,
        lowest_port: 0,
    };
    const ADDRESS_PORT: Grammar =
        Grammar { forms: &[Form::AddressPort], names: false, zones: false, lowest_port: 1 };
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
            "127.0.0.1%lo",
            "[fe80::1%]:1",
        ] {
            assert!(ALL.read(text).is_err(), "{text}");
            assert!(ADDRESS_PORT.read(text).is_err(), "{text}");
            assert!(ADDRESS.read(text).is_err(), "{text}");
        }
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
        let zone = Grammar { zones: true, ..ADDRESS };
        assert_eq!(error(zone, "fe80::1%no-such"), "this network has no interface no-such");
    }
}
