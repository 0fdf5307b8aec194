//! The settings of a network namespace, as sysctl(8) names them.

use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::str::FromStr;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::refusal;
use crate::error::{Error, Result};
use crate::text::Escaped;

/// The settings pinned in a new network: what decides the outcome of an experiment, and differs between systems.
pub(crate) const PINNED: [(&str, &str); 7] = [
    ("net.ipv4.tcp_timestamps", "1"),
    ("net.ipv4.tcp_tw_reuse", "0"),
    // Without it TIME-WAIT may end at once: an ACK that the remote side's other processor sends behind its FIN is answered,
    // and the answer meets no socket any more and brings RST (RFC 1337 §2).
    ("net.ipv4.tcp_rfc1337", "1"),
    ("net.ipv4.tcp_syn_retries", "3"),
    ("net.ipv4.tcp_syn_linear_timeouts", "0"),
    ("net.ipv4.tcp_congestion_control", "reno"),
    ("net.ipv4.ip_local_port_range", "32768 60999"),
];

/// A setting under `net.` and its value, parsed from `KEY=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sysctl {
    key: String,
    value: String,
}

impl FromStr for Sysctl {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() && !value.trim().is_empty() => {
                Ok(Self { key: key.to_owned(), value: value.to_owned() })
            }
            _ => Err("expected KEY=VALUE, such as net.ipv4.tcp_syn_retries=6".to_owned()),
        }
    }
}

impl Sysctl {
    /// Sets `key`, such as `net.ipv4.tcp_syn_retries`.
    pub fn new(key: &str, value: impl Display) -> Self {
        Self { key: key.to_owned(), value: value.to_string() }
    }

    /// Writes it; whatever is not `net.` belongs to the whole system and is refused.
    pub(super) fn write(&self) -> Result<()> {
        let parts: Vec<&str> = self.key.split('.').collect();
        let plain = |part: &&str| !part.is_empty() && !part.contains('/');
        if parts.first() != Some(&"net") || !parts.iter().all(plain) {
            let reason = std::io::Error::other("not a setting of a network namespace");
            return Err(Error::new("sysctl", Escaped(self.key.as_bytes()), reason)
                .hint("a key such as net.ipv4.tcp_syn_retries"));
        }
        let path: PathBuf = std::iter::once("/proc/sys").chain(parts).collect();
        OpenOptions::new()
            .write(true)
            .open(path)
            .and_then(|mut file| file.write_all(self.value.as_bytes()))
            .map_err(|error| self.refused(error))
    }

    fn refused(&self, error: std::io::Error) -> Error {
        let [key, value] = [&self.key, &self.value].map(|text| Escaped(text.as_bytes()));
        let error = Error::new("sysctl", format_args!("{key}={value}"), error);
        match error.errno() {
            Some(Errno::ENOENT) => error.note("this kernel has no such setting in a network namespace"),
            Some(Errno::EINVAL | Errno::ERANGE) => error.note("the kernel rejects this value"),
            _ => refusal::explained(error),
        }
    }
}

/// Writes the pinned settings, those that this kernel has.
pub(super) fn pin() -> Result<()> {
    PINNED.iter().try_for_each(|(key, value)| match Sysctl::new(key, value).write() {
        Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(()),
        outcome => outcome,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::port_range::DEFAULT;

    #[test]
    fn the_range_of_ports_is_pinned_to_the_kernels_default() {
        let pinned = PINNED.iter().find(|(key, _)| *key == "net.ipv4.ip_local_port_range");
        assert_eq!(pinned.unwrap().1, DEFAULT.map(|end| end.to_string()).join(" "));
    }

    #[test]
    fn a_key_without_a_value_is_no_sysctl() {
        for text in ["net.ipv4.tcp_timestamps", "net.ipv4.tcp_timestamps=", "=1"] {
            assert!(text.parse::<Sysctl>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_setting_of_the_whole_system_is_never_written() {
        for key in
            ["vm.swappiness", "net", "net..ipv4", "net./../kernel.hostname", ".net.ipv4.tcp_timestamps"]
        {
            let error = Sysctl { key: key.to_owned(), value: String::new() }.write().unwrap_err();
            assert!(error.to_string().contains(key), "{error}");
        }
    }
}
