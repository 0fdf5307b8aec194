//! The failure we return: which call, on which address, which errno, and what to do next.

use std::borrow::Cow;
use std::{fmt, io};

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

/// A system call that failed, said so that its reader can act on it.
///
/// Displays as `CALL SUBJECT: ERRNO (text)`, then one line a note, then `hint: …`. Serialized, it passes from one
/// process to another.
///
/// ```
/// use fourtuple::{SocketOptions, bind};
///
/// let error = bind("192.0.2.1:3000".parse().unwrap(), &SocketOptions::default()).unwrap_err();
/// assert_eq!((error.call(), error.subject()), ("bind", "192.0.2.1:3000"));
/// assert!(error.to_string().starts_with("bind 192.0.2.1:3000: EADDRNOTAVAIL"));
/// ```
#[derive(Debug)]
pub struct Error {
    call: Cow<'static, str>,
    subject: String,
    source: io::Error,
    notes: Vec<String>,
    hint: Option<String>,
}

/// What the crate's fallible calls return.
///
/// ```
/// fn pick_a_port() -> fourtuple::Result<u16> {
///     let bound = fourtuple::bind(([127, 0, 0, 1], 0).into(), &Default::default())?;
///     Ok(bound.local().port())
/// }
/// assert_ne!(pick_a_port()?, 0);
/// # Ok::<(), fourtuple::Error>(())
/// ```
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The failure of `call` (named as its man page is) on `subject`: an address, a four-tuple, a path.
    pub fn new(call: &'static str, subject: impl fmt::Display, source: impl Into<io::Error>) -> Self {
        Self {
            call: call.into(),
            subject: subject.to_string(),
            source: source.into(),
            notes: Vec::new(),
            hint: None,
        }
    }

    /// Adds a line of fact below the errno, such as who holds the address.
    #[must_use]
    pub fn note(mut self, line: impl fmt::Display) -> Self {
        self.notes.push(line.to_string());
        self
    }

    /// Sets the next step. Give one only where it is sure to help.
    #[must_use]
    pub fn hint(mut self, step: impl fmt::Display) -> Self {
        self.hint = Some(step.to_string());
        self
    }

    /// Adds another next step beside the one that is said.
    #[must_use]
    pub fn or_hint(self, step: impl fmt::Display) -> Self {
        match &self.hint {
            Some(said) => {
                let both = format!("{said}; or {step}");
                self.hint(both)
            }
            None => self.hint(step),
        }
    }

    /// Whether a next step is already said.
    pub fn has_hint(&self) -> bool {
        self.hint.is_some()
    }

    /// The call that failed, as its man page is named.
    pub fn call(&self) -> &str {
        &self.call
    }

    /// What it was called on: an address, a four-tuple, a path.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The errno, where the kernel gave one.
    pub fn errno(&self) -> Option<Errno> {
        self.source.raw_os_error().map(Errno::from_raw)
    }
}

/// The errno of an error, or `EIO` where the kernel gave none.
pub(crate) fn errno_of(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.call)?;
        if !self.subject.is_empty() {
            write!(f, " {}", self.subject)?;
        }
        match self.errno() {
            Some(errno) => write!(f, ": {} ({})", errno_name(errno), errno.desc())?,
            None => write!(f, ": {}", self.source)?,
        }
        for note in &self.notes {
            write!(f, "\n{note}")?;
        }
        match &self.hint {
            Some(step) => write!(f, "\nhint: {step}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// A failure as another process tells it.
#[derive(Serialize, Deserialize)]
struct WireError {
    call: String,
    subject: String,
    errno: Option<i32>,
    words: String,
    notes: Vec<String>,
    hint: Option<String>,
}

impl Serialize for Error {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        WireError {
            call: self.call.to_string(),
            subject: self.subject.clone(),
            errno: self.source.raw_os_error(),
            words: self.source.to_string(),
            notes: self.notes.clone(),
            hint: self.hint.clone(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Error {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let told = WireError::deserialize(deserializer)?;
        let source = match told.errno {
            Some(errno) => io::Error::from_raw_os_error(errno),
            None => io::Error::other(told.words),
        };
        let (call, subject) = (told.call.into(), told.subject);
        Ok(Self { call, subject, source, notes: told.notes, hint: told.hint })
    }
}

/// The name errno(3) gives, such as `EADDRINUSE`.
pub(crate) fn errno_name(errno: Errno) -> String {
    format!("{errno:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_call_subject_errno_and_next_step_in_this_order() {
        let error = Error::new("bind", "127.0.0.1:3001", Errno::EADDRINUSE)
            .note("held by LISTEN 127.0.0.1:3001")
            .hint("another port");
        assert_eq!(
            error.to_string(),
            "bind 127.0.0.1:3001: EADDRINUSE (Address already in use)\n\
             held by LISTEN 127.0.0.1:3001\n\
             hint: another port"
        );
    }

    #[test]
    fn another_process_tells_it_in_the_same_words() {
        for error in [
            Error::new("bind", "127.0.0.1:3001", Errno::EADDRINUSE)
                .note("held by nobody")
                .hint("another port"),
            Error::new("resolve", "nowhere", io::Error::other("no such host")),
        ] {
            let told: Error = serde_json::from_str(&serde_json::to_string(&error).unwrap()).unwrap();
            assert_eq!(told.to_string(), error.to_string());
            assert_eq!((told.call(), told.errno()), (error.call(), error.errno()));
        }
    }

    #[test]
    fn a_second_next_step_stands_beside_the_first() {
        let error = || Error::new("bind", "127.0.0.1:3001", Errno::EADDRINUSE);
        assert!(
            error().hint("wait").or_hint("another port").to_string().ends_with("hint: wait; or another port")
        );
        assert!(error().or_hint("another port").to_string().ends_with("hint: another port"));
    }

    #[test]
    fn without_an_errno_the_words_of_the_source_stand() {
        let error = Error::new("resolve", "nowhere", io::Error::other("no such host"));
        assert_eq!(error.to_string(), "resolve nowhere: no such host");
    }
}
