//! One cell: the rule in words, and the calls that prove it.

use std::process::ExitCode;

use crate::cli;
use crate::error::{Result, errno_name};
use crate::lab::matrix::{
    self, Cell, Failing, MadeCall, Options, Outcome, Proof, State, User, expected, expected_by,
};
use crate::sandbox::namespace::Sysctl;
use crate::text::Format;
use serde_json::json;

use super::wrap::{WIDTH, wrapped};

/// Measures the cell and explains it.
pub(super) fn run(cell: Cell, sysctls: &[Sysctl], format: Format) -> Result<ExitCode> {
    let proof = matrix::prove(cell, sysctls)?;
    cli::print(&match format {
        Format::Json => object(cell, &proof),
        Format::Text => text(cell, &proof),
    })
}

fn object(cell: Cell, proof: &Proof) -> String {
    let object = json!({
        "schema": 1,
        "event": "explained",
        "kernel": proof.kernel,
        "cell": cell,
        "outcome": proof.outcome,
        "rule": expected(cell),
        "why": why(cell).iter().map(|line| line.trim()).collect::<Vec<_>>(),
        "calls": proof.steps,
        "again": again(cell, proof),
    });
    format!("{object}\n")
}

fn text(cell: Cell, proof: &Proof) -> String {
    let [first, second] = situation(cell);
    let mut lines: Vec<String> =
        [first, second, said(proof.outcome)].iter().flat_map(|said| wrapped(said, WIDTH)).collect();
    lines.push(String::new());
    lines.extend(why(cell));
    lines.extend(disobedience(cell, proof));
    lines.extend([String::new(), format!("The calls, made now on Linux {}:", proof.kernel)]);
    lines.extend(calls(&proof.steps));
    if let Some(again) = again(cell, proof) {
        lines.extend([String::new(), "To make them again:".to_owned(), again]);
    }
    lines.join("\n") + "\n"
}

/// Both sockets, in a sentence each.
fn situation(cell: Cell) -> [String; 2] {
    let [first, second] = cell.pair.places();
    let is = match cell.state {
        State::Bound => format!("is bound to {first}, and does nothing yet"),
        State::Listen => format!("listens on {first}"),
        State::Established => format!("was bound to {first}, and is connected from there"),
        State::Accepted => format!("was accepted by a listener on {first} that has closed since"),
        State::FinWait2 => format!("is connected from {first}, and has sent FIN: FIN-WAIT-2"),
        State::CloseWait => format!("is connected from {first}, and has received FIN: CLOSE-WAIT"),
        State::TimeWait => format!("was connected from {first}, and closed first: TIME-WAIT"),
    };
    let owner = match cell.user {
        User::Same => "",
        User::Other => "another user's, ",
    };
    let wants = if first == second {
        "the same address and port".to_owned()
    } else {
        format!("the same port of {second}")
    };
    [
        format!("The first socket, {}, {is}.", with(cell.first)),
        format!("The second one, {owner}{}, wants {wants}.", with(cell.second)),
    ]
}

fn with(options: Options) -> &'static str {
    match options {
        Options::Neither => "without an option",
        Options::ReuseAddress => "with SO_REUSEADDR",
        Options::ReusePort => "with SO_REUSEPORT",
        Options::Both => "with SO_REUSEADDR and SO_REUSEPORT",
    }
}

fn said(outcome: Outcome) -> String {
    match outcome {
        Outcome::Ok => "Both may have the port: no call fails.".to_owned(),
        Outcome::Failed(call, errno) => {
            let errno = errno_name(errno);
            match call {
                Failing::Bind => format!("The second one's bind fails with {errno}."),
                Failing::Listen => format!("The second one is bound, and its listen fails with {errno}."),
                Failing::FirstListen => {
                    format!("The second one listens, and then the first one's listen fails with {errno}.")
                }
            }
        }
        Outcome::NotMeasured(missing) => format!("It could not be measured: {missing}."),
    }
}

/// The rule, part by part.
fn why(cell: Cell) -> Vec<String> {
    if !cell.pair.overlaps() {
        let [first, second] = cell.pair.places();
        let reason = match first.v6_only.or(second.v6_only) {
            Some(true) => "IPV6_V6ONLY leaves IPv4 to others",
            _ => "they differ, and neither is the wildcard",
        };
        return vec![
            format!("There is no address that both have: {reason}."),
            "Nothing else matters.".to_owned(),
        ];
    }
    vec![
        "The addresses overlap. Such sockets share a port only if".to_owned(),
        "  - both have SO_REUSEADDR, and the other one does not listen".to_owned(),
        format!("      {}", address_reuse(cell)),
        "  - or both have SO_REUSEPORT, and belong to one user".to_owned(),
        format!("      {}", port_reuse(cell)),
    ]
}

fn address_reuse(cell: Cell) -> String {
    let have = [cell.first.reuse_address(), cell.second.reuse_address()];
    match expected_by(Options::ReuseAddress, cell) {
        Outcome::Failed(Failing::FirstListen, _) => {
            "yes for bind; no for the last listen: the other one listens by then".to_owned()
        }
        Outcome::Failed(..) => no(lacking(have).unwrap_or("the first one listens")),
        _ => "yes".to_owned(),
    }
}

fn port_reuse(cell: Cell) -> String {
    let have = [cell.first.reuse_port(), cell.second.reuse_port()];
    match (expected_by(Options::ReusePort, cell), cell.state, cell.user) {
        (Outcome::Failed(..), ..) => no(lacking(have).unwrap_or("they belong to different users")),
        (_, State::TimeWait, User::Other) => "yes: in TIME-WAIT the user does not matter".to_owned(),
        _ => "yes".to_owned(),
    }
}

fn no(why: &str) -> String {
    format!("no, {why}")
}

/// Which of the two lacks an option that they have so.
fn lacking(have: [bool; 2]) -> Option<&'static str> {
    match have {
        [false, false] => Some("neither has it"),
        [false, true] => Some("the first one lacks it"),
        [true, false] => Some("the second one lacks it"),
        [true, true] => None,
    }
}

/// Told where this kernel does something else than the rule has.
fn disobedience(cell: Cell, proof: &Proof) -> Option<String> {
    let expected = expected(cell);
    (proof.outcome.is_measured() && proof.outcome != expected)
        .then(|| format!("This kernel does not follow that rule, which has {expected} here."))
}

/// Each call and what it returned, in two columns.
fn calls(steps: &[MadeCall]) -> Vec<String> {
    let width = steps.iter().map(|step| step.call.len()).max().unwrap_or_default();
    let line = |step: &MadeCall| format!("  {:width$}  {}", step.call, step.errno.as_deref().unwrap_or("ok"));
    steps.iter().map(line).collect()
}

/// The command that makes the calls again.
fn again(cell: Cell, proof: &Proof) -> Option<String> {
    let mut named = "";
    let mut calls = Vec::new();
    for step in &proof.steps {
        let (name, call) = step.call.split_once(": ").unwrap_or(("", &step.call));
        calls.push(if name == named { call } else { &step.call });
        // The socket that is accepted is the one that the next call without a name is about.
        named = if call.starts_with("accept") { "" } else { name };
    }
    let root = if cell.user == User::Other { "sudo " } else { "" };
    let command = format!("{root}fourtuple isolate -- fourtuple perform '{}'", calls.join("; "));
    proof.outcome.is_measured().then_some(command)
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    #[test]
    fn a_kernel_that_does_something_else_than_the_rule_is_told_of() {
        let cell: Cell = "LISTEN,RP,RP,same".parse().unwrap();
        let told = |outcome| {
            let proof = Proof { outcome, steps: Vec::new(), kernel: "3.8".to_owned() };
            text(cell, &proof).contains("\nThis kernel does not follow that rule, which has ok here.\n")
        };
        assert!(told(Outcome::Failed(Failing::Bind, Errno::EADDRINUSE)));
        assert!(!told(Outcome::Ok));
        assert!(!told(Outcome::NotMeasured(matrix::Missing::Ipv6)));
    }
}
