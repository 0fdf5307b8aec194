//! A TCP stream as a connection needs it.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use mio::net::TcpStream;
use socket2::{SockRef, Socket};

use super::connection::Stream;

impl Stream for TcpStream {
    fn watched(socket: Socket) -> Self {
        Self::from_std(socket.into())
    }

    fn local(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }

    fn remote(&self) -> io::Result<SocketAddr> {
        self.peer_addr()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn take_error(&mut self) -> io::Result<Option<io::Error>> {
        TcpStream::take_error(self)
    }

    fn reset_on_close(&mut self) {
        let _ = SockRef::from(&*self).set_linger(Some(Duration::ZERO));
    }
}
