//! How many system calls a request costs the server, by strace(1).

use std::io::Write;

use super::strace::strace;
use crate::clients::{answer, connect_all};
use crate::error::{Error, Result};
use crate::metric::{Metric, Sample};
use crate::peers::Peer;
use crate::server::Server;

const CLIENTS: usize = 50;
const ROUNDS: usize = 200;

/// 50 clients send 64 bytes each, and then wait for their answers.
pub fn calls(peer: Peer) -> Result<Sample> {
    let server = Server::ready(peer)?;
    let mut clients = connect_all(server.address, CLIENTS)?;
    let request = [b'x'; 64];
    let calls = count_calls(server.pid(), || {
        for _ in 0..ROUNDS {
            clients.iter_mut().try_for_each(|client| client.write_all(&request))?;
            clients.iter_mut().try_for_each(|client| answer(client, &request))?;
        }
        Ok(())
    })?;
    Ok(Sample::from([(Metric::CallsPerRequest, calls as f64 / (CLIENTS * ROUNDS) as f64)]))
}

/// How many calls a process and its threads make during `work`.
fn count_calls(pid: u32, work: impl FnOnce() -> Result<()>) -> Result<u64> {
    let report = strace(pid, &["-c"], work)?;
    report.lines().filter_map(total).next_back().ok_or_else(|| Error::unable("strace counted nothing"))
}

/// The count in the last row of strace's table: % time, seconds, usecs/call, calls, errors where there are any, name.
fn total(line: &str) -> Option<u64> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    match fields.as_slice() {
        [_, _, _, calls, .., "total"] => calls.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::total;

    #[test]
    fn the_total_is_read_with_errors_and_without() {
        assert_eq!(total("100.00    0.051234           2     20123           total"), Some(20_123));
        assert_eq!(total("100.00    0.051234           2     20123        17 total"), Some(20_123));
        assert_eq!(total(" 49.51    0.025366           2     10000           sendto"), None);
    }
}
