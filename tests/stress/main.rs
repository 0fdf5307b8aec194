//! The event loop under stress: a row a property, with its figure and its verdict.
//!
//! `make stress` runs them all; `cargo test --release --test stress -- burst` the rows whose name has that word.

#![expect(
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a measurement fails by panicking"
)]

mod clients;
mod crowd;
mod deadlines;
mod descriptors;
mod fairness;
mod memory;
mod rooms;
mod server;
mod soak;
mod speed;
mod urgent;

use std::process::{Command, ExitCode};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What a row measured, in words, and whether it is within its bounds.
pub struct Verdict {
    figure: String,
    holds: bool,
}

impl Verdict {
    fn new(holds: bool, figure: impl Into<String>) -> Self {
        Self { figure: figure.into(), holds }
    }
}

type Row = (&'static str, fn() -> Verdict);

const ROWS: &[Row] = &[
    ("slow readers: memory and an honest client", memory::slow_readers),
    ("idle connection: bytes of user memory", memory::idle_connection),
    ("system calls per echo", speed::calls_per_echo),
    ("system calls per connection", speed::calls_per_connection),
    ("burst of connects", speed::burst),
    ("large messages: writes and delay", speed::large_messages),
    ("urgent data in its place", urgent::in_its_place),
    ("slowloris: closed at the deadline", deadlines::slowloris),
    ("half-open peers: closed in time", deadlines::half_open_peers),
    ("accept fairness: p99 beside 2,000 connects a second", fairness::connects),
    ("workers: share, add up, flood apart, drain", fairness::workers),
    ("descriptors: fewer than clients", descriptors::descriptors),
    ("relay: 5,000 rooms busy at once", rooms::busy),
    ("relay: one client of 10,000 stopped", rooms::one_stopped),
    ("relay: bytes of user memory per idle paired client", rooms::idle_client),
    ("relay: 100,000 clients come and leave in every way", rooms::comings_and_goings),
    ("relay: lines without end", rooms::endless_lines),
    ("relay: empty lines without end", rooms::empty_lines),
];

/// Run when it is named, by `make soak`.
const SOAK: Row = ("soak: 10 GB over 50,000 chaotic connections", soak::chaos);

/// Set where one row is measured, inside a network of its own.
const INSIDE: &str = "STRESS_INSIDE";

fn main() -> ExitCode {
    if rooms::is_elsewhere() {
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let inside = std::env::var_os(INSIDE).is_some();
    let mut failed = 0;
    for (name, measure) in ROWS.iter().chain([&SOAK]) {
        let all = wanted.is_empty() && *name != SOAK.0;
        if all || wanted.iter().any(|word| name.contains(word.as_str())) {
            let holds = if inside { print_row(name, *measure) } else { isolate(name) };
            failed += u8::from(!holds);
        }
    }
    ExitCode::from(failed.min(1))
}

fn print_row(name: &str, measure: fn() -> Verdict) -> bool {
    let (_, descriptors) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, descriptors, descriptors).unwrap();
    let Verdict { figure, holds } = measure();
    println!("{} {name}: {figure}", if holds { "ok    " } else { "NOT OK" });
    holds
}

/// Runs this program for one row in a network of its own: what one leaves in TIME-WAIT is not the next one's load.
fn isolate(name: &str) -> bool {
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_fourtuple"));
    // 50,000 connections, one after another, need more ports than there are.
    command.args(["isolate", "--sysctl", "net.ipv4.tcp_tw_reuse=1", "--"]).arg(program).arg(name);
    command.env(INSIDE, "1");
    command.status().unwrap().success()
}
