//! Which sockets are open by each step.

use std::collections::HashMap;
use std::ops::Range;

use crate::commands::perform::steps::{Address, Call};
use crate::commands::perform::words::{Checked, Mistake};

/// The sockets that the steps so far have named or opened.
#[derive(Default)]
pub(super) struct Sockets {
    /// The one that was named last.
    pub named: Option<String>,
    /// Every socket so far, and whether it is still open.
    open: HashMap<Option<String>, bool>,
}

impl Sockets {
    /// Fails where the socket that `call` is about is not there, or is there already.
    pub(super) fn account(&mut self, call: &Call, at: Range<usize>) -> Checked<()> {
        let wrong = match (call, self.open.get(&self.named)) {
            (Call::Socket(_), Some(true)) => {
                "is open already; expected another name before it, as in `b: socket`"
            }
            (Call::Socket(_), _) => {
                self.open.insert(self.named.clone(), true);
                return Ok(());
            }
            (Call::Close, Some(true)) => {
                self.open.insert(self.named.clone(), false);
                return Ok(());
            }
            (_, Some(true)) | (Call::WaitFor(_), Some(false)) => return Ok(()),
            (call, _) if !call.has_socket() => return Ok(()),
            (_, None) => "is not there yet; expected `socket` or `accept as NAME` before this",
            (_, Some(false)) => "is closed by then; expected `wait`, or `socket` to open it anew",
        };
        let socket = match &self.named {
            Some(name) => format!("socket {name}"),
            None => "the socket".to_owned(),
        };
        Err(Mistake::new(at, format!("{socket} {wrong}")))
    }

    /// The same for a socket that an argument names, which stands at `at`.
    pub(super) fn account_for_argument(&mut self, call: &Call, at: Range<usize>) -> Checked<()> {
        match call {
            Call::Accept(name) => {
                if self.open.insert(Some(name.clone()), true) == Some(true) {
                    return Err(Mistake::new(at, format!("{name} is open already; expected another name")));
                }
                self.named = Some(name.clone());
            }
            Call::Bind(Address::Of(name)) | Call::Connect(Address::Of(name))
                if self.open.get(&Some(name.clone())) != Some(&true) =>
            {
                return Err(Mistake::new(at, format!("no socket {name} is open by then")));
            }
            _ => {}
        }
        Ok(())
    }
}

/// `name`, where it is one that a socket may have.
pub(super) fn socket_name(name: &str, at: Range<usize>) -> Checked<String> {
    let mut characters = name.chars();
    let begins = characters.next().is_some_and(|first| first.is_ascii_alphabetic());
    if begins && characters.all(|next| next.is_ascii_alphanumeric() || matches!(next, '-' | '_')) {
        return Ok(name.to_owned());
    }
    Err(Mistake::new(at, "not a name; expected a letter, then letters, digits, `-` and `_`"))
}
