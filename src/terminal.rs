//! A terminal: its keys, the line being typed, the screen; and standard input and output, whatever they are.

pub(crate) mod edit;
pub(crate) mod keys;
pub(crate) mod raw;
pub(crate) mod screen;
pub(crate) mod standard;
