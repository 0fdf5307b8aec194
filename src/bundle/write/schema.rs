//! What all files of a bundle have in common.

/// The version of everything that stands in a bundle.
pub const SCHEMA: u32 = 1;
