//! What to do about a failed bind, listen or connect: the facts behind its errno, and the next step.

use std::fmt::Display;
use std::fs;
use std::net::SocketAddr;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};

use super::holders::{Holder, holders, holders_of_four_tuple};
use super::inet_diag::TimerKind;
use crate::error::Error;
use crate::net::TcpState;

/// How many sockets that stand in the way are told one by one.
const SHOWN: usize = 5;
const NO_HOLDER: &str =
    "the socket table has no row of it any more, or of a socket that is only bound (before Linux 6.8)";

/// The same failure with notes on what caused it and, where one is sure, a hint what to do.
///
/// `local` and `remote` are what the socket was to be bound and connected to. Say it soon after the
/// failure: the socket table is read now. A failure of which nothing is known comes back as it is,
/// and a hint that is there already stays.
pub fn explain(error: Error, local: SocketAddr, remote: Option<SocketAddr>) -> Error {
    let Some(errno) = error.errno() else { return error };
    match (error.call(), errno, remote) {
        ("bind" | "listen", Errno::EADDRINUSE, _) => address_in_use(error, local),
        ("bind", Errno::EADDRNOTAVAIL, _) => hint(error, "`ip -br addr` lists the addresses of this host"),
        ("bind", Errno::EACCES, _) => privileged_port(error, local.port()),
        ("connect", Errno::EADDRNOTAVAIL, Some(remote)) => four_tuple_taken(error, local, remote),
        ("connect", Errno::ECONNREFUSED, Some(remote)) => {
            let (port, ip) = (remote.port(), remote.ip());
            hint(error, format_args!("nothing listens on {remote}: `listener {port} {ip}` does"))
        }
        ("connect", Errno::ENETUNREACH, Some(remote)) => hint(
            error,
            format_args!("no route leads to {}: `ip route` and `ip -br addr` list what is up", remote.ip()),
        ),
        ("connect", Errno::EHOSTUNREACH, Some(remote)) => hint(
            error,
            format_args!(
                "nobody answers for {}: `ip route get {}` shows the way there",
                remote.ip(),
                remote.ip()
            ),
        ),
        ("connect", Errno::EINVAL, Some(remote))
            if local.ip().is_loopback() && !remote.ip().is_loopback() =>
        {
            let step = "a socket bound to loopback reaches loopback alone: bind the wildcard address, or one of `ip -br addr`";
            hint(error, step)
        }
        (_, Errno::EMFILE, _) => too_many_files(error),
        _ => error,
    }
}

fn hint(error: Error, step: impl Display) -> Error {
    if error.has_hint() { error } else { error.hint(step) }
}

fn address_in_use(error: Error, local: SocketAddr) -> Error {
    if local.port() == 0 {
        return no_port_left(error);
    }
    let found = holders(local).map(|mut found| {
        // A listen(2) fails because of another that listens: the address itself was shared by bind(2).
        found.retain(|holder| error.call() != "listen" || holder.row.state == TcpState::Listen);
        found
    });
    match found {
        Ok(found) if found.is_empty() => error.note(NO_HOLDER),
        Ok(found) => {
            let step = ways_out(&found);
            hint(note_holders(error, &found), step)
        }
        Err(why) => error.note(unknown(&why)),
    }
}

fn note_holders(error: Error, found: &[Holder]) -> Error {
    let shown = found.iter().take(SHOWN);
    let error = shown.fold(error, |error, holder| error.note(format_args!("held by {holder}")));
    match found.len().saturating_sub(SHOWN) {
        0 => error,
        more => error.note(format_args!("and {more} more")),
    }
}

/// What frees an address, or shares it, given who has it.
fn ways_out(found: &[Holder]) -> String {
    let sharing = "SO_REUSEPORT on both sockets and the same user";
    let listening = found.iter().any(|holder| holder.row.state == TcpState::Listen);
    if !listening {
        let seconds = found.iter().map(time_wait_left).collect::<Option<Vec<_>>>();
        if let Some(longest) = seconds.and_then(|all| all.into_iter().reduce(f64::max)) {
            return format!(
                "another port; or wait {longest:.1}s; or SO_REUSEADDR on the old socket and on this one"
            );
        }
    }
    let holder = found.iter().flat_map(|holder| &holder.processes).map(|process| process.pid);
    match holder.into_iter().find(|&pid| pid != std::process::id()) {
        Some(pid) => format!("another port; or stop pid {pid}; or {sharing}"),
        None => format!("another port; or {sharing}"),
    }
}

fn time_wait_left(holder: &Holder) -> Option<f64> {
    let timer = holder.row.timer.filter(|timer| timer.kind == TimerKind::TimeWait)?;
    Some(timer.remaining.as_secs_f64())
}

fn four_tuple_taken(error: Error, local: SocketAddr, remote: SocketAddr) -> Error {
    if local.port() == 0 {
        return no_port_left(error);
    }
    match holders_of_four_tuple(local, remote) {
        Ok(found) if found.is_empty() => error,
        Ok(found) => hint(
            note_holders(error, &found),
            "another local port or another remote address: a four-tuple exists once",
        ),
        Err(why) => error.note(unknown(&why)),
    }
}

fn no_port_left(error: Error) -> Error {
    let error = error.note("no port is left that the kernel may pick");
    match setting("ip_local_port_range") {
        Some(range) => {
            let range = range.split_whitespace().collect::<Vec<_>>().join("-");
            hint(error, format_args!("net.ipv4.ip_local_port_range is {range}: widen it, or name a port"))
        }
        None => error,
    }
}

fn privileged_port(error: Error, port: u16) -> Error {
    match setting("ip_unprivileged_port_start") {
        Some(start) if start.parse().is_ok_and(|start: u16| port < start) => hint(
            error,
            format_args!(
                "a port from {start} up (net.ipv4.ip_unprivileged_port_start), or CAP_NET_BIND_SERVICE"
            ),
        ),
        _ => error,
    }
}

fn too_many_files(error: Error) -> Error {
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((soft, hard)) => hint(
            error,
            format_args!(
                "this process may open {soft} files: `ulimit -n {hard}` allows as many as its hard limit does"
            ),
        ),
        Err(_) => error,
    }
}

/// A setting of this network namespace, as sysctl(8) shows it.
fn setting(name: &str) -> Option<String> {
    let value = fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).ok()?;
    Some(value.trim().to_owned())
}

fn unknown(why: &Error) -> String {
    let why = why.to_string();
    format!("who holds it is not known: {}", why.lines().next().unwrap_or_default())
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
        explain(error, local, remote).to_string().lines().map(str::to_owned).collect()
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
        assert_eq!(lines[2], "hint: another port; or SO_REUSEPORT on both sockets and the same user");
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
        let lines = lines(twin.connect(remote).unwrap_err(), local, Some(remote));
        assert!(lines[0].contains("EADDRNOTAVAIL"), "{}", lines[0]);
        assert!(
            lines[1].starts_with(&format!("held by ESTABLISHED {local} -> {remote} pid=")),
            "{}",
            lines[1]
        );
    }

    #[test]
    fn each_errno_has_its_next_step() {
        let local: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let remote: SocketAddr = "127.0.0.1:3000".parse().unwrap();
        for (call, errno, step) in [
            ("bind", Errno::EADDRNOTAVAIL, "`ip -br addr` lists the addresses of this host"),
            (
                "connect",
                Errno::ECONNREFUSED,
                "nothing listens on 127.0.0.1:3000: `listener 3000 127.0.0.1` does",
            ),
            (
                "connect",
                Errno::ENETUNREACH,
                "no route leads to 127.0.0.1: `ip route` and `ip -br addr` list what is up",
            ),
            (
                "connect",
                Errno::EHOSTUNREACH,
                "nobody answers for 127.0.0.1: `ip route get 127.0.0.1` shows the way there",
            ),
        ] {
            let error = explain(Error::new(call, local, errno), local, Some(remote));
            assert!(error.to_string().ends_with(&format!("hint: {step}")), "{error}");
        }
        let files = explain(Error::new("socket", local, Errno::EMFILE), local, None).to_string();
        assert!(files.contains("hint: this process may open "), "{files}");
    }

    #[test]
    fn a_hint_that_is_there_stays_and_an_unknown_failure_is_left_alone() {
        let local: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let error = Error::new("bind", local, Errno::EADDRNOTAVAIL).hint("first");
        assert!(explain(error, local, None).to_string().ends_with("hint: first"));
        assert!(!explain(Error::new("bind", local, Errno::EPERM), local, None).has_hint());
    }
}
