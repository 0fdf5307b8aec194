//! One connection from accept(2) to close(2), by calls that block.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use socket2::Socket;

use super::connection::reason_of;
use crate::buffer::Buffer;
use crate::net::FourTuple;
use crate::report::{CloseReason, Event, Reporter, Verbosity};
use crate::service::{Closed, Pieces, Reply};

/// The longest read in bytes; each connection has a buffer of its own.
const BUFFER: usize = 64 * 1024;
/// The shortest SO_RCVTIMEO, which the kernel rounds up to a tick of its clock.
const AT_ONCE: Duration = Duration::from_micros(1);

const SERVED: u8 = 0;
const FINISHING: u8 = 1;
const ABORTED: u8 = 2;

/// An accepted connection, which others than the one who serves it can bring to an end.
pub(super) struct AcceptedClient {
    socket: Socket,
    tuple: FourTuple,
    state: AtomicU8,
}

impl AcceptedClient {
    /// `socket` blocks, and has its timeouts by SO_RCVTIMEO and SO_SNDTIMEO.
    pub(super) fn new(socket: Socket, tuple: FourTuple) -> Self {
        Self { socket, tuple, state: AtomicU8::new(SERVED) }
    }

    /// Ends the connection once what was read is answered. A read that blocks must be interrupted by a signal behind
    /// this call; one that begins later does not block.
    ///
    /// shutdown(2) with SHUT_RD would end a read too, but what the remote side sends after our FIN is then answered by
    /// RST (RFC 1122 §4.2.2.13), and the last of our bytes could be lost with it.
    ///
    /// Safe in a signal's handler, as [`abort`](Self::abort) is: both only make calls that signal-safety(7) lists.
    pub(super) fn finish(&self) {
        self.state.fetch_max(FINISHING, Ordering::AcqRel);
        let _ = self.socket.set_read_timeout(Some(AT_ONCE));
    }

    /// Ends the connection now; a read or write that blocks returns.
    pub(super) fn abort(&self) {
        self.state.fetch_max(ABORTED, Ordering::AcqRel);
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    fn is(&self, state: u8) -> bool {
        self.state.load(Ordering::Acquire) >= state
    }
}

impl AsRawFd for AcceptedClient {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Serves `client` to its end, with `drain` to finish after an interruption, and says how it went.
///
/// The caller closes the socket by dropping the client, and then tells of the end.
pub(super) fn serve(
    client: &AcceptedClient,
    reply: impl Reply,
    drain: Duration,
    reporter: &Reporter,
) -> Closed {
    let FourTuple { local, remote } = client.tuple;
    reporter.report(&Event::Accepted { local, remote });
    let opened = Instant::now();
    let pieces = Pieces::default();
    let mut serving = Serving { client, reply, pieces, reporter, received: 0, sent: 0 };
    let reason = match serving.run(drain) {
        _ if client.is(ABORTED) => CloseReason::Abort,
        Ok(reason) | Err(reason) => reason,
    };
    if matches!(reason, CloseReason::Abort | CloseReason::SendTimeout) {
        // RST instead of FIN: the kernel would go on trying to send to somebody who does not read.
        let _ = client.socket.set_linger(Some(Duration::ZERO));
    }
    let Serving { received, sent, .. } = serving;
    Closed { tuple: client.tuple, reason, received, sent, duration: opened.elapsed() }
}

struct Serving<'a, R> {
    client: &'a AcceptedClient,
    reply: R,
    pieces: Pieces,
    reporter: &'a Reporter,
    received: u64,
    sent: u64,
}

impl<R: Reply> Serving<'_, R> {
    /// Answers until one side is at its end; the reason, whether it is a failure or not.
    fn run(&mut self, drain: Duration) -> Result<CloseReason, CloseReason> {
        // The answer to one read must not be too long to keep.
        let mut buffer = Buffer::zeroed((BUFFER / self.reply.growth()).max(1));
        while !self.client.is(FINISHING) {
            match self.receive(&mut buffer)? {
                Some([]) => {
                    self.answer(|reply, _, send| reply.end(send))?;
                    return Ok(CloseReason::Fin);
                }
                Some(bytes) => {
                    self.tell(bytes);
                    self.answer(|reply, pieces, send| pieces.answer(reply, bytes, send))?;
                }
                None => {}
            }
        }
        self.drain(&mut buffer, drain)
    }

    /// What arrived, none at the remote side's FIN; or that an interruption came first.
    fn receive<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Option<&'b [u8]>, CloseReason> {
        match (&self.client.socket).read(buffer) {
            Ok(length) => {
                self.received += length as u64;
                Ok(buffer.get(..length))
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(None),
            Err(error) if error.kind() == ErrorKind::WouldBlock => match self.client.is(FINISHING) {
                true => Ok(None),
                false => Err(CloseReason::ReceiveTimeout),
            },
            Err(error) => Err(reason_of("recv", &error)),
        }
    }

    fn tell(&self, bytes: &[u8]) {
        if self.reporter.tells(Verbosity::Verbose) {
            let FourTuple { local, remote } = self.client.tuple;
            self.reporter.report(&Event::Received { local, remote, bytes });
        }
    }

    /// Sends what `answer` gives, up to the first failure.
    fn answer(
        &mut self,
        answer: impl FnOnce(&mut R, &mut Pieces, &mut dyn FnMut(&[u8])),
    ) -> Result<(), CloseReason> {
        let (socket, sent) = (&self.client.socket, &mut self.sent);
        let mut outcome = Ok(());
        answer(&mut self.reply, &mut self.pieces, &mut |piece| {
            if outcome.is_ok() {
                outcome = send_all(socket, piece, sent);
            }
        });
        outcome
    }

    /// Sends FIN, and throws away what still arrives until the remote side's FIN: closing with bytes unread would
    /// send RST, and the last of ours could be lost with it.
    fn drain(&mut self, buffer: &mut [u8], limit: Duration) -> Result<CloseReason, CloseReason> {
        // After RST this fails, and the read below says why.
        let _ = self.client.socket.shutdown(Shutdown::Write);
        let begin = Instant::now();
        while let Some(left) = limit.checked_sub(begin.elapsed()).filter(|left| *left >= AT_ONCE) {
            let _ = self.client.socket.set_read_timeout(Some(left));
            if self.receive(buffer)?.is_some_and(<[u8]>::is_empty) {
                return Ok(CloseReason::Fin);
            }
        }
        Ok(CloseReason::Abort)
    }
}

/// Sends all of `bytes`, each call within SO_SNDTIMEO, and counts what the kernel took.
fn send_all(mut socket: &Socket, bytes: &[u8], sent: &mut u64) -> Result<(), CloseReason> {
    let mut taken = 0;
    while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
        match socket.write(rest) {
            Ok(length) => {
                taken += length;
                *sent += length as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(CloseReason::SendTimeout),
            Err(error) => return Err(reason_of("send", &error)),
        }
    }
    Ok(())
}
