//! The instruments of `fourtuple`, against the kernel.

#![cfg(test)]

#[path = "../program/mod.rs"]
mod program;

mod isolate;
mod load;
mod matrix;
mod packets;
mod perform;
mod ports;
mod schema;
mod sockets;
mod watch;
mod why;
