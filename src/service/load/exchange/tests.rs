use std::time::Duration;

use super::super::pattern::Pattern;
use super::super::{Rate, any_plan};
use super::*;
use crate::service::recorder::{ID, Recorder, account};

/// One connection whose measured time has begun, and what was asked for then.
fn begun(plan: LoadPlan) -> (Exchange, Recorder, Vec<String>) {
    let (course, mut io) = (Arc::<Course>::default(), Recorder::default());
    let mut exchange = Exchange::new(plan, Arc::clone(&course));
    exchange.start(&mut io).unwrap();
    exchange.opened(&mut io, ID, account(0).tuple);
    assert_eq!((io.take().len(), course.ready()), (2, 1), "an open, and to be woken");
    exchange.woken(&mut io);
    assert_eq!(io.take(), ["wake after 200µs"], "nobody begins alone");
    course.begin();
    exchange.woken(&mut io);
    let calls = io.take();
    (exchange, io, calls)
}

fn spin(time: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < time {}
}

fn writes(calls: &[String]) -> usize {
    calls.iter().filter(|call| call.starts_with("send ")).count()
}

/// So many bytes of the answer from `offset` on.
fn answer(offset: u64, bytes: usize) -> Vec<u8> {
    Pattern::with_pieces_of(bytes).from(offset)[..bytes].to_vec()
}

#[test]
fn each_answer_brings_the_next_request() {
    let (mut exchange, mut io, calls) = begun(LoadPlan { size: 1, depth: 2, ..any_plan() });
    assert_eq!(writes(&calls), 1, "both at once: {calls:?}");
    exchange.received(&mut io, ID, &answer(0, 1));
    exchange.received(&mut io, ID, &answer(1, 1));
    assert_eq!(writes(&io.take()), 2);
    assert_eq!(exchange.tally().requests, 2);
}

#[test]
fn the_warm_up_ends_with_its_answer_which_is_not_counted() {
    let (mut exchange, mut io, course) = warming(Duration::from_secs(3600));
    exchange.woken(&mut io);
    assert_eq!(course.ready(), 0);
    exchange.received(&mut io, ID, &answer(0, 1));
    assert_eq!((course.ready(), io.take()), (1, vec!["wake after 200µs".to_owned()]));
    course.begin();
    exchange.woken(&mut io);
    assert_eq!(writes(&io.take()), 1);
    assert_eq!(exchange.tally().requests, 0);
}

#[test]
fn the_warm_up_ends_without_an_answer_which_is_then_waited_for() {
    let (mut exchange, mut io, course) = warming(Duration::from_millis(1));
    spin(Duration::from_millis(2));
    exchange.woken(&mut io);
    assert_eq!(course.ready(), 1);
    course.begin();
    exchange.woken(&mut io);
    assert_eq!(writes(&io.take()), 0, "the first request is under way");
    exchange.received(&mut io, ID, &answer(0, 1));
    assert_eq!(writes(&io.take()), 1);
    let tally = exchange.tally();
    assert_eq!(tally.requests, 1);
    assert!(tally.latency.max() >= 2_000_000, "it waited since it was sent");
}

/// One connection whose first request is under way before the measured time.
fn warming(warm_up: Duration) -> (Exchange, Recorder, Arc<Course>) {
    let (course, mut io) = (Arc::<Course>::default(), Recorder::default());
    let mut exchange = Exchange::new(LoadPlan { size: 1, warm_up, ..any_plan() }, Arc::clone(&course));
    exchange.start(&mut io).unwrap();
    exchange.opened(&mut io, ID, account(0).tuple);
    assert_eq!((writes(&io.take()), course.ready()), (1, 0));
    (exchange, io, course)
}

#[test]
fn after_its_time_it_keeps_its_connections_until_the_clocks_have_been_read() {
    let (course, mut io) = (Arc::<Course>::default(), Recorder::default());
    let plan = LoadPlan { size: 1, duration: Duration::from_millis(1), ..any_plan() };
    let mut exchange = Exchange::new(plan, Arc::clone(&course));
    exchange.start(&mut io).unwrap();
    exchange.opened(&mut io, ID, account(0).tuple);
    course.begin();
    exchange.woken(&mut io);
    spin(Duration::from_millis(2));
    exchange.woken(&mut io);
    io.take();
    exchange.received(&mut io, ID, &answer(0, 1));
    assert!(io.take().is_empty(), "no request more, and no end yet");
    course.end();
    spin(Duration::from_millis(6));
    exchange.woken(&mut io);
    assert_eq!(io.take(), ["abort", "stop"]);
    let tally = exchange.tally();
    assert_eq!((tally.requests, tally.served), (0, Some(0)));
}

#[test]
fn a_connection_that_waited_all_the_time_was_not_served() {
    let (mut exchange, mut io, _) = begun(LoadPlan { size: 2, ..any_plan() });
    exchange.received(&mut io, ID, &answer(0, 1));
    exchange.signal(&mut io, Signal::Stop);
    assert_eq!(exchange.tally().served, Some(0));
}

#[test]
fn at_a_rate_an_answer_brings_nothing() {
    let rate = Some(Rate { per_second: 0.001, thread: 0, threads: 1 });
    let (mut exchange, mut io, calls) = begun(LoadPlan { size: 1, rate, ..any_plan() });
    assert_eq!(writes(&calls), 0, "{calls:?}");
    exchange.woken(&mut io);
    assert_eq!(writes(&io.take()), 1, "due at the beginning");
    exchange.received(&mut io, ID, &answer(0, 1));
    exchange.woken(&mut io);
    let calls = io.take();
    assert_eq!(writes(&calls), 0, "due in 1,000 s");
    assert!(calls[0].ends_with("ms"), "answers may be overdue before: {calls:?}");
}

#[test]
fn what_the_kernel_does_not_take_is_not_sent_over_and_over() {
    let rate = Some(Rate { per_second: 1000.0, thread: 0, threads: 1 });
    let (mut exchange, mut io, _) = begun(LoadPlan { size: 1, rate, ..any_plan() });
    io.unsent = 1;
    exchange.woken(&mut io);
    spin(Duration::from_millis(3));
    exchange.woken(&mut io);
    assert_eq!(writes(&io.take()), 1);
    io.unsent = 0;
    exchange.drained(&mut io, ID);
    assert_eq!(writes(&io.take()), 1, "all that came to be due meanwhile, together");
}

#[test]
fn what_is_sent_late_counts_from_when_it_was_due() {
    let rate = Some(Rate { per_second: 100.0, thread: 0, threads: 1 });
    let (mut exchange, mut io, _) = begun(LoadPlan { size: 1, rate, ..any_plan() });
    // The second is due by then, and the first has been for 10 ms.
    spin(Duration::from_millis(10));
    exchange.woken(&mut io);
    exchange.received(&mut io, ID, &answer(0, 2));
    let tally = exchange.tally();
    assert_eq!(tally.requests, 2);
    assert!(tally.latency.max() >= 10_000_000, "{} ns", tally.latency.max());
}

#[test]
fn a_wrong_byte_ends_the_connection_and_without_any_left_the_run() {
    let (mut exchange, mut io, _) = begun(LoadPlan { size: 4, ..any_plan() });
    exchange.received(&mut io, ID, &[0; 4]);
    assert_eq!(io.take(), ["abort", "stop"]);
    let tally = exchange.tally();
    assert_eq!((tally.failures.wrong, tally.failures.sum(), tally.requests), (1, 1, 0));
}

#[test]
fn more_than_was_sent_is_wrong_where_no_byte_is_compared_too() {
    let (mut exchange, mut io, _) = begun(LoadPlan { size: 1, ..any_plan() });
    exchange.received(&mut io, ID, &answer(0, 1));
    io.take();
    exchange.received(&mut io, ID, &answer(1, 2));
    assert_eq!(io.take(), ["abort", "stop"]);
    assert_eq!(exchange.tally().failures.wrong, 1);
}

#[test]
fn a_connection_that_is_lost_is_not_the_last_while_others_are_opened() {
    let mut io = Recorder::default();
    let mut exchange = Exchange::new(LoadPlan { connections: 2, ..any_plan() }, Arc::default());
    exchange.start(&mut io).unwrap();
    exchange.opened(&mut io, ID, account(0).tuple);
    io.take();
    exchange.closed(&mut io, ID, account(0));
    assert!(io.take().is_empty());
}

#[test]
fn no_two_connections_send_the_same() {
    let first_bytes = |number| {
        let mut io = Recorder::default();
        let requests = Requests::of(&any_plan());
        LoadClient::new(number, account(0).tuple).ask(&mut io, ID, &requests, 1, Instant::now());
        io.take()
    };
    assert_ne!(first_bytes(0), first_bytes(1));
}

#[test]
fn a_stop_ends_the_run_early() {
    let (mut exchange, mut io, _) = begun(any_plan());
    exchange.signal(&mut io, Signal::Stop);
    assert_eq!(io.take(), ["abort", "stop"]);
    assert_eq!(exchange.tally().failures.sum(), 0);
}
