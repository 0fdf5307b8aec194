//! One source port, two connections: what the four-tuple allows, and which call refuses what it does not.

use std::net::SocketAddr;

use crate::program::client::{connect, round_trip};
use crate::program::kernel::wait_for_state;
use crate::program::{Listener, Program, connector, field};
use fourtuple::net::TcpState;

const FIRST: &str = "127.0.0.1";
const SECOND: &str = "127.0.0.2";

fn at(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), port)
}

/// The options of both sockets under test, as in the table of what Linux does.
#[derive(Clone, Copy, Debug)]
enum Reuse {
    Neither,
    Address,
    Port,
    Both,
}

use Reuse::{Address, Both, Neither, Port};

impl Reuse {
    const ALL: [Self; 4] = [Neither, Address, Port, Both];

    fn options(self) -> [&'static str; 4] {
        let (address, port) = match self {
            Neither => ("off", "off"),
            Address => ("on", "off"),
            Port => ("off", "on"),
            Both => ("on", "on"),
        };
        ["--reuse-address", address, "--reuse-port", port]
    }
}

/// What came of a connector: the call that failed and its errno, or nothing that did.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Established,
    Failed { call: String, errno: String },
}

use Outcome::Established;

fn failed(call: &str, errno: &str) -> Outcome {
    Outcome::Failed { call: call.to_owned(), errno: errno.to_owned() }
}

/// A connector that is ESTABLISHED, in its own words and in the kernel's.
#[track_caller]
fn established(local: SocketAddr, remote: SocketAddr, reuse: Reuse) -> (Program, SocketAddr) {
    let program = connector(local, remote, &[&["hello", "--interval", "1h"], &reuse.options()[..]].concat());
    let line = program.line("established ");
    let local = field(&line, "local").parse().unwrap();
    assert_eq!(field(&line, "remote"), remote.to_string());
    wait_for_state(local, remote, TcpState::Established);
    assert!(program.line("answer sequence=1 ").ends_with(" text=\"hello\""));
    (program, local)
}

#[track_caller]
fn outcome(local: SocketAddr, remote: SocketAddr, reuse: Reuse) -> Outcome {
    let options = [&["hello", "--count", "1"], &reuse.options()[..]].concat();
    let end = connector(local, remote, &options).end();
    if end.status == Some(0) {
        assert_eq!(end.lines("established "), [format!("established local={local} remote={remote}")]);
        return Established;
    }
    let end = end.with_status(1);
    let words: Vec<&str> = end.stderr.split([' ', '\n']).collect();
    assert_eq!(words[0], "connector:", "{end:#?}");
    let errno = words.iter().find(|word| word.starts_with('E')).unwrap_or_else(|| panic!("{end:#?}"));
    let address = if words[1] == "bind" { local.to_string() } else { format!("{local} -> {remote}") };
    assert!(end.stderr.contains(&format!("{} {address}: ", words[1])), "{end:#?}");
    failed(words[1], errno)
}

/// Connects red, then blue from red's address; what came of blue.
#[track_caller]
fn blue_beside_red(red_remote: SocketAddr, blue_remote: SocketAddr, reuse: Reuse) -> Outcome {
    let (_red, local) = established(at(FIRST, 0), red_remote, reuse);
    outcome(local, blue_remote, reuse)
}

fn needs_an_option(reuse: Reuse) -> Outcome {
    match reuse {
        Neither => failed("bind", "EADDRINUSE"),
        _ => Established,
    }
}

/// Two listeners on one port and two addresses.
fn two_addresses() -> (Listener, Listener) {
    let one = Listener::on(FIRST, &[]);
    let two = Listener::at(SECOND, one.address.port(), &[]);
    (one, two)
}

#[test]
fn experiment_1_two_listener_addresses() {
    let (one, two) = two_addresses();
    let (_red, local) = established(at(FIRST, 0), one.address, Both);
    let (_blue, same) = established(local, two.address, Both);
    assert_eq!(local, same);
    one.line(&format!("accepted local={} remote={local}", one.address));
    two.line(&format!("accepted local={} remote={local}", two.address));
    for reuse in Reuse::ALL {
        assert_eq!(blue_beside_red(one.address, two.address, reuse), needs_an_option(reuse), "{reuse:?}");
    }
}

#[test]
fn experiment_2_one_wildcard_listener_at_two_addresses() {
    let listener = Listener::on("0.0.0.0", &[]);
    let port = listener.address.port();
    let (_red, local) = established(at(FIRST, 0), at(FIRST, port), Both);
    let (_blue, same) = established(local, at(SECOND, port), Both);
    assert_eq!(local, same);
    for ip in [FIRST, SECOND] {
        listener.line(&format!("accepted local={} remote={local}", at(ip, port)));
    }
    for reuse in Reuse::ALL {
        let outcome = blue_beside_red(at(FIRST, port), at(SECOND, port), reuse);
        assert_eq!(outcome, needs_an_option(reuse), "{reuse:?}");
    }
}

#[test]
fn experiment_2_a_specific_address_beats_the_wildcard() {
    let wildcard = Listener::on("0.0.0.0", &[]);
    let port = wildcard.address.port();
    let specific = Listener::at(SECOND, port, &[]);
    for _ in 0..20 {
        round_trip(&connect(at(SECOND, port)), b"specific");
        round_trip(&connect(at(FIRST, port)), b"wildcard");
    }
    specific.nth_line(20, &format!("accepted local={SECOND}:{port} "));
    wildcard.nth_line(20, &format!("accepted local={FIRST}:{port} "));
    assert!(!wildcard.said().contains(&format!("local={SECOND}")));
}

#[test]
fn experiment_3_two_listener_ports() {
    let (one, two) = (Listener::on(FIRST, &[]), Listener::on(FIRST, &[]));
    let (_red, local) = established(at(FIRST, 0), one.address, Both);
    let (_blue, same) = established(local, two.address, Both);
    assert_eq!(local, same);
    for reuse in Reuse::ALL {
        assert_eq!(blue_beside_red(one.address, two.address, reuse), needs_an_option(reuse), "{reuse:?}");
    }
}

#[test]
fn experiment_4_two_source_addresses_need_no_option() {
    let listener = Listener::on(FIRST, &[]);
    for reuse in Reuse::ALL {
        let (_red, local) = established(at(FIRST, 0), listener.address, reuse);
        let (_blue, other) = established(at(SECOND, local.port()), listener.address, reuse);
        assert_eq!((other.ip(), other.port()), (SECOND.parse().unwrap(), local.port()));
    }
}

#[test]
fn the_same_four_tuple_twice_is_refused_by_bind_or_by_connect() {
    let listener = Listener::on(FIRST, &[]);
    for reuse in Reuse::ALL {
        let expected = match reuse {
            Neither => failed("bind", "EADDRINUSE"),
            _ => failed("connect", "EADDRNOTAVAIL"),
        };
        assert_eq!(blue_beside_red(listener.address, listener.address, reuse), expected, "{reuse:?}");
    }
}

#[test]
fn a_listening_port_is_a_source_port_only_under_so_reuseport() {
    let remote = Listener::on(FIRST, &[]);
    for reuse in Reuse::ALL {
        let listening = Listener::on(FIRST, &reuse.options());
        let expected = match reuse {
            Neither | Address => failed("bind", "EADDRINUSE"),
            Port | Both => Established,
        };
        assert_eq!(outcome(listening.address, remote.address, reuse), expected, "{reuse:?}");
    }
}

#[test]
fn the_option_must_be_set_on_the_older_socket_too() {
    let (one, two) = two_addresses();
    for (older, newer) in [(Neither, Both), (Both, Neither), (Address, Port), (Port, Address)] {
        let (_red, local) = established(at(FIRST, 0), one.address, older);
        let expected = failed("bind", "EADDRINUSE");
        assert_eq!(outcome(local, two.address, newer), expected, "{older:?} then {newer:?}");
    }
    for (older, newer) in [(Both, Address), (Address, Both), (Both, Port), (Port, Both)] {
        let (_red, local) = established(at(FIRST, 0), one.address, older);
        assert_eq!(outcome(local, two.address, newer), Established, "{older:?} then {newer:?}");
    }
}
