//! Whether a bind, listen or connect would succeed here and now; who is in the way, by which rule, and what helps.
//!
//! The sockets of the port, their options and the kernel's rules say whether bind(2) and listen(2) would succeed; routes
//! and settings, whether connect(2) would. Nothing listens, connects or is sent, and no later bind(2) answers otherwise
//! than it would have: what the kernel itself is asked leaves no trace in it (`memory`). What packet filters make of a
//! connection is read from their rules (`filtered`).

mod advice;
mod answer;
mod claim;
mod connect;
mod elsewhere;
mod filtered;
mod free;
mod held;
mod holding;
mod inheritance;
mod memory;
mod network_namespace;
mod orphan;
mod planned_call;
mod ports;
mod privilege;
mod probe;
mod probe_plan;
mod remarks;
mod remedy;
mod setup;
mod several;
mod sight;
mod stand_in;
mod supervised;
mod trial;
mod unknown;
mod wsl;

use crate::error::Result;
use crate::kernel::settings::Settings;

pub use answer::{Advice, Answer, Behind, Clients, InTheWay, MetRule, Reason, TrialOutcome, Verdict};
pub(crate) use claim::stage;
pub use claim::{claim, on_port};
pub use network_namespace::NetworkNamespace;
pub use planned_call::{Goal, PlannedCall};
pub(super) use probe::Probes;
pub use remedy::{AfterStop, OptionChange, Provision, Remedy};

/// Answers the question from this network namespace and as this user; what helps is what the rules say.
///
/// ```
/// use fourtuple::{Goal, PlannedCall, SocketOptions, Verdict, bind, why};
///
/// let holder = bind("127.0.0.1:0".parse().unwrap(), &SocketOptions::default())?;
/// let question = PlannedCall { goal: Goal::Listen(holder.local()), options: SocketOptions::default() };
/// let answer = why(&question)?;
/// assert!(matches!(answer.verdict, Verdict::Fails { call: "bind", .. }));
/// # Ok::<(), fourtuple::Error>(())
/// ```
///
/// # Errors
///
/// As [`sockets`](crate::kernel::inet_diag::sockets); what `socket` and `setsockopt` answer, such as `EMFILE`.
pub fn why(question: &PlannedCall) -> Result<Answer> {
    let settings = Settings::read();
    let mut answer = match question.goal {
        Goal::Bind(local) | Goal::Listen(local) => holding::answer(local, &question.options, &settings),
        Goal::Connect { local, remote } => connect::answer(local, remote, &question.options, &settings),
    }?;
    let not_made = |remedy| Advice { remedy, trial: TrialOutcome::NotMade("not tried".to_owned()) };
    answer.remarks.extend(remarks::remarks(question, &answer, &settings));
    if let Goal::Bind(local) | Goal::Listen(local) = question.goal {
        filtered::listen(&mut answer, local, &question.options, &settings);
    }
    answer.advice = advice::steps(question, &answer, &settings).into_iter().map(not_made).collect();
    Ok(answer)
}
