//! A system call that was made as it was told, and what came of it.

use std::net::SocketAddr;

use nix::errno::Errno;
use serde_json::Value;

use crate::error::errno_name;
use crate::text::{Escaped, Line, cut};

/// A call and its outcome.
///
/// In text `NAME: CALL ARGUMENTS = RESULT SHOWN`, in the manner of strace(1); a call that failed ends in
/// `= -1 ERRNO`, one that had not returned when it was given up in `= ? WHY`.
#[derive(Debug)]
pub struct CallEvent<'a> {
    /// The name of the socket, where it has one.
    pub socket: Option<&'a str>,
    pub name: &'a str,
    /// Its arguments as they were given; empty where it takes none.
    pub arguments: &'a str,
    pub returned: Returned<'a>,
    /// The socket's own address afterwards, where it has one.
    pub local: Option<SocketAddr>,
    /// The other end's, where there is one or one was asked for.
    pub remote: Option<SocketAddr>,
}

#[derive(Debug)]
pub enum Returned<'a> {
    /// A number, and what it gave besides.
    Number(i64, Shown<'a>),
    Errno(Errno),
    /// -1 for a reason that is no errno.
    Failed(&'a str),
    /// Nothing yet, and for this reason it was not waited for any longer.
    Nothing(&'a str),
}

/// What a call gave besides its result.
#[derive(Debug)]
pub enum Shown<'a> {
    Nothing,
    /// Words of ours: an address, a value, flags.
    Words(&'a str),
    Bytes(&'a [u8]),
}

impl CallEvent<'_> {
    pub(super) fn text(&self) -> String {
        let prefix = self.socket.map(|name| format!("{name}: ")).unwrap_or_default();
        let space = if self.arguments.is_empty() { "" } else { " " };
        let call = format!("{prefix}{}{space}{}", self.name, self.arguments);
        match &self.returned {
            Returned::Number(number, Shown::Nothing | Shown::Bytes([])) => format!("{call} = {number}"),
            Returned::Number(number, Shown::Words(words)) => format!("{call} = {number} {words}"),
            Returned::Number(number, Shown::Bytes(bytes)) => format!("{call} = {number} \"{}\"", cut(bytes)),
            Returned::Errno(errno) => format!("{call} = -1 {}", errno_name(*errno)),
            Returned::Failed(why) => format!("{call} = -1 {why}"),
            Returned::Nothing(why) => format!("{call} = ? {why}"),
        }
    }

    pub(super) fn fields<'l>(&self, line: &'l mut Line) -> &'l mut Line {
        let (result, errno, text) = match &self.returned {
            Returned::Number(number, shown) => (Value::from(*number), Value::Null, shown.value()),
            Returned::Errno(errno) => ((-1).into(), errno_name(*errno).into(), Value::Null),
            Returned::Failed(why) => ((-1).into(), Value::Null, (*why).into()),
            Returned::Nothing(why) => (Value::Null, Value::Null, (*why).into()),
        };
        let address = |address: Option<SocketAddr>| address.map(|address| address.to_string()).into();
        line.value("socket", self.socket.into())
            .value("call", self.name.into())
            .value("arguments", self.arguments.into())
            .value("result", result)
            .value("errno", errno)
            .value("text", text)
            .value("local", address(self.local))
            .value("remote", address(self.remote))
    }
}

impl Shown<'_> {
    fn value(&self) -> Value {
        match self {
            Self::Nothing => Value::Null,
            Self::Words(words) => (*words).into(),
            Self::Bytes(bytes) => cut(bytes).into(),
        }
    }
}

/// Bytes as an argument: quoted, escaped and cut as foreign ones are.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", cut(bytes))
}

/// Text for a line of an error message: every character that a terminal would obey or hide is one `·`, so that
/// columns stay what they are.
pub(crate) fn visible(text: &str) -> String {
    let shown = |character: char| match character {
        '"' | '\\' => character,
        _ if Escaped(character.encode_utf8(&mut [0; 4]).as_bytes()).to_string().starts_with('\\') => '·',
        _ => character,
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Event;

    fn call(returned: Returned) -> CallEvent {
        let local = "127.0.0.1:3001".parse().ok();
        CallEvent { socket: Some("a"), name: "recv", arguments: "", returned, local, remote: None }
    }

    #[test]
    fn a_call_shows_what_it_returned_and_what_it_gave() {
        for (returned, text) in [
            (Returned::Number(3, Shown::Bytes(b"x\n\xff")), r#"a: recv = 3 "x\n\xff""#),
            (Returned::Number(0, Shown::Bytes(b"")), "a: recv = 0"),
            (Returned::Number(1, Shown::Words("POLLIN")), "a: recv = 1 POLLIN"),
            (Returned::Number(0, Shown::Nothing), "a: recv = 0"),
            (Returned::Errno(Errno::ECONNRESET), "a: recv = -1 ECONNRESET"),
            (Returned::Failed("(SYN-SENT)"), "a: recv = -1 (SYN-SENT)"),
            (Returned::Nothing("(SIGINT)"), "a: recv = ? (SIGINT)"),
        ] {
            assert_eq!(call(returned).text(), text);
        }
    }

    #[test]
    fn every_key_is_in_the_json_object_whatever_came_of_the_call() {
        let returned = [
            Returned::Number(1, Shown::Bytes(b"x")),
            Returned::Errno(Errno::EPIPE),
            Returned::Nothing("(SIGINT)"),
        ];
        let keys = ["socket", "call", "arguments", "result", "errno", "text", "local", "remote"];
        let objects: Vec<Value> = returned
            .into_iter()
            .map(|returned| serde_json::from_str(&Event::Call(call(returned)).json()).unwrap())
            .collect();
        assert!(objects.iter().all(|object| keys.iter().all(|key| object.get(key).is_some())), "{objects:?}");
        assert_eq!((&objects[0]["result"], &objects[0]["text"]), (&1.into(), &"x".into()));
        assert_eq!((&objects[1]["result"], &objects[1]["errno"]), (&(-1).into(), &"EPIPE".into()));
        assert_eq!((&objects[2]["result"], &objects[2]["remote"]), (&Value::Null, &Value::Null));
    }

    #[test]
    fn visible_text_keeps_its_columns() {
        assert_eq!(visible("a\t\x1b[2J \u{202e}é\"\\"), "a··[2J ·é\"\\");
    }
}
