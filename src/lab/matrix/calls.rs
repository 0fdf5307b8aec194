//! The calls of a trial, each written down as it is made.

use std::fmt;

use serde::{Deserialize, Serialize};
use socket2::Socket;

use super::cell::{Cell, Options};
use super::pair::BindAddress;
use crate::error::{Error, Result, errno_name};
use crate::net::{self, BoundSocket};

/// A call that was made, written as the steps of a performance are, and its errno if it failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeCall {
    pub call: String,
    pub errno: Option<String>,
}

/// One cell on ports of its own, and the calls made so far.
pub(super) struct Trial<'a> {
    pub(super) cell: Cell,
    pub(super) port: u16,
    pub(super) steps: &'a mut Vec<MadeCall>,
}

impl Trial<'_> {
    /// Opens the socket of this name and binds it.
    pub(super) fn open(
        &mut self,
        name: &str,
        place: BindAddress,
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
        self.steps.push(MadeCall { call: format!("{prefix}{call}"), errno });
    }
}
