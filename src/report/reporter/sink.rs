//! Where a reporter's lines go: to a writer of this process, or to the parent process, which has one.

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;

use crate::report::output::Output;

/// The first byte of a message: which of the parent's outputs the line behind it is for.
pub(super) const OUTPUT: u8 = b'o';
pub(super) const RECORD: u8 = b'r';

#[derive(Clone)]
pub(super) enum Sink {
    Writer(Output),
    Parent { socket: Arc<UnixDatagram>, output: u8 },
}

impl Sink {
    pub(super) fn line(&self, line: String) {
        match self {
            Self::Writer(output) => output.line(line),
            Self::Parent { socket, output } => {
                let message = [&[*output], line.as_bytes()].concat();
                // Where the parent has gone there is nobody left to tell.
                while socket.send(&message).is_err_and(|error| error.kind() == ErrorKind::Interrupted) {}
            }
        }
    }

    pub(super) fn flush(&self) {
        if let Self::Writer(output) = self {
            output.flush();
        }
    }
}
