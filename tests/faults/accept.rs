//! An accept(2) that never gives a connection, as under a security module that forbids it, and one slower than clients
//! come: neither hinders the end.

use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal::{SIGCONT, SIGSTOP, SIGTERM};

use super::program::client::{connect, round_trip};
use super::program::kernel::process_state;
use super::program::{End, Listener, until};
use super::strace::{Attached, Fault, When};
use super::strace_works;

const MODELS: [&str; 3] = ["event-loop", "thread", "fork"];
/// A refused accept(2) is repeated 256 times at once, and then 20 times a second: the most calls in this time.
fn most_calls(time: Duration) -> usize {
    256 + 20 * (time.as_secs() as usize + 4)
}

/// A listener with one connection, from then on without another: accept(2) fails each time by `errno`.
fn refusing(model: &str, errno: &'static str, drain: &str, end: impl FnOnce(&mut Listener) -> End) -> End {
    let mut listener = Listener::start(&["--model", model, "--drain", drain]);
    let served = connect(listener.address);
    round_trip(&served, b"hello");
    let fault = Fault { call: "accept4", errno, when: When("1+1") };
    let begin = Instant::now();
    let strace = Attached::to(listener.pid(), Some(fault)).unwrap();
    let _waits = connect(listener.address);
    assert_eq!(listener.line("accept-paused"), format!("accept-paused reason={errno}"));
    // The others are served on.
    round_trip(&served, b"hello");
    let end = end(&mut listener);
    let calls = strace.end().faults("accept4");
    let time = begin.elapsed();
    assert!(calls < most_calls(time), "{model} {errno}: {calls} calls in {time:?}");
    assert_eq!(end.lines("accept-paused").len(), 1, "{model} {errno}: {end:#?}");
    assert_eq!(end.lines("stopped accepted=1").len(), 1, "{model} {errno}: {end:#?}");
    end
}

#[test]
fn an_accept_that_fails_every_time_is_said_once_and_sigterm_ends_the_listener_in_time() {
    if !strace_works() {
        return;
    }
    for (model, errno) in MODELS.iter().flat_map(|model| ["EPERM", "EMFILE"].map(|errno| (model, errno))) {
        refusing(model, errno, "1s", |listener| {
            let begin = Instant::now();
            let end = listener.stop().well();
            assert!(begin.elapsed() >= Duration::from_millis(500), "{model}: no drain");
            end
        });
    }
}

#[test]
fn a_second_sigterm_ends_a_listener_whose_accept_fails_every_time() {
    if !strace_works() {
        return;
    }
    for model in MODELS {
        refusing(model, "EPERM", "1h", |listener| {
            listener.signal(SIGTERM);
            listener.line("draining ");
            listener.stop().with_status(143)
        });
    }
}

/// Whether a signal has stopped it; t where strace is told of that.
fn is_stopped(pid: u32) -> bool {
    matches!(process_state(pid), Some('T' | 't'))
}

/// Connects again and again, faster than anybody accepts, until it is refused.
fn keep_connecting(address: SocketAddr) -> Vec<TcpStream> {
    let again = |_| {
        thread::sleep(Duration::from_millis(1));
        TcpStream::connect(address).ok()
    };
    (0..2000).map_while(again).collect()
}

#[test]
fn a_stop_accepts_those_who_wait_and_nobody_who_comes_after_it() {
    if !strace_works() {
        return;
    }
    for model in MODELS {
        let mut listener = Listener::start(&["--model", model, "--drain", "200ms"]);
        let _slow = Attached::slowing("accept4", listener.pid()).unwrap();
        listener.signal(SIGSTOP);
        until("stopped", || is_stopped(listener.pid()).then_some(()));
        let waiting: Vec<TcpStream> = (0..20).map(|_| connect(listener.address)).collect();
        listener.signal(SIGTERM);
        listener.signal(SIGCONT);
        let later = keep_connecting(listener.address);
        let accepted = listener.end().well().lines("accepted ").len();
        assert!(accepted >= waiting.len(), "{model}: {accepted} accepted");
        // Some come before it has heard the signal, on a busy machine very many. Were those who come after it accepted
        // too, it would be all of them: they are faster.
        let came = waiting.len() + later.len();
        assert!(accepted < came || later.len() < 10, "{model}: {accepted} accepted of {came}");
    }
}
