//! The states of real connections: sampled or inferred, each at the right end and marked.

use std::path::Path;
use std::process::Command;

use crate::program::{Program, path};
use fourtuple::bundle::page::Bundle;
use fourtuple::bundle::timeline::{Basis, ConnectionHistory};
use fourtuple::net::TcpState::{
    self, CloseWait, Closed, Established, FinWait1, FinWait2, LastAck, SynReceived, SynSent, TimeWait,
};

const CONNECTIONS: usize = 50;

/// Fifty clients that close first, once the watch has shown all connections at both ends, while loops keep the processors
/// busy. Nothing in it depends on how long anything takes.
const RUN: &str = r#"
fourtuple=$1 listener=$2 connector=$3 to=$4 load=$5
until_says() {
	until (($(grep -c "$2" "$1") >= ${3:-1})); do
		(read -r -t 0.005 _ <>"$to/pause")
	done
}
mkfifo "$to/pause"
"$fourtuple" packets --port 3000 --write "$to/packets.pcapng" >"$to/packets.out" & packets=$!
"$fourtuple" sockets --watch --format json >"$to/sockets.jsonl" & sockets=$!
"$listener" 3000 127.0.0.1 --receive-timeout none >"$to/listener.out" & listener=$!
until_says "$to/packets.out" ^capturing
until_says "$to/sockets.jsonl" watching
until_says "$to/listener.out" ^listening
busy=()
for ((i = 0; i < load; i++)); do (while :; do :; done) & busy+=($!); done
clients=()
for ((port = 4001; port <= 4050; port++)); do
	"$connector" 127.0.0.1 $port 127.0.0.1 3000 hi --interval 1h >/dev/null & clients+=($!)
done
until_says "$to/sockets.jsonl" '"to":"ESTABLISHED"' 100
kill "${clients[@]}" && wait "${clients[@]}"
until_says "$to/sockets.jsonl" '"to":"TIME-WAIT"' 50
kill "$listener" "$packets" "${busy[@]}" && wait "$listener" "$packets"
kill "$sockets" && wait "$sockets"
"#;

fn run(load: usize) -> Bundle {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().to_str().unwrap();
    let mut command = Command::new(path("fourtuple"));
    command.args(["isolate", "--", "bash", "-c", RUN, "run", path("fourtuple"), path("listener")]);
    Program::spawn(command.args([path("connector"), to, &load.to_string()])).end().well();
    Bundle::read(Path::new(to)).unwrap()
}

fn states(connection: &ConnectionHistory, end: usize) -> Vec<TcpState> {
    connection.states(end).map(|change| change.state).filter(|state| *state != FinWait2).collect()
}

fn was_sampled(connection: &ConnectionHistory, end: usize, state: TcpState) -> bool {
    connection.states(end).any(|change| change.state == state && change.basis == Basis::Sampled)
}

/// Fails unless every state is there, in its order, at its end, and those that last were sampled.
#[track_caller]
fn right(bundle: &Bundle) {
    assert_eq!(bundle.timeline.connections.len(), CONNECTIONS);
    for connection in &bundle.timeline.connections {
        assert_eq!(connection.ends[1].port(), 3000);
        assert_eq!(states(connection, 0), [SynSent, Established, FinWait1, TimeWait], "{connection:#?}");
        assert_eq!(
            states(connection, 1),
            [SynReceived, Established, CloseWait, LastAck, Closed],
            "{connection:#?}"
        );
        for (end, state) in [(0, Established), (0, TimeWait), (1, Established)] {
            assert!(was_sampled(connection, end, state), "{state} of end {end}: {connection:#?}");
        }
    }
}

#[test]
fn states_of_fifty_connections_are_right() {
    right(&run(0));
}

#[test]
#[ignore = "half a minute: make soak"]
fn states_are_right_in_fifty_runs_of_fifty_connections_under_load() {
    for _ in 0..50 {
        right(&run(2));
    }
}
