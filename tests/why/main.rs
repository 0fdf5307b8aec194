//! `fourtuple why`: its answers against the calls really made.

#![cfg(test)]

#[path = "../program/mod.rs"]
mod program;

mod advice;
mod agrees;
mod holder;
mod remarks;
mod scene;
mod steps;
mod time;
mod traces;
mod usage;
