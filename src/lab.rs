//! The instruments: a question in, an answer out.

pub mod explain;
pub mod matrix;
pub mod ports;
mod questions;
pub mod why;

pub use questions::QUESTIONS;
