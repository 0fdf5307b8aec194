//! What each cell should be: the sharing rule, asked once a call.

use nix::errno::Errno;

use super::cell::{Cell, Options, State, User};
use super::outcome::{Failing, Outcome};
use super::pair::BindAddress;
use crate::net::sharing_rule::{Claim, Newcomer, Sharing, Stage, conflict};

/// The first call that fails by [`conflict`], the function that `why` asks too.
///
/// The second socket binds and listens beside the first one; a first one that is only bound listens then, beside the
/// second. Whoever may bind may listen, so the second one's listen is never the first to fail.
pub fn expected(cell: Cell) -> Outcome {
    let [first, second] = parties(cell);
    let refused = |new: &Party, old: &Party, stage| conflict(&new.newcomer(), &old.claim(stage)).is_some();
    let failing = if refused(&second, &first, stage(cell.state)) {
        Failing::Bind
    } else if cell.state == State::Bound && refused(&first, &second, Stage::Listening) {
        Failing::FirstListen
    } else {
        return Outcome::Ok;
    };
    Outcome::Failed(failing, Errno::EADDRINUSE)
}

/// What would be of `cell` if no other option than `option` were known to the kernel.
pub(crate) fn expected_by(option: Options, cell: Cell) -> Outcome {
    expected(Cell { first: cell.first.and(option), second: cell.second.and(option), ..cell })
}

/// One of the two sockets.
struct Party {
    place: BindAddress,
    options: Options,
    uid: u32,
}

fn parties(cell: Cell) -> [Party; 2] {
    let [first, second] = cell.pair.places();
    let other = u32::from(cell.user == User::Other);
    [
        Party { place: first, options: cell.first, uid: 0 },
        Party { place: second, options: cell.second, uid: other },
    ]
}

impl Party {
    fn newcomer(&self) -> Newcomer {
        Newcomer {
            ip: self.place.ip,
            device: None,
            reuse_address: self.options.reuse_address(),
            reuse_port: self.options.reuse_port(),
            v6_only: self.place.v6_only.unwrap_or_default(),
            uid: self.uid,
        }
    }

    fn claim(&self, stage: Stage) -> Claim {
        let sharing = Sharing {
            reuse_address: Some(self.options.reuse_address()),
            reuse_port: Some(self.options.reuse_port()),
            v6_only: self.place.v6_only,
        };
        Claim { ip: self.place.ip, device: None, sharing, uid: self.uid, stage }
    }
}

fn stage(state: State) -> Stage {
    match state {
        State::Listen => Stage::Listening,
        State::TimeWait => Stage::Waiting,
        _ => Stage::Open,
    }
}
