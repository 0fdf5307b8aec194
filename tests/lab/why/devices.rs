//! Interfaces as parts of addresses: sockets with SO_BINDTODEVICE, and link-local addresses.

use std::io;
use std::net::{SocketAddr, SocketAddrV6};
use std::process::Command;

use fourtuple::lab::why::PlannedCall;
use fourtuple::net::{Device, DeviceName, SocketOptions};
use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use socket2::Socket;

use super::advice::Answer;
use super::agrees::sysctl;
use super::scene::{self, Options};
use crate::program::namespace::isolated;
use crate::program::{Program, skip, until};

/// Each interface and its addresses. Two pairs have one link-local address at both ends.
pub const INTERFACES: [(&str, &[&str]); 4] = [
    ("v0", &["10.0.0.1/24", "fe80::5/64", "fd00:1::1/64"]),
    ("v1", &["10.0.1.1/24", "fe80::5/64"]),
    ("w0", &["10.0.2.1/24", "fe80::6/64", "fd00:2::1/64"]),
    ("w1", &["fe80::6/64"]),
];

/// Whether ip(8) does as these words say.
pub fn ip(words: &str) -> bool {
    Command::new("ip").args(words.split(' ')).status().is_ok_and(|status| status.success())
}

/// Whether the calling test runs in a network of its own that has these interfaces.
#[track_caller]
pub fn has_interfaces() -> bool {
    if !isolated() {
        return false;
    }
    // No link-local address but those above.
    sysctl("ipv6/conf/default/addr_gen_mode", "1");
    let made = ["v0 type veth peer name v1", "w0 type veth peer name w1"]
        .iter()
        .all(|pair| ip(&format!("link add {pair}")));
    if !made {
        skip("no pair of interfaces can be made");
        return false;
    }
    for (interface, addresses) in INTERFACES {
        assert!(ip(&format!("link set {interface} up")));
        for address in addresses {
            let nodad = if address.contains(':') { " nodad" } else { "" };
            assert!(ip(&format!("addr add {address} dev {interface}{nodad}")), "{address}");
        }
    }
    until("an address to be usable", || {
        let local = zoned("fe80::6", "w1", 0);
        scene::open(local, Options::NONE).bind(&local.into()).ok()
    });
    true
}

pub fn zoned(ip: &str, zone: &str, port: u16) -> SocketAddr {
    SocketAddrV6::new(ip.parse().unwrap(), port, 0, if_nametoindex(zone).unwrap()).into()
}

/// The interface of this name, which is in no VRF.
pub fn device(name: &str) -> Device {
    let index = if_nametoindex(name).unwrap();
    Device { index, vrf: 0, domain: 0, name: DeviceName::new(name.as_bytes()).unwrap() }
}

/// A socket as `options` has it.
pub fn open(address: SocketAddr, options: &SocketOptions) -> Socket {
    let SocketOptions { reuse_address, reuse_port, v6_only, device, .. } = *options;
    let socket = scene::open(
        address,
        Options { v6_only: v6_only.unwrap_or(false), ..Options::of(reuse_address, reuse_port) },
    );
    if let Some(device) = device {
        socket.bind_device(Some(device.name.as_bytes())).unwrap();
    }
    socket
}

/// A listener on `local` that is bound to this interface.
fn listener(local: SocketAddr, on: Option<&str>) -> Socket {
    let socket = open(local, &SocketOptions { device: on.map(device), ..SocketOptions::default() });
    socket.bind(&local.into()).unwrap();
    socket.listen(8).unwrap();
    socket
}

fn errno(error: &io::Error) -> Option<Errno> {
    error.raw_os_error().map(Errno::from_raw)
}

/// The errno that a verdict names, if it is none that all goes well.
fn said(answer: &Answer) -> Option<String> {
    answer.of("verdict").next().unwrap()["errno"].as_str().map(str::to_owned)
}

#[test]
fn a_listener_that_is_bound_to_an_interface_is_reached_by_that_one_alone() {
    if !has_interfaces() {
        return;
    }
    let _listening = listener("0.0.0.0:3000".parse().unwrap(), Some("v0"));
    for (remote, reached) in [("127.0.0.1:3000", false), ("10.0.0.1:3000", true), ("10.0.1.1:3000", false)] {
        let answer = Answer::to(&["connect", remote]);
        let address: SocketAddr = remote.parse().unwrap();
        let made = open(address, &SocketOptions::default()).connect(&address.into());
        assert_eq!((answer.works(), made.is_ok()), (reached, reached), "{remote}");
    }
    let answer = Answer::to(&["connect", "127.0.0.1:3000"]);
    let beside = answer.of("beside").next().unwrap();
    assert_eq!((&beside["local"], &beside["device"]), (&"0.0.0.0:3000".into(), &"v0".into()));
    let step = answer.step("remote").unwrap();
    assert_eq!((&step["remote"], &step["tried_out"]), (&"10.0.0.1:3000".into(), &true.into()));
    let table = Program::run("fourtuple", &["sockets", "--port", "3000"]).well().stdout;
    assert!(table.contains(" 0.0.0.0%v0:3000 "), "{table}");
    let shown =
        |local| Program::run("fourtuple", &["sockets", "--no-header", "--local", local]).well().stdout;
    assert!(shown("0.0.0.0%v0:3000").starts_with("LISTEN") && shown("0.0.0.0%v1:3000").is_empty());
}

#[test]
fn one_port_is_had_on_each_interface() {
    if !has_interfaces() {
        return;
    }
    let _listening = listener("0.0.0.0:3000".parse().unwrap(), Some("v0"));
    for (arguments, works) in [
        (&["3000"][..], false),
        (&["3000", "--device", "v0"], false),
        (&["3000", "--device", "v1"], true),
        (&["0.0.0.0%v0:3000"], false),
        (&["0.0.0.0%v1:3000"], true),
        (&["10.0.0.1%v1:3000"], true),
        (&["10.0.0.1:3000"], false),
    ] {
        assert_eq!(Answer::to(arguments).works(), works, "{arguments:?}");
    }
    let text = Program::run("fourtuple", &["why", "0.0.0.0%v0:3000"]).with_status(1).stdout;
    assert!(text.starts_with("no: listen 0.0.0.0:3000 on v0 fails at bind with EADDRINUSE"), "{text}");
    assert!(text.contains("LISTEN 0.0.0.0%v0:3000 pid="), "{text}");
    assert!(text.contains(". another port: 3001 [tried out]"), "{text}");
}

#[test]
fn one_link_local_address_on_two_interfaces_is_two_addresses() {
    if !has_interfaces() {
        return;
    }
    let [first, second] = ["v0", "v1"].map(|zone| zoned("fe80::5", zone, 3000));
    let _listening = listener(first, None);
    for (call, zone) in [("listen", "v0"), ("listen", "v1"), ("connect", "v0"), ("connect", "v1")] {
        let address = if zone == "v0" { first } else { second };
        let socket = open(address, &SocketOptions::default());
        let made = match call {
            "listen" => socket.bind(&address.into()).and_then(|()| socket.listen(1)),
            _ => socket.connect(&address.into()),
        };
        drop(socket);
        let answer = Answer::to(&[call, &format!("[fe80::5%{zone}]:3000")]);
        let made = made.err().and_then(|error| errno(&error)).map(|errno| format!("{errno:?}"));
        assert_eq!(said(&answer), made, "{call} {zone}");
    }
    let text = Program::run("fourtuple", &["why", "[fe80::5%v0]:3000"]).with_status(1).stdout;
    assert!(text.contains("LISTEN [fe80::5%v0]:3000 pid="), "{text}");
}

#[test]
fn the_interface_that_is_to_be_named_is_named_as_it_is_taken() {
    if !has_interfaces() {
        return;
    }
    let answer = Answer::to(&["[fe80::5]:3000"]);
    assert_eq!(said(&answer).as_deref(), Some("EINVAL"));
    let zones: Vec<&str> = answer
        .of("advice")
        .filter(|advice| advice["step"] == "zone" && advice["tried_out"] == true)
        .map(|advice| advice["local"].as_str().unwrap())
        .collect();
    // The kernel makes the second one of a pair first.
    assert_eq!(zones, ["[fe80::5%v1]:3000", "[fe80::5%v0]:3000"]);
    assert!(zones.iter().all(|zone| Answer::to(&[zone]).works()));
    let first = answer.of("advice").next().unwrap()["words"].as_str().unwrap();
    assert_eq!(first, "name the interface: [fe80::5%v1]:3000");
    let answer = Answer::to(&["connect", "[fe80::9]:3000"]);
    let step = answer.step("zone").unwrap();
    assert_eq!((&step["remote"], &step["tried_out"]), (&"[fe80::9%v1]:3000".into(), &false.into()));
    assert!(Answer::to(&["connect", "[fe80::9%v1]:3000"]).works());
}

#[test]
fn an_address_of_another_interface_is_told_with_that_one() {
    if !has_interfaces() {
        return;
    }
    let reason = |arguments: &[&str]| {
        let answer = Answer::to(arguments);
        let verdict = answer.of("verdict").next().unwrap();
        format!("{} {}", verdict["reason"].as_str().unwrap(), verdict["because"].as_str().unwrap())
    };
    assert_eq!(reason(&["[fe80::5%w0]:3000"]), "other-device not an address of w0: v1 has it");
    assert_eq!(reason(&["[::1]:3000", "--device", "v0"]), "other-device not an address of v0: lo has it");
    assert!(reason(&["[fe80::5%99]:3000"]).starts_with("no-device "));
    let both = ["connect", "[fe80::5%v0]:0", "[fe80::5%v1]:3000"];
    assert!(reason(&both).starts_with("other-zone the socket is bound to v0"));
    let step = Answer::to(&["[fe80::5%w0]:3000"]).step("zone").cloned().unwrap();
    assert_eq!((&step["local"], &step["tried_out"]), (&"[fe80::5%v1]:3000".into(), &true.into()));
}

#[test]
fn an_interface_that_there_is_not_and_two_of_them_are_wrong_usage() {
    for (arguments, words) in [
        (&["why", "3000", "--device", "no-such"][..], "this network has no interface no-such"),
        (&["why", "0.0.0.0%no-such:3000"], "this network has no interface no-such"),
        (&["why", "::1:70000"], "not a port, a number from 0 to 65535"),
        (&["why", "127.0.0.1.3000"], "127.0.0.1:3000 is written so here"),
        (&["sockets", "--port", "3000-3005"], "a range of ports is not taken"),
        (&["packets", "--port", "x"], "not a port, a number from 0 to 65535"),
        (
            &["ports", "plan", "--from", "127.0.0.1", "--to", "127.0.0.1:0"],
            "not a port, a number from 1 to 65535",
        ),
        (
            &["ports", "plan", "--from", "127.0.0.1", "--to", "127.0.0.1:9-5"],
            "the lower port comes first: 5-9",
        ),
    ] {
        crate::program::usage::refused("fourtuple", arguments, words);
    }
}

/// The call really made: how it failed, if it did; a connect(2) that is not decided within a moment is none that failed.
pub fn made(question: &PlannedCall, patience: std::time::Duration) -> Result<bool, (&'static str, Errno)> {
    use fourtuple::lab::why::Goal;

    let address = question.goal.local().unwrap_or(match question.goal {
        Goal::Bind(local) | Goal::Listen(local) => local,
        Goal::Connect { remote, .. } => remote,
    });
    let failed = |call| move |error: io::Error| (call, errno(&error).unwrap());
    let socket = open(address, &question.options);
    if let Some(local) = question.goal.local() {
        socket.bind(&local.into()).map_err(failed("bind"))?;
    }
    match question.goal {
        Goal::Bind(_) => Ok(true),
        Goal::Listen(_) => socket.listen(8).map(|()| true).map_err(failed("listen")),
        Goal::Connect { remote, .. } => match socket.connect_timeout(&remote.into(), patience) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(false),
            Err(error) => Err(failed("connect")(error)),
        },
    }
}
