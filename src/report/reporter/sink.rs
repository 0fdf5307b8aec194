//! Where a reporter's lines go: to a writer of this process, or to the parent process, which has one.

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;

use super::{Output, Reporter};

/// The first byte of a message: which of the parent's outputs the line behind it is for.
const OUTPUT: u8 = b'o';
const RECORD: u8 = b'r';

#[derive(Clone)]
pub(super) enum Sink {
    Writer(Output),
    Parent { socket: Arc<UnixDatagram>, output: u8 },
}

impl Sink {
    pub fn line(&self, line: String) {
        match self {
            Self::Writer(output) => output.line(line),
            Self::Parent { socket, output } => {
                let message = [&[*output], line.as_bytes()].concat();
                // Where the parent has gone there is nobody left to tell.
                while socket.send(&message).is_err_and(|error| error.kind() == ErrorKind::Interrupted) {}
            }
        }
    }

    pub fn flush(&self) {
        if let Self::Writer(output) = self {
            output.flush();
        }
    }
}

impl Reporter {
    /// The reporter of a child process: it sends each line as a message, for the parent to [`pass_on`](Self::pass_on).
    ///
    /// fork(2) copies no other thread, so the child has no writer; and a line is not cut by others in a message.
    #[must_use]
    pub fn through(&self, socket: &Arc<UnixDatagram>) -> Self {
        let parent = |output| Sink::Parent { socket: Arc::clone(socket), output };
        let output = self.output.as_ref().map(|_| parent(OUTPUT));
        let record = self.record.as_ref().map(|_| parent(RECORD));
        Self { output, record, ..*self }
    }

    /// Writes the line of a child process; whether `message` was one.
    pub fn pass_on(&self, message: &[u8]) -> bool {
        let Some((output, line)) = message.split_first() else { return false };
        let sink = match *output {
            OUTPUT => &self.output,
            RECORD => &self.record,
            _ => return false,
        };
        if let Some(sink) = sink {
            sink.line(String::from_utf8_lossy(line).into_owned());
        }
        true
    }
}
