//! Tests that run in a network of their own: the test starts itself once more, through `fourtuple isolate`.

use std::env;
use std::fs;
use std::process::Command;
use std::thread;

use nix::unistd::geteuid;

use super::{Program, path, skip};

const INSIDE: &str = "IN_A_NETWORK_OF_ITS_OWN";

/// Whether the calling test runs in a network of its own. Where not, it has been run there, and held.
///
/// Where namespaces are refused, says so and skips the test.
#[track_caller]
pub fn isolated() -> bool {
    run_isolated(Command::new(path("fourtuple")))
}

/// The same, as an ordinary user outside, who is root of a user namespace inside; as root where the test lies in a folder
/// that is closed to others.
#[track_caller]
pub fn isolated_as_ordinary_user() -> bool {
    let fourtuple = path("fourtuple");
    if env::var_os(INSIDE).is_none() && geteuid().is_root() && !reaches_this_test() {
        skip("no ordinary user may start this test: as root instead");
        return run_isolated(Command::new(fourtuple));
    }
    run_isolated(as_ordinary_user(fourtuple))
}

/// Whether an ordinary user may start this test: asked by a shell, for setpriv(1) itself may still enter any folder.
pub fn reaches_this_test() -> bool {
    let shell = ["sh", "-c", "test -x \"$0\""];
    let test = env::current_exe().unwrap();
    let asked = Command::new("setpriv").args(DROP).args(shell).arg(test).status();
    asked.is_ok_and(|status| status.success())
}

/// Drops what root has: setpriv(1).
const DROP: [&str; 5] =
    ["--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"];

/// A command without privilege; where there is no other user, root's.
pub fn as_ordinary_user(program: &str) -> Command {
    if !has_ordinary_user(program) {
        if geteuid().is_root() && env::var_os(INSIDE).is_none() {
            skip(format_args!("no ordinary user may start {program}: as root instead"));
        }
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(DROP).arg(program);
    command
}

/// Whether we are root, and `program` runs as another user, whom the network of an ordinary user does not have.
pub fn has_ordinary_user(program: &str) -> bool {
    let works = || Command::new("setpriv").args(DROP).arg(program).arg("--version").output();
    geteuid().is_root() && works().is_ok_and(|output| output.status.success())
}

/// Another user's listener on port 3000 of `ip`; none, and a skip, where nobody here is another user.
#[track_caller]
pub fn listener_of_another_user(ip: &str) -> Option<Program> {
    if !has_ordinary_user(path("listener")) {
        skip("nobody here is another user");
        return None;
    }
    let mut command = as_ordinary_user(path("listener"));
    let listener = Program::spawn(command.args(["3000", ip, "--reuse-address", "off"]));
    listener.line("listening ");
    Some(listener)
}

#[track_caller]
fn run_isolated(mut fourtuple: Command) -> bool {
    if env::var_os(INSIDE).is_some() {
        return true;
    }
    let test = env::current_exe().unwrap();
    // The harness gives each test a thread of the test's name.
    let thread = thread::current();
    let name = thread.name().unwrap();
    let arguments = ["--exact", name, "--nocapture", "--test-threads=1", "--include-ignored"];
    let command = fourtuple.args(["isolate", "--"]).arg(test).args(arguments).env(INSIDE, "1");
    let end = Program::spawn(command).end_within(super::PATIENCE * 9);
    if end.status == Some(125) {
        skip(&end.stderr);
        return false;
    }
    eprint!("{}", end.stderr);
    assert_eq!(end.status, Some(0), "{}{}", end.stdout, end.stderr);
    assert!(end.stdout.contains("1 passed"), "no test is named {name}: {}", end.stdout);
    false
}

/// How many TCP segments this network has received.
pub fn segments_received() -> u64 {
    counter("InSegs")
}

/// How many TCP segments this network has sent.
pub fn segments_sent() -> u64 {
    counter("OutSegs")
}

/// What /proc/net/snmp counts under this name for TCP.
fn counter(name: &str) -> u64 {
    let snmp = fs::read_to_string("/proc/self/net/snmp").unwrap();
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let column = names.split(' ').position(|column| column == name).unwrap();
    values.split(' ').nth(column).unwrap().parse().unwrap()
}
