//! The event loop under stress: a row a property, with its figure and its verdict.
//!
//! `make stress` runs them all; `cargo test --release --test stress -- burst` the rows whose name has that word.

mod clients;
mod descriptors;
mod memory;
mod server;
mod speed;

use std::process::ExitCode;

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
    ("descriptors: fewer than clients", descriptors::descriptors),
];

fn main() -> ExitCode {
    fourtuple::cli::raise_descriptor_limit();
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let mut failed = 0;
    for (name, measure) in ROWS {
        if wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str())) {
            let Verdict { figure, holds } = measure();
            println!("{} {name}: {figure}", if holds { "ok    " } else { "NOT OK" });
            failed += u8::from(!holds);
        }
    }
    ExitCode::from(failed.min(1))
}
