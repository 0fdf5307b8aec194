//! Values of arguments, each with words for what is wrong with one.

use std::net::IpAddr;
use std::time::Duration;

use bytesize::ByteSize;
use clap::ValueEnum;

/// A value, or words for the user.
pub type Parsed<T> = std::result::Result<T, String>;

/// `on` or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Set the option.
    On,
    /// Do not.
    Off,
}

impl Switch {
    /// Whether it is on.
    pub fn is_on(self) -> bool {
        self == Self::On
    }
}

/// A duration, or `none` for no limit.
#[derive(Clone, Copy, Debug)]
pub struct Limit(pub Option<Duration>);

/// Reads an IP literal. A host name would leave open which of its addresses is bound.
pub fn local_ip(text: &str) -> Parsed<IpAddr> {
    text.parse().map_err(|_| {
        "not an IPv4 or IPv6 address, such as 127.0.0.1 or ::1 (a host name cannot be bound)".to_owned()
    })
}

/// Reads a port.
pub fn port(text: &str) -> Parsed<u16> {
    text.parse().map_err(|_| "not a port, a number from 0 to 65535".to_owned())
}

/// Reads a port that can be connected to.
pub fn remote_port(text: &str) -> Parsed<u16> {
    match text.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err("not a port, a number from 1 to 65535".to_owned()),
    }
}

/// Reads a count of at least one.
pub fn positive(text: &str) -> Parsed<usize> {
    let number = text.parse().map_err(|_| "not a whole number".to_owned())?;
    if number == 0 { Err("must be at least 1".to_owned()) } else { Ok(number) }
}

/// Reads a count of at least one, in thousands (`100k`) or millions (`1M`) where it says so.
pub fn count(text: &str) -> Parsed<usize> {
    let (digits, unit) = match text.split_at_checked(text.len().saturating_sub(1)) {
        Some((digits, "k")) => (digits, 1_000),
        Some((digits, "M")) => (digits, 1_000_000),
        _ => (text, 1),
    };
    let words = || "not a whole number, such as 500, 100k or 1M".to_owned();
    let number: usize = digits.parse().map_err(|_| words())?;
    match number.checked_mul(unit) {
        Some(0) => Err("must be at least 1".to_owned()),
        Some(number) => Ok(number),
        None => Err(words()),
    }
}

/// Reads a rate of at least one a second: `500/s`, `20k/s`.
pub fn rate(text: &str) -> Parsed<usize> {
    let number = text.strip_suffix("/s").ok_or("a rate is so many a second, such as 500/s or 20k/s")?;
    count(number)
}

/// Reads a duration with its unit.
pub fn duration(text: &str) -> Parsed<Duration> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; a duration has a unit, such as 5s, 250ms or 2m"))
}

/// Reads a duration longer than none.
pub fn positive_duration(text: &str) -> Parsed<Duration> {
    match duration(text)? {
        shorter if shorter < Duration::from_millis(1) => Err("must be at least 1ms".to_owned()),
        duration => Ok(duration),
    }
}

/// Reads a duration longer than none, or `none`.
pub fn limit(text: &str) -> Parsed<Limit> {
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

pub(super) fn positive_whole_seconds(text: &str) -> Parsed<Duration> {
    positive_duration(text)?;
    whole_seconds(text)
}

/// Reads a size in bytes with its unit, 2GiB at most.
pub fn size(text: &str) -> Parsed<usize> {
    let words = "a size has a unit, such as 64KiB, 1MB or 512B";
    if !text.ends_with(['b', 'B']) {
        return Err(words.to_owned());
    }
    let size: ByteSize = text.parse().map_err(|_| words.to_owned())?;
    i32::try_from(size.as_u64()).map(|bytes| bytes as usize).map_err(|_| "at most 2GiB".to_owned())
}

/// Reads a size of at least one byte.
pub fn positive_size(text: &str) -> Parsed<usize> {
    match size(text)? {
        0 => Err("must be at least 1B".to_owned()),
        size => Ok(size),
    }
}

/// Reads `LOW-HIGH`.
pub fn port_range(text: &str) -> Parsed<(u16, u16)> {
    let words = || "not LOW-HIGH, two ports from 1 to 65535, such as 40000-40007".to_owned();
    let (low, high) = text.split_once('-').ok_or_else(words)?;
    let range = (low.parse().map_err(|_| words())?, high.parse().map_err(|_| words())?);
    if range.0 == 0 || range.0 > range.1 { Err(words()) } else { Ok(range) }
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
        for wrong in ["500", "0/s", "/s", "20k/m"] {
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
}
