//! What a connection costs that does nothing.

use crate::clients::connect_all;
use crate::error::Result;
use crate::metric::{Metric, Sample};
use crate::peers::Peer;
use crate::server::Server;

/// How many are held at once.
pub const CONNECTIONS: usize = 10_000;

/// Anonymous memory of a server for each connection after its first, all of them answered once and then idle.
pub fn idle(peer: Peer) -> Result<Sample> {
    let server = Server::ready(peer)?;
    let _first = connect_all(server.address, 1)?;
    let before = server.memory("RssAnon")?;
    let _rest = connect_all(server.address, CONNECTIONS - 1)?;
    let grown = server.memory("RssAnon")?.saturating_sub(before);
    Ok(Sample::from([(Metric::MemoryPerConnection, grown as f64 / (CONNECTIONS - 1) as f64)]))
}
