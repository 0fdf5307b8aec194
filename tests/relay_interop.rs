//! nc, socat, Python's socket module and `talk` with each other, through a relay.

#![cfg(test)]

mod program;

use std::io::Write;
use std::net::SocketAddr;
use std::process::{ChildStdin, Command, Stdio};

use program::{Listener, Program, has, path};

/// A client that copies its input to the relay and what the relay says to its output.
#[derive(Clone, Copy, Debug)]
enum Tool {
    Nc,
    Socat,
    Python,
    Talk,
}

impl Tool {
    fn is_here(self) -> bool {
        match self {
            Self::Nc => has("nc", "-h"),
            Self::Socat => has("socat", "-V"),
            Self::Python => has("python3", "--version"),
            Self::Talk => true,
        }
    }

    fn command(self, relay: SocketAddr) -> Command {
        let (ip, port) = (relay.ip().to_string(), relay.port().to_string());
        let (program, arguments) = match self {
            Self::Nc => ("nc", vec!["-N".to_owned(), ip, port]),
            Self::Socat => ("socat", vec!["-".to_owned(), format!("TCP:{relay}")]),
            Self::Python => ("python3", vec!["-c".to_owned(), PYTHON.to_owned(), ip, port]),
            Self::Talk => (path("talk"), vec![ip, port]),
        };
        let mut command = Command::new(program);
        command.args(arguments);
        command
    }
}

const PYTHON: &str = "
import socket, sys, threading
relay = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def copy():
    while data := relay.recv(4096):
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
threading.Thread(target=copy).start()
for line in sys.stdin.buffer:
    relay.sendall(line)
relay.shutdown(socket.SHUT_WR)
";

fn call(tool: Tool, relay: &Listener, name: &str) -> (Program, ChildStdin) {
    let mut command = tool.command(relay.address);
    let mut client = Program::spawn_with_input(command.stdin(Stdio::piped()));
    let mut input = client.input();
    writeln!(input, "/name {name}").unwrap();
    (client, input)
}

/// A conversation in turns, a word out of turn, and an end by `exit` or by the end of input.
#[track_caller]
fn converse(first: Tool, second: Tool, by_exit: bool) {
    let relay = Listener::relay(&[]);
    let (mut alice, mut alices) = call(first, &relay, "alice");
    alice.line("* waiting for a partner");
    let (mut bob, mut bobs) = call(second, &relay, "bob");
    alice.line("* connected to bob (");
    bob.line("* connected to alice (");
    writeln!(alices, "how are you?").unwrap();
    bob.line("alice: how are you?");
    writeln!(bobs, "très bien\nand you?").unwrap();
    alice.line("bob: très bien");
    writeln!(alices, "fine").unwrap();
    alice.line("bob: and you?");
    if by_exit {
        writeln!(alices, "exit").unwrap();
    }
    drop(alices);
    bob.line("* alice has left");
    drop(bobs);
    for client in [&mut alice, &mut bob] {
        client.end().well();
    }
    relay.line("room number=1 ");
    relay.line_with(&["client name=bob ", "state=disconnected"]);
}

#[test]
fn what_people_have_holds_a_conversation_with_each_other() {
    let tools = [Tool::Nc, Tool::Socat, Tool::Python, Tool::Talk];
    for (first, second) in tools.into_iter().zip(tools.into_iter().cycle().skip(1)) {
        if first.is_here() && second.is_here() {
            println!("{first:?} and {second:?}");
            converse(first, second, true);
            converse(second, first, false);
        }
    }
}
