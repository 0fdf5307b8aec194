//! The floor: bare recv and send, without a word about who is ready.
//!
//! Its clients must have one request each on its way at any time, all of one size; then it may serve them in turn,
//! and blocks where the next has not come. No server that must ask the kernel whose turn it is can do less.

use std::env;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};

fn main() -> io::Result<()> {
    let numbers: Vec<usize> = env::args().skip(1).map_while(|number| number.parse().ok()).collect();
    let &[port, connections, size] = numbers.as_slice() else {
        return Err(io::Error::other("usage: floor-echo PORT CONNECTIONS SIZE"));
    };
    let port = u16::try_from(port).map_err(io::Error::other)?;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let mut buffer = vec![0; size];
    loop {
        let mut clients = listener.incoming().take(connections).collect::<io::Result<Vec<_>>>()?;
        clients.iter_mut().try_for_each(|client| client.set_nodelay(true))?;
        while clients.iter_mut().all(|client| serve(client, &mut buffer).is_ok()) {}
    }
}

fn serve(client: &mut TcpStream, buffer: &mut [u8]) -> io::Result<()> {
    client.read_exact(buffer)?;
    client.write_all(buffer)
}
