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
mod interfaces;
mod memory;
mod network_namespace;
mod not_here;
mod orphan;
mod planned_call;
mod ports;
mod privilege;
mod probe;
mod probe_plan;
mod reach;
mod reason;
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

pub use answer::{Advice, Answer, Behind, Clients, InTheWay, MetRule, TrialOutcome, Verdict};
pub use claim::{claim, on_port};
pub(crate) use claim::{is_bound, stage};
pub use network_namespace::NetworkNamespace;
pub use planned_call::{Goal, PlannedCall};
pub(crate) use ports::kept_from_connect;
pub(super) use probe::Probes;
pub use reason::{Doubt, Reason};
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
    let mut answer = asked(question, &settings)?;
    let not_made = |remedy| Advice { remedy, trial: TrialOutcome::NotMade("not tried".to_owned()) };
    answer.remarks.extend(remarks::remarks(question, &answer, &settings));
    if let Goal::Bind(local) | Goal::Listen(local) = question.goal {
        filtered::listen(&mut answer, local, &question.options, &settings);
    }
    let steps = advice::steps(question, &answer, &settings).into_iter();
    answer.advice = steps.filter(|step| leads_on(step, question, &answer, &settings)).map(not_made).collect();
    Ok(answer)
}

/// The verdict, and who is in the way.
fn asked(question: &PlannedCall, settings: &Settings) -> Result<Answer> {
    match question.goal {
        Goal::Bind(local) | Goal::Listen(local) => holding::answer(local, &question.options, settings),
        Goal::Connect { local, remote } => connect::answer(local, remote, &question.options, settings),
    }
}

/// Whether a step that changes the call alone does not end at another obstacle.
///
/// bind(2) of an address that others have is looked at by the rules already, where the step is found.
fn leads_on(step: &Remedy, question: &PlannedCall, answer: &Answer, settings: &Settings) -> bool {
    let changes_call =
        matches!(step, Remedy::Set(_) | Remedy::Address(_) | Remedy::Port(_) | Remedy::Remote(..));
    let is_known = !matches!(question.goal, Goal::Connect { .. })
        && !matches!(answer.verdict, Verdict::Fails { reason: Reason::V6Only, .. });
    let leads_on = |answer: Answer| !matches!(answer.verdict, Verdict::Fails { .. });
    !changes_call || is_known || asked(&step.applied_to(question), settings).is_ok_and(leads_on)
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;
    use crate::kernel::inet_diag::pretend::{Lacking, without};
    use crate::net::{SocketOptions, TcpState, bind};

    /// What is answered where the kernel lists no sockets that are only bound, and where it lists none at all.
    fn on_other_kernels(goal: Goal) -> [Answer; 2] {
        let question = PlannedCall { goal, options: SocketOptions::default() };
        [Lacking::Bound, Lacking::Protocol].map(|lacking| without(lacking, || why(&question).unwrap()))
    }

    #[test]
    fn who_is_only_bound_is_named_where_no_table_has_it() {
        let holder = bind("127.0.0.1:0".parse().unwrap(), &SocketOptions::default()).unwrap();
        for answer in on_other_kernels(Goal::Listen(holder.local())) {
            let held = Verdict::Fails { call: "bind", errno: Errno::EADDRINUSE, reason: Reason::Held };
            assert_eq!(answer.verdict, held, "{answer:#?}");
            let [found] = &answer.in_the_way[..] else { panic!("{answer:#?}") };
            assert_eq!(found.holder.row.state, TcpState::BoundInactive);
            assert_eq!(found.holder.processes[0].pid, std::process::id());
            let ports = answer.advice.iter().filter_map(|advice| match advice.remedy {
                Remedy::Port(port) => Some(port),
                _ => None,
            });
            for port in ports {
                let mut local = holder.local();
                local.set_port(port);
                bind(local, &SocketOptions::default()).unwrap();
            }
        }
    }

    #[test]
    fn a_free_address_is_answered_for_where_the_kernel_lists_nothing() {
        let free = bind("127.0.0.1:0".parse().unwrap(), &SocketOptions::default()).unwrap().local();
        for answer in on_other_kernels(Goal::Listen(free)) {
            assert_eq!(answer.verdict, Verdict::Works, "{answer:#?}");
        }
        let [.., unlisted] = on_other_kernels(Goal::Listen(free));
        assert!(unlisted.remarks.iter().any(|remark| remark.contains("/proc/net/tcp")), "{unlisted:#?}");
    }

    #[test]
    fn a_listener_is_found_where_the_kernel_lists_nothing() {
        let bound = bind("127.0.0.1:0".parse().unwrap(), &SocketOptions::default()).unwrap();
        let remote = bound.local();
        let _listening = bound.listen(1).unwrap();
        for answer in on_other_kernels(Goal::Connect { local: None, remote }) {
            assert_eq!(answer.verdict, Verdict::Works, "{answer:#?}");
            assert!(answer.remarks.iter().any(|remark| remark.contains("would get it")), "{answer:#?}");
        }
    }
}
