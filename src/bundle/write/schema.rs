//! What all files of a bundle have in common.

/// The version of everything that stands in a bundle.
pub(super) const SCHEMA: u32 = 1;
