//! How long it takes from exec to the first echo.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::clients::echo;
use crate::error::{Error, Result};
use crate::metric::{Metric, Sample};
use crate::peers::Peer;
use crate::server::Server;

/// How long a server may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Starts a server and knocks until it answers.
pub fn start(peer: Peer) -> Result<Sample> {
    let start = Instant::now();
    let mut server = Server::start(peer)?;
    let mut client = loop {
        match TcpStream::connect(server.address) {
            Ok(client) => break client,
            Err(_) if start.elapsed() < PATIENCE => server.check_runs()?,
            Err(error) => return Err(Error::unable(error.to_string())),
        }
    };
    echo(&mut client, b"hello")?;
    Ok(Sample::from([(Metric::StartToEcho, start.elapsed().as_nanos() as f64)]))
}
