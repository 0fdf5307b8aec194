//! The kernel's TCP table, a line a socket, and who has those that listen: `cargo run --example sockets`.
#![allow(clippy::print_stdout, reason = "an example says what it does")]

use fourtuple::{Holder, Result, TcpState, sockets};

fn main() -> Result<()> {
    let (listening, others): (Vec<_>, Vec<_>) =
        sockets()?.into_iter().partition(|row| row.state == TcpState::Listen);
    for holder in Holder::of(listening) {
        println!("{holder}");
    }
    for row in others {
        println!("{} {} -> {}", row.state, row.local, row.remote);
    }
    Ok(())
}
