//! How a conversation ends.

use std::io;

use super::plan::{LEAVE, LEFT};
use super::{State, Talk};
use crate::error::Error;
use crate::net::FourTuple;
use crate::report::{CloseReason, Event, RefuseReason};
use crate::service::{Closed, ConnectionId, Io};

impl Talk {
    /// Ends the conversation from our side; what the other side still says is thrown away.
    pub(super) fn leave(&mut self, io: &mut dyn Io) {
        if let Some(id) = self.calls.end() {
            io.close(id);
        }
        if let Some((id, _)) = self.partner.filter(|_| self.state == State::Talking) {
            self.state = State::Leaving;
            self.close_screen(io);
            io.finish(id);
            io.after(id, LEFT, LEAVE);
        }
        io.pause_input();
        io.stop();
    }

    /// Whoever calls while we talk is told so; closing at once would send RST if it has said something.
    pub(super) fn turn_away(&self, io: &mut dyn Io, id: ConnectionId, tuple: FourTuple) {
        let FourTuple { local, remote } = tuple;
        io.report(&Event::Refused { local, remote, reason: RefuseReason::Busy });
        io.send(id, b"busy\n");
        io.finish(id);
        io.after(id, LEFT, LEAVE);
    }

    /// Why an end that the other side or the kernel brought about is a failure, if it is one.
    pub(super) fn judge(&mut self, closed: &Closed) {
        // However the other side takes our leaving, it is over.
        if self.state == State::Leaving {
            return;
        }
        let failure = match closed.reason {
            CloseReason::ReceiveTimeout | CloseReason::SendTimeout => {
                Some(Error::new("send", closed.tuple, io::Error::other("a time limit was over")))
            }
            reason => reason.failed_call().map(|(call, errno)| {
                let error = Error::new(call, closed.tuple, errno);
                match reason {
                    CloseReason::Reset => {
                        error.note("the other side broke off (RST): what it had not read is lost")
                    }
                    _ => error,
                }
            }),
        };
        self.failure = failure.or(self.failure.take());
    }
}
