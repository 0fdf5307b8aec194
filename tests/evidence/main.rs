//! What is shown and kept: the README's commands, the experiments, their bundles and pages.

#![cfg(test)]

#[path = "../program/mod.rs"]
mod program;

mod experiments;
mod readme;
mod report;
mod states;
