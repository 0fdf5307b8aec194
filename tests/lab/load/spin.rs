//! `listener --spin`: it asks again without sleeping for as long as it was told, and then sleeps.

use std::time::{Duration, Instant};

use fourtuple::kernel::cpu::CpuTime;

use crate::program::client::{connect, round_trip};
use crate::program::kernel::process_state;
use crate::program::usage::refused;
use crate::program::{Listener, until};

/// How much of the processor's time one echo takes, until the listener sleeps.
fn cost_of_an_echo(options: &[&str]) -> (Duration, Duration) {
    let listener = Listener::start(&[&["--quiet"], options].concat());
    let client = connect(listener.address);
    round_trip(&client, b"first");
    until("sleep", || sleeps(listener.pid()).then_some(()));
    let (begin, before) = (Instant::now(), CpuTime::of(listener.pid()).unwrap());
    round_trip(&client, b"second");
    until("sleep", || sleeps(listener.pid()).then_some(()));
    ((CpuTime::of(listener.pid()).unwrap() - before).total, begin.elapsed())
}

/// Whether a process does not want a processor.
fn sleeps(pid: u32) -> bool {
    process_state(pid) == Some('S')
}

#[test]
fn only_the_event_loop_spins() {
    let arguments = ["0", "--spin", "1ms", "--model", "thread"];
    refused("listener", &arguments, "--spin goes with --model event-loop");
}

#[test]
fn it_spins_for_so_long_after_an_event_and_by_default_not_at_all() {
    let spin = Duration::from_millis(300);
    let (spinning, took) = cost_of_an_echo(&["--spin", "300ms"]);
    assert!(took >= spin, "asleep after {took:?}");
    // However few others leave of a processor.
    let (asleep, _) = cost_of_an_echo(&[]);
    assert!(spinning > asleep * 4, "{spinning:?} of {took:?}, and {asleep:?} without --spin");
}
