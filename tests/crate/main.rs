//! The crate itself: how its source is built, and what it is in somebody else's program.

#![cfg(test)]

#[path = "../program/mod.rs"]
mod program;

mod as_a_crate;
mod floors;
