//! The states of both ends in an experiment's bundle.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use fourtuple::bundle::page::Bundle;
use fourtuple::bundle::timeline::{Basis, ConnectionHistory};
use fourtuple::net::TcpState;

use super::lab::{Lab, can_isolate, performed};

const RUNS: usize = 50;

/// The client closes first, and the server not before the client is in FIN-WAIT-2.
fn closed_in_order() -> String {
    let steps = "client: send \\\"hello\\\"; server: recv; pause
        client: close; wait FIN-WAIT-2
        server: recv; close
        client: wait TIME-WAIT";
    performed("start_perform both --until 'server: recv'", steps)
}

const EXPECTED: &str = "\
expect_established $FIRST:3001 $FIRST:3000
expect_established $FIRST:3000 $FIRST:3001
go_on both
expect_state TIME-WAIT $FIRST:3001 $FIRST:3000";

/// Runs `body` while twice as many threads as there are processors do nothing but turn.
fn under_load(body: impl FnOnce()) {
    /// Ends the load, after a panic too.
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let over = AtomicBool::new(false);
    let busy = 2 * thread::available_parallelism().unwrap().get();
    thread::scope(|scope| {
        for _ in 0..busy {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    spin_loop();
                }
            });
        }
        let _over = Over(&over);
        body();
    });
}

fn states(connection: &ConnectionHistory, end: usize) -> Vec<(TcpState, Basis)> {
    connection.states(end).map(|change| (change.state, change.basis)).collect()
}

#[test]
#[ignore = "takes a minute: make soak"]
fn states_are_right_under_load() {
    if !can_isolate() {
        return;
    }
    use TcpState::{
        CloseWait, Closed, Established, FinWait1, FinWait2, LastAck, SynReceived, SynSent, TimeWait,
    };
    under_load(|| {
        for run in 1..=RUNS {
            let lab = Lab::new();
            lab.conclude(&closed_in_order(), EXPECTED).passes();
            let bundle = Bundle::read(&lab.directory.path().join("test")).unwrap();
            assert_eq!(bundle.troubles, []);
            let [connection] = bundle.timeline.connections.as_slice() else {
                panic!("run {run}: {:?}", bundle.timeline)
            };
            let (client, server) = (states(connection, 0), states(connection, 1));
            for (end, sampled) in [(&client, Established), (&server, Established), (&client, TimeWait)] {
                assert!(end.contains(&(sampled, Basis::Sampled)), "run {run}: {sampled}: {end:?}");
            }
            let names = |end: &[(TcpState, Basis)]| end.iter().map(|(state, _)| *state).collect::<Vec<_>>();
            assert_eq!(names(&client), [SynSent, Established, FinWait1, FinWait2, TimeWait], "run {run}");
            assert_eq!(names(&server), [SynReceived, Established, CloseWait, LastAck, Closed], "run {run}");
        }
    });
}
