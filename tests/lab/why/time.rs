//! How long an answer takes. Figures for `make soak`, in a release build on a machine that has nothing else to do.

use std::env;
use std::io::{Write, stdout};
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use socket2::Socket;

use super::scene::{self, Options, State};
use crate::program::Program;
use crate::program::namespace::isolated;

/// What a process of this test's own is told to hold.
const HOLD: &str = "HOLDS_SOCKETS";
const PROCESSES: u16 = 6;
const SOCKETS: usize = 100_000;
/// The limit on descriptors leaves room for some besides.
const EACH: usize = SOCKETS.div_ceil(PROCESSES as usize);

/// The least of several: what else runs here only makes it longer.
fn least(arguments: &[&str]) -> Duration {
    let once = |_| {
        let begin = Instant::now();
        let end = Program::run("fourtuple", &[&["why"], arguments].concat());
        assert!(matches!(end.status, Some(0 | 1)), "{end:#?}");
        begin.elapsed()
    };
    (0..10).map(once).min().unwrap()
}

#[test]
#[ignore = "a figure, for a quiet machine"]
fn an_answer_takes_less_than_50_ms() {
    if !isolated() {
        return;
    }
    let _scene = scene::set(State::ChildBesideListener, "127.0.0.1:3000".parse().unwrap(), Options::NONE);
    for arguments in
        [&["3000"][..], &["3001"], &["connect", "127.0.0.1:3000"], &["connect", "127.0.0.1:3002"]]
    {
        let time = least(arguments);
        eprintln!("why {arguments:?}: {time:?}");
        assert!(time < Duration::from_millis(50), "{arguments:?}: {time:?}");
    }
}

/// Not a test: the process that holds sockets for the one below.
#[test]
#[ignore = "holds sockets for another test"]
fn hold_sockets() {
    let Ok(port) = env::var(HOLD) else { return };
    crate::program::raise_descriptor_limit();
    let port: u16 = port.parse().unwrap();
    // Half of them connections, with a listener to each process; half only bound.
    let local: SocketAddr = ([127, 0, 0, 1], port).into();
    let listening = scene::open(local, Options::of(true, true));
    listening.bind(&local.into()).unwrap();
    listening.listen(4096).unwrap();
    let mut held: Vec<Socket> = Vec::new();
    while held.len() + 2 < EACH {
        let client = scene::open(local, Options::NONE);
        client.connect(&local.into()).unwrap();
        held.extend([client, listening.accept().unwrap().0]);
        if held.len() + 2 < EACH {
            let bound = scene::open(local, Options::of(true, true));
            bound.bind(&SocketAddr::from(([127, 0, 0, 2], port)).into()).unwrap();
            held.push(bound);
        }
    }
    println!("holding {}", held.len() + 1);
    stdout().flush().unwrap();
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
#[ignore = "a figure, for a quiet machine"]
fn among_100_000_sockets_of_6_processes_an_answer_takes_less_than_a_second() {
    if !isolated() {
        return;
    }
    let holders: Vec<Program> = (0..PROCESSES)
        .map(|number| {
            let mut command = Command::new(env::current_exe().unwrap());
            command.args(["--exact", "why::time::hold_sockets", "--include-ignored", "--nocapture"]);
            Program::spawn(command.env(HOLD, (3000 + number).to_string()))
        })
        .collect();
    let held: usize =
        holders.iter().map(|holder| holder.line_with(&["holding "])).map(|line| count(&line)).sum();
    eprintln!("{held} sockets");
    assert!(held >= SOCKETS - 20, "{held}");
    for arguments in [&["3000"][..], &["4000"], &["127.0.0.1:3005"], &["connect", "127.0.0.1:3003"]] {
        let time = least(arguments);
        eprintln!("why {arguments:?}: {time:?}");
        assert!(time < Duration::from_secs(1), "{arguments:?}: {time:?}");
    }
}

fn count(line: &str) -> usize {
    line.rsplit(' ').next().unwrap().parse().unwrap()
}
