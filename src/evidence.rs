//! What the kernel and the wire say.

#[cfg(target_os = "linux")]
pub mod namespace;
