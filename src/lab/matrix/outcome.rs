//! What came of a cell.

use std::fmt;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use crate::error::errno_name;

/// What came of two sockets.
///
/// Displays as `ok`, as `bind/EADDRINUSE`, or as why it could not be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Words", try_from = "Words")]
pub enum Outcome {
    /// Both are bound, and both listen that could.
    Ok,
    /// A call failed with this errno.
    Failed(Failing, Errno),
    /// It could not be measured.
    NotMeasured(Missing),
}

/// The call that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failing {
    /// The second one's bind(2).
    Bind,
    /// The second one's listen(2).
    Listen,
    /// The listen(2) of the first one, after that of the second.
    FirstListen,
}

/// What a measurement lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// A second user: it needs root.
    OtherUser,
    /// IPv6.
    Ipv6,
}

impl Outcome {
    /// Those that no errno belongs to.
    const PLAIN: [Self; 3] =
        [Self::Ok, Self::NotMeasured(Missing::OtherUser), Self::NotMeasured(Missing::Ipv6)];

    /// One word: `ok`, the call that failed, or what the measurement lacks.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed(call, _) => call.name(),
            Self::NotMeasured(Missing::OtherUser) => "no-other-user",
            Self::NotMeasured(Missing::Ipv6) => "no-ipv6",
        }
    }

    /// The errno of the call that failed.
    pub fn errno(self) -> Option<Errno> {
        match self {
            Self::Failed(_, errno) => Some(errno),
            _ => None,
        }
    }

    /// Whether the kernel was asked.
    pub fn is_measured(self) -> bool {
        !matches!(self, Self::NotMeasured(_))
    }
}

impl Failing {
    const ALL: [Self; 3] = [Self::Bind, Self::Listen, Self::FirstListen];

    /// Its name in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Listen => "listen",
            Self::FirstListen => "1st-listen",
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OtherUser => "needs root (a second user)",
            Self::Ipv6 => "there is no IPv6 here",
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errno() {
            Some(errno) => write!(f, "{}/{}", self.name(), errno_name(errno)),
            None => f.write_str(self.name()),
        }
    }
}

/// An outcome as it is written: its name, and the errno's.
#[derive(Serialize, Deserialize)]
struct Words {
    outcome: String,
    errno: Option<String>,
}

impl From<Outcome> for Words {
    fn from(outcome: Outcome) -> Self {
        Self { outcome: outcome.name().to_owned(), errno: outcome.errno().map(errno_name) }
    }
}

impl TryFrom<Words> for Outcome {
    type Error = String;

    fn try_from(Words { outcome, errno }: Words) -> Result<Self, String> {
        let failing = Failing::ALL.into_iter().find(|call| call.name() == outcome);
        let plain = Self::PLAIN.into_iter().find(|plain| plain.name() == outcome);
        match (failing, errno, plain) {
            (Some(call), Some(errno), _) => Ok(Self::Failed(call, errno_named(&errno)?)),
            (_, None, Some(plain)) => Ok(plain),
            _ => Err(format!("`{outcome}` is not an outcome")),
        }
    }
}

fn errno_named(name: &str) -> Result<Errno, String> {
    // Linux numbers its errnos without large gaps, up to EHWPOISON.
    const LAST: i32 = 133;
    let found = (1..=LAST).map(Errno::from_raw).find(|&errno| errno_name(errno) == name);
    found.ok_or_else(|| format!("`{name}` is not an errno"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_reads_as_it_is_written() {
        for outcome in [
            Outcome::Ok,
            Outcome::Failed(Failing::Bind, Errno::EADDRINUSE),
            Outcome::Failed(Failing::Listen, Errno::EADDRINUSE),
            Outcome::Failed(Failing::FirstListen, Errno::EACCES),
            Outcome::NotMeasured(Missing::OtherUser),
            Outcome::NotMeasured(Missing::Ipv6),
        ] {
            let text = serde_json::to_string(&outcome).unwrap();
            assert_eq!(serde_json::from_str::<Outcome>(&text).unwrap(), outcome, "{text}");
        }
    }

    #[test]
    fn what_is_no_outcome_is_refused() {
        for text in [
            r#"{"outcome":"ok","errno":"EADDRINUSE"}"#,
            r#"{"outcome":"bind","errno":null}"#,
            r#"{"outcome":"bind","errno":"EWRONG"}"#,
            r#"{"outcome":"good","errno":null}"#,
        ] {
            assert!(serde_json::from_str::<Outcome>(text).is_err(), "{text}");
        }
    }
}
