//! What the kernel and the wire say. All of it is Linux.

pub mod advice;
mod as_user;
pub mod assemble;
pub mod bind_matrix;
pub mod borrow;
pub mod cpu;
pub mod holders;
pub mod inet_diag;
pub mod memory;
pub mod namespace;
pub mod owners;
pub mod packets;
pub mod parent;
pub mod pcapng;
pub mod ports;
pub mod report;
pub mod scratch;
pub mod segment;
pub mod sequence;
pub mod sharing;
pub mod timeline;
pub mod transitions;
mod users;
pub mod why;
