//! A terminal: its keys, the line being typed, the screen; and standard input and output, whatever they are.

pub mod edit;
pub mod keys;
pub mod raw;
pub mod screen;
pub mod standard;
