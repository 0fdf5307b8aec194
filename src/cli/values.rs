//! Values of arguments, each with words for what is wrong with one.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::IntErrorKind;
use std::time::Duration;

use bytesize::ByteSize;
use clap::ValueEnum;

use crate::net::spelling::{Form, Grammar, Spelled, Zones};

/// The most of anything that is counted: beyond every table of the kernel, and no sum of two overflows.
const MOST: usize = 1_000_000_000;
/// The highest rate, a second: every request that is due is noted, and more would take a processor whole.
const FASTEST: usize = 10_000_000;
/// What the seconds of SO_LINGER count up to; a clock can be that far ahead.
const LONGEST: Duration = Duration::from_secs(i32::MAX as u64);

/// A value, or words for the user.
pub(crate) type Parsed<T> = std::result::Result<T, String>;

/// `on` or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// Set the option.
    On,
    /// Do not.
    Off,
}

impl Switch {
    /// Whether it is on.
    pub(crate) fn is_on(self) -> bool {
        self == Self::On
    }
}

/// A duration, or `none` for no limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit(pub Option<Duration>);

/// An address of this host and its zone, whose port is an argument of its own.
#[derive(Clone, Debug)]
pub(crate) struct LocalIp(Spelled);

impl LocalIp {
    /// The address with this port.
    pub(crate) fn at(&self, port: u16) -> SocketAddr {
        let mut address = self.0.socket_address(Ipv4Addr::UNSPECIFIED.into());
        address.set_port(port);
        address
    }
}

/// An address alone. A host name would leave open which of its addresses is meant.
const IP: Grammar = Grammar { forms: &[Form::Address], names: false, zones: Zones::None, lowest_port: 0 };

/// Reads an address to bind, with its zone where it has one.
pub(crate) fn local_ip(text: &str) -> Parsed<LocalIp> {
    Grammar { zones: Zones::Ipv6, ..IP }.read(text).map(LocalIp)
}

/// Reads an address that connections come from.
pub(crate) fn source_ip(text: &str) -> Parsed<IpAddr> {
    IP.read(text).map(|spelled| spelled.socket_address(Ipv4Addr::UNSPECIFIED.into()).ip())
}

/// Reads a host to connect to, by address or name, whose port is an argument of its own.
pub(crate) fn host(text: &str) -> Parsed<String> {
    const HOST: Grammar = Grammar { names: true, zones: Zones::Ipv6, ..IP };
    const WITH_PORT: Grammar = Grammar { forms: &[Form::AddressPort], ..HOST };
    match HOST.read(text) {
        Ok(spelled) => Ok(spelled.host.unwrap_or_default()),
        // What else may be a name, the resolver knows.
        Err(_) if !text.is_empty() && WITH_PORT.read(text).is_err() => Ok(text.to_owned()),
        Err(words) => Err(words),
    }
}

/// Reads a port.
pub(crate) fn port(text: &str) -> Parsed<u16> {
    text.parse().map_err(|_| "not a port, a number from 0 to 65535".to_owned())
}

/// Reads one of several ports, which commas separate.
pub(crate) fn one_of_ports(text: &str) -> Parsed<u16> {
    port(text).map_err(|words| match port_range(text) {
        Ok(_) => format!("a range of ports is not taken, but several with commas between them, {words}"),
        Err(_) => words,
    })
}

/// Reads a port that can be connected to.
pub(crate) fn remote_port(text: &str) -> Parsed<u16> {
    match text.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err("not a port, a number from 1 to 65535".to_owned()),
    }
}

/// Reads a count of at least one.
pub(crate) fn positive(text: &str) -> Parsed<usize> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(number) if number <= MOST => Ok(number),
        Ok(_) => Err(too_many()),
        Err(error) if *error.kind() == IntErrorKind::PosOverflow => Err(too_many()),
        Err(_) => Err("not a whole number".to_owned()),
    }
}

fn too_many() -> String {
    format!("at most {MOST}")
}

/// Reads a count of at least one, in thousands (`100k`) or millions (`1M`) where it says so.
pub(crate) fn count(text: &str) -> Parsed<usize> {
    let (digits, unit) = match text.split_at_checked(text.len().saturating_sub(1)) {
        Some((digits, "k")) => (digits, 1_000),
        Some((digits, "M")) => (digits, 1_000_000),
        _ => (text, 1),
    };
    let words = || "not a whole number, such as 500, 100k or 1M".to_owned();
    let number: usize = digits.parse().map_err(|_| words())?;
    match number.checked_mul(unit) {
        Some(0) => Err("must be at least 1".to_owned()),
        Some(number) if number <= MOST => Ok(number),
        _ => Err(too_many()),
    }
}

/// Reads a rate of at least one a second: `500/s`, `20k/s`.
pub(crate) fn rate(text: &str) -> Parsed<usize> {
    let number = text.strip_suffix("/s").ok_or("a rate is a number per second, such as 500/s or 20k/s")?;
    match count(number)? {
        rate if rate <= FASTEST => Ok(rate),
        _ => Err("at most 10M/s".to_owned()),
    }
}

/// Reads a duration with its unit.
pub(crate) fn duration(text: &str) -> Parsed<Duration> {
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; a duration has a unit, such as 5s, 250ms or 2m"))?;
    if duration <= LONGEST { Ok(duration) } else { Err("at most 68y".to_owned()) }
}

/// Reads a duration longer than none.
pub(crate) fn positive_duration(text: &str) -> Parsed<Duration> {
    match duration(text)? {
        shorter if shorter < Duration::from_millis(1) => Err("must be at least 1ms".to_owned()),
        duration => Ok(duration),
    }
}

/// Reads a duration longer than none, or `none`.
pub(crate) fn limit(text: &str) -> Parsed<Limit> {
    if text == "none" {
        return Ok(Limit(None));
    }
    let limit = positive_duration(text).map_err(|error| format!("{error}; or none, for no limit"))?;
    Ok(Limit(Some(limit)))
}

/// The kernel counts these in seconds, and half a second would silently become zero.
pub(super) fn whole_seconds(text: &str) -> Parsed<Duration> {
    duration(text).and_then(|time| {
        if time.subsec_nanos() == 0 { Ok(time) } else { Err("must be whole seconds".into()) }
    })
}

/// Seconds that TCP_KEEPIDLE takes, tcp(7).
pub(super) fn keepalive(text: &str) -> Parsed<Duration> {
    positive_duration(text)?;
    at_most(whole_seconds(text)?, Duration::from_secs(32_767))
}

/// Milliseconds that TCP_USER_TIMEOUT takes, tcp(7).
pub(super) fn user_timeout(text: &str) -> Parsed<Duration> {
    at_most(positive_duration(text)?, Duration::from_millis(i32::MAX as u64))
}

fn at_most(duration: Duration, most: Duration) -> Parsed<Duration> {
    if duration <= most { Ok(duration) } else { Err(format!("at most {}s, by the kernel", most.as_secs())) }
}

/// Reads a size in bytes with its unit, 2GiB at most.
pub(crate) fn size(text: &str) -> Parsed<usize> {
    let words = "a size has a unit, such as 64KiB, 1MB or 512B";
    if !text.ends_with(['b', 'B']) {
        return Err(words.to_owned());
    }
    let size: ByteSize = text.parse().map_err(|_| words.to_owned())?;
    i32::try_from(size.as_u64()).map(|bytes| bytes as usize).map_err(|_| "at most 2GiB".to_owned())
}

/// Reads a size of at least one byte.
pub(crate) fn positive_size(text: &str) -> Parsed<usize> {
    match size(text)? {
        0 => Err("must be at least 1B".to_owned()),
        size => Ok(size),
    }
}

/// Reads `LOW-HIGH`.
pub(crate) fn port_range(text: &str) -> Parsed<(u16, u16)> {
    let words = || "not LOW-HIGH, two ports from 1 to 65535, such as 40000-40007".to_owned();
    let (low, high) = text.split_once('-').ok_or_else(words)?;
    match (remote_port(low), remote_port(high)) {
        (Ok(low), Ok(high)) if low <= high => Ok((low, high)),
        (Ok(low), Ok(high)) => Err(format!("the lower port comes first: {high}-{low}")),
        _ => Err(words()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_needs_a_unit() {
        assert!(duration("5").unwrap_err().contains("5s"));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
    }

    #[test]
    fn a_duration_that_no_clock_reaches_is_refused() {
        assert_eq!(duration("68years"), Ok(Duration::from_secs(68 * 31_557_600)));
        for wrong in ["69y", "500000000000y", "99999999999999999999y"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_duration_of_a_socket_option_is_one_that_the_kernel_takes() {
        assert_eq!(keepalive("32767s"), Ok(Duration::from_secs(32_767)));
        assert!(keepalive("32768s").unwrap_err().contains("at most 32767s"));
        assert!(keepalive("0s").is_err());
        assert_eq!(user_timeout("2147483647ms"), Ok(Duration::from_millis(2_147_483_647)));
        assert!(user_timeout("25d").unwrap_err().contains("at most 2147483s"));
    }

    #[test]
    fn a_count_has_an_end() {
        assert_eq!((positive("1"), positive("1000000000")), (Ok(1), Ok(1_000_000_000)));
        for many in ["1000000001", "18446744073709551616"] {
            assert_eq!(positive(many), Err("at most 1000000000".to_owned()));
        }
        assert_eq!(count("1001M"), Err("at most 1000000000".to_owned()));
        assert_eq!(positive("x"), Err("not a whole number".to_owned()));
    }

    #[test]
    fn nothing_is_no_interval() {
        assert!(positive_duration("0s").is_err());
        assert!(positive_duration("999us").is_err());
        assert_eq!(positive_duration("1ms"), Ok(Duration::from_millis(1)));
    }

    #[test]
    fn half_a_second_of_linger_is_refused_for_the_kernel_would_take_it_for_none() {
        assert!(whole_seconds("500ms").is_err());
        assert_eq!(whole_seconds("0s"), Ok(Duration::ZERO));
    }

    #[test]
    fn a_size_needs_a_unit() {
        assert!(size("64").is_err());
        assert!(size("4GiB").is_err());
        assert_eq!(size("64KiB"), Ok(65_536));
    }

    #[test]
    fn a_count_may_be_in_thousands_or_millions() {
        assert_eq!((count("7"), count("100k"), count("1M")), (Ok(7), Ok(100_000), Ok(1_000_000)));
        for wrong in ["", "k", "0", "0k", "1.5M", "-1", "1kk", "99999999999999999M", "1µ"] {
            assert!(count(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_rate_says_of_what_it_is_one() {
        assert_eq!((rate("500/s"), rate("20k/s")), (Ok(500), Ok(20_000)));
        assert_eq!(rate("10M/s"), Ok(10_000_000));
        for wrong in ["500", "0/s", "/s", "20k/m", "10000001/s", "1000M/s"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_port_range_has_a_low_and_a_high_end() {
        assert_eq!(port_range("40000-40007"), Ok((40_000, 40_007)));
        for wrong in ["40000", "2-1", "0-1", "1-70000", "a-b"] {
            assert!(port_range(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_host_name_cannot_be_bound() {
        assert!(local_ip("localhost").unwrap_err().contains("host name"));
        assert!(local_ip("1.2.3").is_err());
    }

    #[test]
    fn a_zone_stays_with_its_address() {
        let local = local_ip("fe80::1%lo").unwrap().at(3000);
        assert!(local.to_string().starts_with("[fe80::1%") && local.port() == 3000, "{local}");
        assert!(source_ip("fe80::1%lo").unwrap_err().contains("zone"));
        assert!(local_ip("127.0.0.1%lo").unwrap_err().contains("host name"));
        assert_eq!(host("[fe80::1%lo]"), Ok("fe80::1%lo".to_owned()));
    }

    #[test]
    fn a_host_has_no_port_beside_it() {
        for wrong in ["", "127.0.0.1:3000", "localhost:3000", "[::1]:3000"] {
            assert!(host(wrong).is_err(), "{wrong}");
        }
        assert_eq!(host("a b:c"), Ok("a b:c".to_owned()));
    }
}
