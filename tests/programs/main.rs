//! What the programs do: `listener`, `connector`, `talk` and `relay`, and what all of them have in common.

#![cfg(test)]

#[path = "../program/mod.rs"]
mod program;

mod cli;
mod connector;
mod echo;
mod escaping;
mod models;
mod pages;
mod relay;
mod relay_interop;
mod shared_source_port;
mod signals;
mod talk;
mod talk_errors;
mod talk_hostile;
mod talk_interop;
mod talk_terminal;
mod talk_tmux;
mod threads;
