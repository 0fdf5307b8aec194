//! A trial of one cell: both sockets, made as the cell says.

use nix::errno::Errno;

use super::calls::Trial;
use super::cell::User;
use super::outcome::{Failing, Missing, Outcome};
use super::states::First;
use crate::error::{Error, Result};
use crate::net::BoundSocket;
use crate::sandbox::as_user::as_user;

/// Somebody else, whether or not this system has given that number a name.
const OTHER: u32 = 1;

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
}

fn failed(call: Failing, error: &Error) -> Outcome {
    Outcome::Failed(call, error.errno().unwrap_or(Errno::EIO))
}
