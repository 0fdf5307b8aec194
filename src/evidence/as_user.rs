//! Sockets of another user, in a process that ends with its parent.

use nix::unistd::Uid;

use super::parent::die_with_parent;
use crate::error::{Error, Result};
use crate::net;

/// What `act` opens belongs to this user, where one is named ([`net::set_owner`]).
///
/// For a process that has called [`die_with_parent`]: a change of user undoes that, so it is done again.
///
/// # Errors
///
/// `EPERM` from `setfsuid` where this process may not do that; `act` was not called then.
pub(super) fn as_user<T>(uid: Option<u32>, act: impl FnOnce() -> T) -> Result<T> {
    let Some(user) = uid.map(Uid::from_raw) else { return Ok(act()) };
    let become_user = |user| net::set_owner(user).map_err(|error| Error::new("setfsuid", user, error));
    let own = become_user(user)?;
    let made = act();
    become_user(own)?;
    die_with_parent()?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use nix::sys::prctl::{get_pdeathsig, set_pdeathsig};
    use nix::sys::signal::Signal;

    use super::*;

    #[test]
    fn who_was_another_user_for_a_while_still_ends_with_the_parent() {
        die_with_parent().unwrap();
        let during = as_user(Some(1), || get_pdeathsig().unwrap());
        let after = get_pdeathsig().unwrap();
        set_pdeathsig(None).unwrap();
        match during {
            Ok(during) => assert_eq!((during, after), (None, Some(Signal::SIGKILL))),
            Err(error) => eprintln!("skipped: {error}"),
        }
    }
}
