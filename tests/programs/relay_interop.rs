//! nc, socat, Python's socket module and `talk` with each other, through a relay.

use std::io::Write;
use std::process::{ChildStdin, Stdio};

use crate::program::tool::Tool;
use crate::program::{Listener, Program, until};

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
    let (mut alice, mut alices, mut bob, mut bobs) = until("both have their names in time", || {
        let (alice, alices) = call(first, &relay, "alice");
        alice.line("* waiting for a partner");
        let (bob, bobs) = call(second, &relay, "bob");
        // A name that comes more than 100 ms after its client is late, as it may be on a busy machine.
        let greetings = [alice.line("* connected to "), bob.line("* connected to ")];
        let named = greetings[0].contains(" bob (") && greetings[1].contains(" alice (");
        named.then_some((alice, alices, bob, bobs))
    });
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
    relay.line("room number=");
    relay.line_with(&["client name=bob ", "state=disconnected"]);
}

#[test]
fn what_people_have_holds_a_conversation_with_each_other() {
    for (first, second) in Tool::ALL.into_iter().zip(Tool::ALL.into_iter().cycle().skip(1)) {
        if first.is_here() && second.is_here() {
            println!("{first:?} and {second:?}");
            converse(first, second, true);
            converse(second, first, false);
        }
    }
}
