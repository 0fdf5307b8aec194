//! Sockets of another user.

use nix::sys::prctl::{get_dumpable, get_pdeathsig, set_dumpable, set_pdeathsig};
use nix::unistd::Uid;

use crate::error::{Error, Result};
use crate::net;

/// What `act` opens belongs to this user, where one is named ([`net::set_owner`]).
///
/// A change of user takes away the wish to end with the parent, and lets nobody trace the process (prctl(2)); both are
/// afterwards as they were.
///
/// # Errors
///
/// `EPERM` from `setfsuid` where this process may not do that; `act` was not called then.
pub(crate) fn as_user<T>(uid: Option<u32>, act: impl FnOnce() -> T) -> Result<T> {
    let Some(user) = uid.map(Uid::from_raw) else { return Ok(act()) };
    let failed = |errno| Error::new("prctl", "", errno);
    let (signal, dumpable) = (get_pdeathsig().map_err(failed)?, get_dumpable().map_err(failed)?);
    let become_user = |user| net::set_owner(user).map_err(|error| Error::new("setfsuid", user, error));
    let own = become_user(user)?;
    let made = act();
    become_user(own)?;
    set_pdeathsig(signal).map_err(failed)?;
    set_dumpable(dumpable).map_err(failed)?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::Signal;

    use super::*;
    use crate::sandbox::parent::die_with_parent;

    #[test]
    fn who_was_another_user_for_a_while_still_ends_with_the_parent() {
        die_with_parent().unwrap();
        let during = as_user(Some(1), || get_pdeathsig().unwrap());
        let after = get_pdeathsig().unwrap();
        assert!(get_dumpable().unwrap());
        set_pdeathsig(None).unwrap();
        match during {
            Ok(during) => assert_eq!((during, after), (None, Some(Signal::SIGKILL))),
            Err(error) => eprintln!("skipped: {error}"),
        }
    }
}
