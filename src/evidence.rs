//! What the kernel and the wire say.

pub mod advice;
pub mod holders;
pub mod inet_diag;
pub mod owners;
