//! Clients that people have.

use std::net::SocketAddr;
use std::process::Command;

use super::{has, path};

/// A client that copies its input to a server, and what the server says to its output.
#[derive(Clone, Copy, Debug)]
pub enum Tool {
    Nc,
    Socat,
    Python,
    Talk,
}

impl Tool {
    pub const ALL: [Self; 4] = [Self::Nc, Self::Socat, Self::Python, Self::Talk];

    /// Whether it is installed.
    #[track_caller]
    pub fn is_here(self) -> bool {
        match self {
            Self::Nc => has("nc", "-h"),
            Self::Socat => has("socat", "-V"),
            Self::Python => has("python3", "--version"),
            Self::Talk => true,
        }
    }

    /// The command that connects to `server`.
    pub fn command(self, server: SocketAddr) -> Command {
        let (ip, port) = (server.ip().to_string(), server.port().to_string());
        let (program, arguments) = match self {
            Self::Nc => ("nc", vec!["-N".to_owned(), ip, port]),
            Self::Socat => ("socat", vec!["-".to_owned(), format!("TCP:{server}")]),
            Self::Python => ("python3", vec!["-c".to_owned(), PYTHON.to_owned(), ip, port]),
            Self::Talk => (path("talk"), vec![ip, port]),
        };
        let mut command = Command::new(program);
        command.args(arguments);
        command
    }
}

const PYTHON: &str = "
import socket, sys, threading
server = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def copy():
    while data := server.recv(4096):
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
threading.Thread(target=copy).start()
for line in sys.stdin.buffer:
    server.sendall(line)
server.shutdown(socket.SHUT_WR)
";
