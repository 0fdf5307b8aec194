//! The servers that are measured beside each other: echo servers as people write or install them.
//!
//! Each has the buffer that its users would give it, wherever that begins: a static array in C, a `Vec` in Rust, what asyncio
//! and uvloop allocate by themselves. None was aligned for this.

use std::env;

/// A server, and how it is started.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    pub name: &'static str,
    /// Words; `{port}` on 127.0.0.1, `{listener}` ours or the one before, `{built}` where the peers are, `{python}` the
    /// interpreter.
    command: &'static str,
    /// Another listener takes the place of ours.
    before: bool,
}

/// Ours is what `make` builds.
const LISTENER_PROGRAM: &str = "out/listener";

pub const LISTENER: Peer = Peer::new("listener", "{listener} {port} 127.0.0.1 --quiet");
pub const TWO_WORKERS: Peer =
    Peer::new("listener, two workers", "{listener} {port} 127.0.0.1 --quiet --workers 2");
pub const SPINNING: Peer = Peer::new("listener, spinning", "{listener} {port} 127.0.0.1 --quiet --spin 1ms");
/// The listener, waiting for many clients in each of its ways.
pub const EVENT_LOOP: Peer =
    Peer::new("event-loop", "{listener} {port} 127.0.0.1 --quiet --model event-loop");
pub const SEQUENTIAL: Peer =
    Peer::new("sequential", "{listener} {port} 127.0.0.1 --quiet --model sequential");
pub const THREAD: Peer = Peer::new("thread", "{listener} {port} 127.0.0.1 --quiet --model thread");
pub const FORK: Peer = Peer::new("fork", "{listener} {port} 127.0.0.1 --quiet --model fork");
/// Knows without asking whose turn it is.
pub const FLOOR: Peer = Peer::new("floor: bare recv and send", "{built}/floor-echo {port} 50 64");
pub const EPOLL: Peer = Peer::new("C, epoll", "{built}/epoll-echo {port}");
/// As most write it.
pub const TOKIO: Peer =
    Peer::new("tokio, 4 KiB", "{built}/tokio-echo {port} --buffer 4096 --runtime multi-thread");
pub const TOKIO_CURRENT: Peer = Peer::new(
    "tokio, 4 KiB, current thread",
    "{built}/tokio-echo {port} --buffer 4096 --runtime current-thread",
);
/// As one who measured would write it.
pub const TOKIO_LARGE: Peer = Peer::new(
    "tokio, 64 KiB, TCP_NODELAY",
    "{built}/tokio-echo {port} --buffer 65536 --nodelay --runtime multi-thread",
);
pub const TOKIO_LARGE_CURRENT: Peer = Peer::new(
    "tokio, 64 KiB, TCP_NODELAY, current thread",
    "{built}/tokio-echo {port} --buffer 65536 --nodelay --runtime current-thread",
);
pub const THREADS: Peer = Peer::new("std, a thread each", "{built}/thread-echo {port}");
pub const ASYNCIO: Peer = Peer::new("Python, asyncio", "{python} scripts/bench/peers/asyncio-echo.py {port}");
pub const UVLOOP: Peer =
    Peer::new("Python, uvloop", "{python} scripts/bench/peers/asyncio-echo.py {port} uvloop");
pub const SOCAT: Peer =
    Peer::new("socat", "socat TCP4-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,backlog=128 PIPE");
pub const NCAT: Peer = Peer::new("ncat", "ncat -4 -l 127.0.0.1 {port} -k --exec /bin/cat");

impl Peer {
    const fn new(name: &'static str, command: &'static str) -> Self {
        Self { name, command, before: false }
    }

    /// The same work by the listener that BEFORE names, if there is one and this is a listener.
    pub fn before(self) -> Option<Self> {
        let asked = env::var_os("BEFORE").is_some_and(|path| !path.is_empty());
        (asked && self.command.starts_with("{listener}")).then_some(Self {
            before: true,
            name: "before",
            ..self
        })
    }

    /// Its program and arguments.
    pub fn words(&self, port: u16) -> Vec<String> {
        self.filled(port, env::var("BEFORE").ok())
    }

    fn filled(&self, port: u16, before: Option<String>) -> Vec<String> {
        let python = env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let listener = before.filter(|_| self.before).unwrap_or_else(|| LISTENER_PROGRAM.to_owned());
        let fill = |word: &str| {
            word.replace("{port}", &port.to_string())
                .replace("{listener}", &listener)
                .replace("{built}", "target/bench/release")
                .replace("{python}", &python)
        };
        self.command.split(' ').map(fill).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listener_before_gets_the_arguments_of_ours() {
        let before = Peer { before: true, ..SPINNING };
        let words = |peer: Peer| peer.filled(7001, Some("an old/listener".to_owned()));
        assert_eq!(words(before)[0], "an old/listener");
        assert_eq!(words(SPINNING)[0], LISTENER_PROGRAM);
        assert_eq!(words(before)[1..], words(SPINNING)[1..]);
    }
}
