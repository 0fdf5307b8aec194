//! What passed on the wire: packets captured, the segments in them, what they mean to a connection, and files of them.

pub mod capture;
#[cfg(feature = "cli")]
pub mod pcapng;
pub mod segment;
pub mod sequence;
