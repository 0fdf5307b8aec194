//! Tests that a tape of random numbers decides, so that a failure shrinks to the shortest tape that shows it.

use std::cell::Cell;

use proptest::collection::vec;
use proptest::num::u32::ANY;
use proptest::test_runner::{Config, TestRunner};

/// Runs a thousand tapes of half of `length` numbers at least, and fails unless `run` made a million steps of them in all.
pub(crate) fn make_a_million_steps(length: usize, run: impl Fn(Vec<u32>) -> u64) {
    let steps = Cell::new(0);
    let config = Config {
        cases: 1_000,
        failure_persistence: None,
        max_shrink_iters: u32::MAX,
        max_shrink_time: 10_000,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&vec(ANY, length / 2..length), |tape| {
        steps.set(steps.get() + run(tape));
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    println!("{} steps", steps.get());
    assert!(steps.get() >= 1_000_000, "{} steps", steps.get());
}
