//! One end of a connection as its segments tell it: the states of RFC 9293 §3.10.

use std::net::SocketAddr;

use TcpState::{
    CloseWait, Closed, Closing, Established, FinWait1, FinWait2, LastAck, Listen, SynReceived, SynSent,
    TimeWait,
};

use crate::net::TcpState;
use crate::wire::segment::Segment;

/// What one end has sent and received, and the state that follows from it.
#[derive(Debug)]
pub(super) struct End {
    state: TcpState,
    /// The sequence number after all that this end has sent (RFC 9293 SND.NXT).
    sent: Option<u32>,
    /// The sequence number after this end's SYN.
    after_syn: Option<u32>,
    /// The sequence number after this end's FIN.
    after_fin: Option<u32>,
    /// The sequence number after all that arrived in order (RFC 9293 RCV.NXT).
    received: Option<u32>,
    /// The sequence number after the remote FIN.
    after_remote_fin: Option<u32>,
}

impl Default for End {
    fn default() -> Self {
        Self {
            state: Closed,
            sent: None,
            after_syn: None,
            after_fin: None,
            received: None,
            after_remote_fin: None,
        }
    }
}

impl End {
    /// The state this end is in.
    pub(super) fn state(&self) -> TcpState {
        self.state
    }

    /// Puts this end in a state, whatever its segments say.
    pub(super) fn enter(&mut self, state: TcpState) {
        self.state = state;
    }

    /// The remote FIN did not arrive after all.
    pub(super) fn forget_remote_fin(&mut self) {
        self.after_remote_fin = None;
    }

    /// Whether this end, closed as it seems, sends what continues its connection.
    pub(super) fn goes_on(&self, segment: &Segment) -> bool {
        let begin =
            if segment.flags.syn { self.after_syn.map(|after| after.wrapping_sub(1)) } else { self.sent };
        self.state == Closed && !segment.flags.rst && begin == Some(segment.sequence)
    }

    /// The states that follow one another when this end sends `segment`; none where it changes nothing.
    pub(super) fn sends(&mut self, segment: &Segment) -> Vec<TcpState> {
        let mut steps = Steps::from(self.state);
        let after = after(segment);
        if segment.flags.syn && matches!(self.state, Closed | Listen | TimeWait) {
            self.begin(segment);
        }
        if segment.flags.rst {
            steps.to(self.after_sending_reset(segment));
        } else if segment.flags.syn {
            self.after_syn = Some(segment.sequence.wrapping_add(1));
            steps.to(after_sending_syn(self.state, segment.flags.ack));
        } else {
            if segment.flags.ack {
                steps.to(if self.state == SynSent { Established } else { self.state });
                if self.after_remote_fin.is_some_and(|fin| reaches(segment.acknowledgement, fin)) {
                    steps.to(after_remote_fin(steps.now()));
                }
            }
            if segment.flags.fin {
                self.after_fin = Some(after);
                let unaware = self.after_remote_fin.is_some_and(|fin| !reaches(segment.acknowledgement, fin));
                if steps.now() == CloseWait && unaware {
                    // It does not acknowledge the remote FIN: the two crossed, and this end closed first too.
                    steps.to(FinWait1);
                    steps.to(Closing);
                }
                steps.to(after_sending_fin(steps.now()));
            }
        }
        if !segment.flags.rst && self.sent.is_none_or(|sent| reaches(after, sent)) {
            self.sent = Some(after);
        }
        steps.taken
    }

    /// The states that follow one another when this end receives `segment`; none where it changes nothing.
    pub(super) fn receives(&mut self, segment: &Segment) -> Vec<TcpState> {
        let mut steps = Steps::from(self.state);
        if segment.flags.rst {
            steps.to(self.after_receiving_reset(segment));
            return steps.taken;
        }
        if segment.flags.ack {
            steps.to(self.after_receiving_ack(segment.acknowledgement));
        }
        self.take_in(segment);
        let finished = matches!((self.received, self.after_remote_fin), (Some(received), Some(fin)) if reaches(received, fin));
        if finished {
            if steps.now() == FinWait2 {
                // The FIN carries the acknowledgement of ours: FIN-WAIT-2 lasts no time (RFC 9293 figure 5).
                steps.taken.pop();
                steps.to(TimeWait);
            }
            steps.to(after_remote_fin(steps.now()));
        }
        steps.taken
    }

    /// A new connection of the same four-tuple begins with a SYN of this end.
    fn begin(&mut self, syn: &Segment) {
        let received = self.received.filter(|_| syn.flags.ack);
        *self = Self { state: self.state, received, ..Self::default() };
    }

    fn after_sending_reset(&self, segment: &Segment) -> TcpState {
        match self.state {
            // One that answers a wrong acknowledgement leaves its sender where it is (RFC 9293 §3.10.7.3).
            Closed | Listen | SynSent | TimeWait => self.state,
            SynReceived if Some(segment.sequence) != self.sent => self.state,
            _ => Closed,
        }
    }

    fn after_receiving_reset(&self, segment: &Segment) -> TcpState {
        let acceptable = match self.state {
            Closed | Listen => false,
            SynSent => segment.flags.ack && Some(segment.acknowledgement) == self.sent,
            // Anywhere else in the window it is answered with a challenge (RFC 9293 §3.10.7.4, RFC 5961).
            _ => self.received.is_none_or(|received| received == segment.sequence),
        };
        if acceptable { Closed } else { self.state }
    }

    fn after_receiving_ack(&self, acknowledgement: u32) -> TcpState {
        let covers = |number: Option<u32>| number.is_some_and(|number| reaches(acknowledgement, number));
        match self.state {
            SynReceived if covers(self.after_syn) => Established,
            FinWait1 if covers(self.after_fin) => FinWait2,
            Closing if covers(self.after_fin) => TimeWait,
            LastAck if covers(self.after_fin) => Closed,
            state => state,
        }
    }

    /// Notes what has arrived in order, and where the remote side ends.
    fn take_in(&mut self, segment: &Segment) {
        let after = after(segment);
        if segment.flags.syn && matches!(self.state, Closed | Listen | SynSent | TimeWait) {
            (self.received, self.after_remote_fin) = (Some(after), None);
        }
        let received = *self.received.get_or_insert(segment.sequence);
        if reaches(received, segment.sequence) && reaches(after, received) {
            self.received = Some(after);
        }
        if segment.flags.fin {
            self.after_remote_fin = Some(after);
        }
    }
}

/// The states that one segment leads through.
struct Steps {
    first: TcpState,
    taken: Vec<TcpState>,
}

impl Steps {
    fn from(state: TcpState) -> Self {
        Self { first: state, taken: Vec::new() }
    }

    fn now(&self) -> TcpState {
        self.taken.last().copied().unwrap_or(self.first)
    }

    fn to(&mut self, state: TcpState) {
        if state != self.now() {
            self.taken.push(state);
        }
    }
}

fn after_sending_syn(state: TcpState, with_ack: bool) -> TcpState {
    match (state, with_ack) {
        (Closed | Listen | TimeWait, false) => SynSent,
        // From SYN-SENT it is a simultaneous open (RFC 9293 §3.5).
        (Closed | Listen | TimeWait | SynSent, true) => SynReceived,
        _ => state,
    }
}

fn after_sending_fin(state: TcpState) -> TcpState {
    match state {
        Established | SynReceived => FinWait1,
        CloseWait => LastAck,
        _ => state,
    }
}

fn after_remote_fin(state: TcpState) -> TcpState {
    match state {
        Established | SynReceived => CloseWait,
        FinWait1 => Closing,
        FinWait2 => TimeWait,
        _ => state,
    }
}

/// The sequence number after `segment`.
pub(super) fn after(segment: &Segment) -> u32 {
    segment.sequence.wrapping_add(segment.span())
}

/// Whether sequence number `number` is `mark` or comes after it, modulo 2^32 (RFC 9293 §3.4).
pub(super) fn reaches(number: u32, mark: u32) -> bool {
    number.wrapping_sub(mark) < 1 << 31
}

/// Which of the ends has this address.
pub(super) fn index(ends: [SocketAddr; 2], address: SocketAddr) -> usize {
    usize::from(ends.first() != Some(&address))
}
