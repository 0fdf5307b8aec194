//! An echo server: `cargo run --example echo -- 127.0.0.1:3000`; Ctrl-C ends it.
#![allow(clippy::print_stdout, reason = "an example says what it does")]

use std::env;

use fourtuple::{
    ConnectionId, EventLoop, Format, Io, LoopSettings, Reporter, Result, Service, Signal, SocketOptions,
    Verbosity, bind,
};

struct Echo;

impl Service for Echo {
    fn received(&mut self, io: &mut dyn Io, id: ConnectionId, bytes: &[u8]) {
        io.send(id, bytes);
    }
}

fn main() -> Result<()> {
    let local = env::args().nth(1).and_then(|local| local.parse().ok()).unwrap_or(([127, 0, 0, 1], 0).into());
    let options = SocketOptions { reuse_address: true, ..SocketOptions::default() };
    let listening = bind(local, &options)?.listen(128)?;
    let reporter = Reporter::stdout(Format::Text, Verbosity::Normal);
    let mut event_loop = EventLoop::new(reporter, LoopSettings::default(), &[Signal::Stop])?;
    println!("listening on {}", event_loop.accept_from(listening)?);
    event_loop.run(&mut Echo).map(drop)
}
