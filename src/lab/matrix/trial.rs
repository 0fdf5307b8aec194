//! A trial of one cell: both sockets, made as the cell says.

use std::fmt;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use socket2::Socket;

use super::cell::{Cell, Options, User};
use super::outcome::{Failing, Missing, Outcome};
use super::pair::Place;
use super::states::First;
use crate::error::{Error, Result, errno_name};
use crate::net::{self, BoundSocket};
use crate::sandbox::as_user::as_user;

/// Somebody else, whether or not this system has given that number a name.
const OTHER: u32 = 1;

/// A call that was made, as `fourtuple perform` spells it, and its errno if it failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// `first: bind 127.0.0.1:3000`.
    pub call: String,
    /// Such as `EADDRINUSE`.
    pub errno: Option<String>,
}

/// One cell on ports of its own, and the calls made so far.
pub(super) struct Trial<'a> {
    pub(super) cell: Cell,
    pub(super) port: u16,
    pub(super) steps: &'a mut Vec<Step>,
}

impl Trial<'_> {
    /// Makes the first socket, then the second one.
    pub(super) fn outcome(mut self) -> Result<Outcome> {
        let [_, place] = self.cell.pair.places();
        let first = First::bring(&mut self)?;
        let other = (self.cell.user == User::Other).then_some(OTHER);
        let second = as_user(other, || {
            if let Some(uid) = other {
                self.note("", format_args!("setfsuid {uid}"), None);
            }
            self.open("second", place, self.cell.second, self.port)
        });
        match second {
            Err(error) if error.call() == "setfsuid" => Ok(Outcome::NotMeasured(Missing::OtherUser)),
            second => self.compete(first, second?),
        }
    }

    /// The second one listens if it is bound, then the first one if it can still.
    fn compete(&mut self, first: First, second: Result<BoundSocket>) -> Result<Outcome> {
        let second = match second {
            Err(error) if error.call() == "bind" => return Ok(failed(Failing::Bind, &error)),
            second => second?,
        };
        let _second = match self.listen("second", second) {
            Err(error) => return Ok(failed(Failing::Listen, &error)),
            Ok(second) => second,
        };
        if let First::Bound(first) = first
            && let Err(error) = self.listen("first", first)
        {
            return Ok(failed(Failing::FirstListen, &error));
        }
        Ok(Outcome::Ok)
    }

    /// Opens the socket of this name and binds it.
    pub(super) fn open(
        &mut self,
        name: &str,
        place: Place,
        options: Options,
        port: u16,
    ) -> Result<BoundSocket> {
        let family = if place.ip.is_ipv6() { " inet6" } else { "" };
        self.note(name, format_args!("socket{family}"), None);
        for (option, value) in [
            ("SO_REUSEADDR", options.reuse_address().then_some(1)),
            ("SO_REUSEPORT", options.reuse_port().then_some(1)),
            ("IPV6_V6ONLY", place.v6_only.map(i32::from)),
        ] {
            if let Some(value) = value {
                self.note(name, format_args!("setsockopt {option} {value}"), None);
            }
        }
        let local = place.port(port);
        let bound = net::bind(local, &options.at(place));
        self.note(name, format_args!("bind {local}"), bound.as_ref().err());
        bound
    }

    pub(super) fn listen(&mut self, name: &str, socket: BoundSocket) -> Result<Socket> {
        let listening = socket.listen(1);
        self.note(name, "listen 1", listening.as_ref().err());
        listening
    }

    /// Writes a call down; the name of its socket is empty where it is about none.
    pub(super) fn note(&mut self, name: &str, call: impl fmt::Display, error: Option<&Error>) {
        let errno = error.and_then(Error::errno).map(errno_name);
        let prefix = if name.is_empty() { String::new() } else { format!("{name}: ") };
        self.steps.push(Step { call: format!("{prefix}{call}"), errno });
    }
}

fn failed(call: Failing, error: &Error) -> Outcome {
    Outcome::Failed(call, error.errno().unwrap_or(Errno::EIO))
}
