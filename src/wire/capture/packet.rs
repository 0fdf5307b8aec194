//! One packet, as it was captured.

use std::time::Duration;

/// A captured packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// When the kernel saw it, since the Unix epoch.
    pub time: Duration,
    /// The number of the interface it passed, as if_indextoname(3) takes it.
    pub interface: u32,
    /// What was captured, from the IP header on.
    pub bytes: &'a [u8],
    /// How long it was.
    pub wire_length: usize,
}
