//! What to do about a failed bind, listen or connect: the facts behind its errno, and the next step.

use std::fmt::Display;
use std::net::SocketAddr;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};

use crate::error::Error;
use crate::lab::why::{Answer, Doubt, Goal, InTheWay, PlannedCall, Remedy, Verdict, why};
use crate::net::SocketOptions;
use crate::text::few;

/// The same failure with notes on what caused it and, where one is sure, a hint what to do: [`why`] in short.
///
/// `local`, `remote` and `options` are what the socket was to be bound and connected to, and set to. Say it soon after
/// the failure: the socket table is read now. A failure of which nothing is known comes back as it is, and a hint that
/// is there already stays.
pub fn explain(
    error: Error,
    local: SocketAddr,
    remote: Option<SocketAddr>,
    options: &SocketOptions,
) -> Error {
    // A connection that a limit of its own has ended has no errno; the kernel would have answered this one, later.
    let own_limit = (error.call() == "connect").then_some(Errno::ETIMEDOUT);
    let Some(errno) = error.errno().or(own_limit) else { return error };
    let goal = match (error.call(), errno, remote) {
        (_, Errno::EMFILE, _) => return too_many_files(error),
        ("bind" | "listen", _, _) => Goal::Listen(local),
        ("connect", _, Some(remote)) => {
            let is_bound = local.port() != 0 || !local.ip().is_unspecified();
            Goal::Connect { local: is_bound.then_some(local), remote }
        }
        _ => return error,
    };
    match why(&PlannedCall { goal, options: options.clone() }) {
        Ok(answer) => explained(error, errno, goal, &answer),
        Err(why) => error.note(unknown(&why)),
    }
}

fn hint(error: Error, remedy: impl Display) -> Error {
    if error.has_hint() { error } else { error.hint(remedy) }
}

/// What the answer says, where it is one to this failure.
fn explained(error: Error, failure: Errno, goal: Goal, answer: &Answer) -> Error {
    match answer.verdict {
        Verdict::Fails { errno, .. } | Verdict::MayFail { errno, .. } if errno == failure => {}
        Verdict::MayFail { doubt: Doubt::Filtered, .. }
            if answer.rules.iter().any(|rule| rule.ruling.errno() == Some(failure)) => {}
        // It may work by now, or another host has refused it.
        _ => return far_away(error, failure, goal),
    }
    let error = held_by(error, &answer.in_the_way);
    let error = few(&answer.rules).0.iter().fold(error, |error, rule| error.note(rule));
    let error = answer.behind.iter().fold(error, |error, behind| {
        held_by(error.note(format_args!("behind that, {behind}")), &behind.in_the_way)
    });
    // Nobody is seen who has it: what is not seen is all that can be told.
    let unseen =
        answer.remarks.iter().filter(|_| answer.in_the_way.is_empty() && failure == Errno::EADDRINUSE);
    let error = unseen.fold(error, Error::note);
    // Another address is seldom what somebody wants who has named one.
    let is_told = |remedy: &&Remedy| !matches!(remedy, Remedy::Address(_)) || answer.in_the_way.is_empty();
    let steps = answer.advice.iter().map(|advice| &advice.remedy).filter(is_told);
    let steps: Vec<String> = steps.map(Remedy::to_string).collect();
    if steps.is_empty() { error } else { hint(error, steps.join("; or ")) }
}

/// Names the sockets in the way, the first of many.
fn held_by(error: Error, in_the_way: &[InTheWay]) -> Error {
    let (shown, more) = few(in_the_way);
    let error = shown.iter().fold(error, |error, found| error.note(format_args!("held by {}", found.holder)));
    if more > 0 { error.note(format_args!("and {more} more")) } else { error }
}

/// What this host's own tables do not tell.
fn far_away(error: Error, failure: Errno, goal: Goal) -> Error {
    let Goal::Connect { remote, .. } = goal else { return error };
    let ip = remote.ip();
    match failure {
        Errno::ECONNREFUSED => hint(error, format_args!("nothing listens on {remote}")),
        Errno::ENETUNREACH => {
            hint(error, format_args!("no route leads to {ip}: `ip route get {ip}` shows why"))
        }
        Errno::EHOSTUNREACH => {
            hint(error, format_args!("no host answers for {ip}: `ip route get {ip}` shows the way there"))
        }
        _ => error,
    }
}

fn too_many_files(error: Error) -> Error {
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((soft, hard)) if soft < hard => hint(
            error,
            format_args!(
                "this process may open {soft} files: `ulimit -n {hard}` allows as many as its hard limit does"
            ),
        ),
        Ok((most, _)) => hint(
            error,
            format_args!(
                "this process may open {most} files, its hard limit: `ulimit -Hn` as root raises it"
            ),
        ),
        Err(_) => error,
    }
}

fn unknown(why: &Error) -> String {
    let why = why.to_string();
    format!("its holder is unknown: {}", why.lines().next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;
    use crate::net::{BoundSocket, SocketOptions, bind};

    fn bound(local: &str, reuse_address: bool) -> Result<BoundSocket> {
        let options = SocketOptions { reuse_address, ..SocketOptions::default() };
        bind(local.parse().unwrap(), &options)
    }

    fn lines(error: Error, local: SocketAddr, remote: Option<SocketAddr>) -> Vec<String> {
        explain(error, local, remote, &SocketOptions::default())
            .to_string()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn a_busy_port_is_told_with_its_holder() {
        let holder = bound("127.0.0.1:0", false).unwrap();
        let local = holder.local();
        let _listening = holder.listen(1).unwrap();
        let lines = lines(bound(&local.to_string(), false).unwrap_err(), local, None);
        let pid = std::process::id();
        assert_eq!(lines[0], format!("bind {local}: EADDRINUSE (Address already in use)"));
        assert!(lines[1].starts_with(&format!("held by LISTEN {local} pid={pid} (")), "{}", lines[1]);
        assert!(lines[1].ends_with("), SO_REUSEADDR off, SO_REUSEPORT off"), "{}", lines[1]);
        assert!(lines[2].starts_with("hint: another port: "), "{}", lines[2]);
    }

    #[test]
    fn of_many_holders_five_are_told_and_the_rest_counted() {
        let first = bound("127.0.0.1:0", true).unwrap();
        let local = first.local();
        let _others: Vec<_> = (0..6).map(|_| bound(&local.to_string(), true).unwrap()).collect();
        let lines = lines(bound(&local.to_string(), false).unwrap_err(), local, None);
        assert_eq!(lines.iter().filter(|line| line.starts_with("held by BOUND ")).count(), 5, "{lines:#?}");
        assert_eq!(lines[6], "and 2 more");
    }

    #[test]
    fn a_taken_four_tuple_is_told_with_its_row() {
        let listener = bound("127.0.0.1:0", false).unwrap();
        let remote = listener.local();
        let _listening = listener.listen(1).unwrap();
        let first = bound("127.0.0.1:0", true).unwrap();
        let local = first.local();
        let twin = bound(&local.to_string(), true).unwrap();
        let _connected = first.connect(remote).unwrap();
        let options = SocketOptions { reuse_address: true, ..SocketOptions::default() };
        let said = explain(twin.connect(remote).unwrap_err(), local, Some(remote), &options).to_string();
        let lines: Vec<&str> = said.lines().collect();
        assert!(lines[0].contains("EADDRNOTAVAIL"), "{}", lines[0]);
        assert!(
            lines[1].starts_with(&format!("held by ESTABLISHED {local} -> {remote} pid=")),
            "{}",
            lines[1]
        );
    }

    #[test]
    fn each_errno_has_its_next_step() {
        let nobody: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let plain = SocketOptions::default();
        for (call, errno, local, remote, remedy) in [
            ("bind", Errno::EADDRNOTAVAIL, "192.0.2.1:7", None, "`sudo ip addr add 192.0.2.1/32 dev lo`"),
            (
                "connect",
                Errno::ECONNREFUSED,
                "127.0.0.1:0",
                Some("127.0.0.1:9"),
                "nothing listens on 127.0.0.1:9: ",
            ),
            (
                "connect",
                Errno::ECONNREFUSED,
                "0.0.0.0:0",
                Some("192.0.2.1:9"),
                "nothing listens on 192.0.2.1:9",
            ),
            (
                "connect",
                Errno::EHOSTUNREACH,
                "127.0.0.1:0",
                Some("127.0.0.1:9"),
                "`ip route get 127.0.0.1` shows",
            ),
        ] {
            let (local, remote) = (local.parse().unwrap(), remote.map(|remote| remote.parse().unwrap()));
            let said = explain(Error::new(call, local, errno), local, remote, &plain).to_string();
            assert!(said.contains("\nhint: ") && said.contains(remedy), "{said}");
        }
        let files = explain(Error::new("socket", nobody, Errno::EMFILE), nobody, None, &plain).to_string();
        assert!(files.contains("hint: this process may open "), "{files}");
    }

    #[test]
    fn a_hint_that_is_there_stays_and_an_unknown_failure_is_left_alone() {
        let local: SocketAddr = "192.0.2.1:1".parse().unwrap();
        let plain = SocketOptions::default();
        let error = Error::new("bind", local, Errno::EADDRNOTAVAIL).hint("first");
        assert!(explain(error, local, None, &plain).to_string().ends_with("hint: first"));
        assert!(!explain(Error::new("bind", local, Errno::EPERM), local, None, &plain).has_hint());
    }
}
