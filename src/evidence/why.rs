//! Whether a bind, listen or connect would succeed here and now; who is in the way, by which rule, and what helps.
//!
//! The kernel itself answers for bind(2): the call is made as it is asked about, and the socket closed at once. It never
//! listens and never connects, so nobody is disturbed and nothing is sent. What listen(2) and connect(2) would do after
//! it is read from the socket table, the routes and the settings.

mod advice;
mod answer;
mod connect;
mod elsewhere;
mod free;
mod held;
mod holding;
mod ports;
mod question;
mod rehearsal;
mod remarks;
mod route;
pub mod rules;
mod scene;
mod settings;
mod situation;
mod step;
mod trial;
mod unknown;

use std::net::{IpAddr, SocketAddr};

use nix::errno::Errno;
use nix::unistd::geteuid;

pub use answer::{Advice, Answer, Because, InTheWay, Trial, Verdict};
pub use elsewhere::Place;
pub use holding::{claim, on_port, stage};
pub use question::{Goal, Question};
pub(super) use rehearsal::Rehearsal;
pub use settings::Settings;
pub use step::{Leftover, Set, Step};

use crate::error::Result;
use crate::net::{SocketOptions, bind};
use rules::Newcomer;

/// Answers the question from this network namespace and as this user; what helps is what the rules say.
///
/// # Errors
///
/// As [`sockets`](super::inet_diag::sockets); what `socket` and `setsockopt` answer, such as `EMFILE`.
pub fn why(question: &Question) -> Result<Answer> {
    let settings = Settings::read();
    let mut answer = match question.goal {
        Goal::Bind(local) => holding::answer(local, false, &question.options, &settings),
        Goal::Listen(local) => holding::answer(local, true, &question.options, &settings),
        Goal::Connect { local, remote } => connect::answer(local, remote, &question.options, &settings),
    }?;
    let not_made = |step| Advice { step, trial: Trial::NotMade("not tried".to_owned()) };
    answer.remarks.extend(remarks::remarks(question, &answer, &settings));
    answer.advice = advice::steps(question, &answer, &settings).into_iter().map(not_made).collect();
    Ok(answer)
}

/// Makes the call bind(2) and closes the socket: the address it had, or the errno.
///
/// A socket with SO_REUSEADDR and SO_REUSEPORT that is let in by the first leaves the port in a state (`fastreuseport`)
/// in which the kernel lets in others with the second alone, unchecked, for as long as anybody has it. Either option
/// alone leaves no such trace, and where it suffices both do.
///
/// # Errors
///
/// What the calls before it answer: `EMFILE` and `ENFILE` from `socket`, `EINVAL` from `setsockopt`.
fn try_bind(local: SocketAddr, options: &SocketOptions) -> Result<std::result::Result<SocketAddr, Errno>> {
    if options.reuse_address && options.reuse_port {
        for reuse_address in [true, false] {
            let one = SocketOptions { reuse_address, reuse_port: !reuse_address, ..options.clone() };
            let outcome = bind_once(local, &one)?;
            if outcome != Err(Errno::EADDRINUSE) {
                return Ok(outcome);
            }
        }
    }
    bind_once(local, options)
}

fn bind_once(local: SocketAddr, options: &SocketOptions) -> Result<std::result::Result<SocketAddr, Errno>> {
    match bind(local, options) {
        Ok(bound) => Ok(Ok(bound.local())),
        Err(error) => match (error.call(), error.errno()) {
            ("bind", Some(errno)) => Ok(Err(errno)),
            _ => Err(error),
        },
    }
}

fn newcomer(ip: IpAddr, options: &SocketOptions, settings: &Settings) -> Newcomer {
    Newcomer {
        ip,
        reuse_address: options.reuse_address,
        reuse_port: options.reuse_port,
        v6_only: options.v6_only.unwrap_or(settings.v6_only),
        uid: geteuid().as_raw(),
    }
}
