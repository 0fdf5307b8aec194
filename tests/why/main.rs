//! `fourtuple why`: its answers against the calls really made.

#![cfg(test)]

#[path = "../program/mod.rs"]
mod program;

mod agrees;
mod scene;
