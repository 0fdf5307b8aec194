//! The clients of this program itself: for what `fourtuple load` does not do.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::error::{Error, Result};

/// So many connections, each of which has been answered once.
pub fn connect_all(address: SocketAddr, count: usize) -> Result<Vec<TcpStream>> {
    let connect = |_| {
        let mut client = TcpStream::connect(address)?;
        client.set_nodelay(true)?;
        echo(&mut client, &[b'x'; 64])?;
        Ok(client)
    };
    (0..count).map(connect).collect()
}

/// Sends a request and reads its answer.
pub fn echo(client: &mut TcpStream, request: &[u8]) -> Result<()> {
    client.write_all(request)?;
    answer(client, request)
}

/// Reads the answer to a request.
pub fn answer(client: &mut TcpStream, request: &[u8]) -> Result<()> {
    let mut answer = vec![0; request.len()];
    client.read_exact(&mut answer)?;
    if answer != request {
        return Err(Error::Content("the answer is not what was sent".to_owned()));
    }
    Ok(())
}
