//! The clients of this program itself: for what `fourtuple load` does not do.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

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

/// So many connections with a request each, and how many of them are answered. The first one that is not answered for
/// so long ends the waiting.
pub fn ask_all(address: SocketAddr, count: usize, patience: Duration) -> Result<(Vec<TcpStream>, usize)> {
    let request = [b'x'; 64];
    let ask = |_| {
        let mut client = TcpStream::connect(address)?;
        client.write_all(&request)?;
        client.set_read_timeout(Some(patience))?;
        Ok(client)
    };
    let mut clients: Vec<TcpStream> = (0..count).map(ask).collect::<Result<_>>()?;
    let (mut answered, mut waited) = (0, false);
    for client in &mut clients {
        client.set_nonblocking(waited)?;
        match client.peek(&mut [0]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => waited = true,
            _ => {
                client.set_nonblocking(false)?;
                answer(client, &request)?;
                answered += 1;
            }
        }
    }
    Ok((clients, answered))
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

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// What `ask_all` has of a server that answers so many of three clients with these bytes.
    fn answered(serves: usize, reply: &'static [u8]) -> Result<usize> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let mut streams: Vec<TcpStream> = (0..3).map(|_| listener.accept().unwrap().0).collect();
            for stream in streams.iter_mut().take(serves) {
                stream.read_exact(&mut [0; 64]).unwrap();
                stream.write_all(reply).unwrap();
            }
            streams
        });
        let asked = ask_all(address, 3, Duration::from_millis(200)).map(|(_, answered)| answered);
        drop(server.join().unwrap());
        asked
    }

    #[test]
    fn clients_that_wait_are_not_counted_among_those_that_are_served() {
        assert_eq!(answered(1, &[b'x'; 64]).unwrap(), 1);
        assert_eq!(answered(3, &[b'x'; 64]).unwrap(), 3);
    }

    #[test]
    fn a_wrong_answer_is_a_fault_of_content() {
        assert!(matches!(answered(1, &[b'y'; 64]), Err(Error::Content(_))));
    }
}
