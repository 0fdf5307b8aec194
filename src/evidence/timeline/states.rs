//! The states of both ends: sampled, and between samples inferred from the segments.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use TcpState::{
    CloseWait, Closed, Closing, Established, FinWait1, FinWait2, LastAck, NewSynReceived, SynReceived,
    SynSent, TimeWait,
};

use super::Sample;
use super::connection::{Basis, Entry, Passed, StateChange, What};
use super::end::End;
use crate::evidence::conversation::Conversations;
use crate::evidence::segment::Segment;
use crate::net::TcpState;

/// A state that lasted so long was not too short to be sampled, even by a sampler that had to wait its turn.
const SAMPLED_WITHIN: Duration = Duration::from_millis(250);

/// An inference at one end from one segment, by the segment's number in the capture.
type Inference = (usize, usize, TcpState);

/// Segments and states of a connection in one order. `watched` is when the first and the last sample of any socket
/// were taken.
pub fn merge(
    ends: [SocketAddr; 2],
    segments: &[(usize, &Segment)],
    samples: &[&Sample],
    watched: Option<(Duration, Duration)>,
) -> Vec<Entry> {
    let mut refuted = HashSet::new();
    loop {
        let mut walk = Walk::new(ends, &refuted);
        walk.all(segments, samples);
        let refutation = walk.refutation(watched);
        let entries = walk.entries;
        // Each turn refutes one more inference, and there are finitely many.
        if refutation.is_none_or(|inference| !refuted.insert(inference)) {
            return entries;
        }
    }
}

/// One pass over segments and samples in the order of their times.
struct Walk<'a> {
    ends: [SocketAddr; 2],
    refuted: &'a HashSet<Inference>,
    known: [End; 2],
    conversations: Conversations,
    entries: Vec<Entry>,
    /// The index in `entries` from which on a sample may confirm an inference, for each end.
    unconfirmed: [usize; 2],
}

impl<'a> Walk<'a> {
    fn new(ends: [SocketAddr; 2], refuted: &'a HashSet<Inference>) -> Self {
        Self {
            ends,
            refuted,
            known: [End::default(), End::default()],
            conversations: Conversations::default(),
            entries: Vec::new(),
            unconfirmed: [0, 0],
        }
    }

    fn all(&mut self, segments: &[(usize, &Segment)], samples: &[&Sample]) {
        let mut samples = samples.iter().peekable();
        for (number, segment) in segments {
            while let Some(sample) = samples.next_if(|sample| sample.time < segment.time) {
                self.sample(sample);
            }
            self.segment(*number, segment);
        }
        samples.for_each(|sample| self.sample(sample));
    }

    fn index(&self, address: SocketAddr) -> usize {
        usize::from(self.ends.first() != Some(&address))
    }

    fn segment(&mut self, number: usize, segment: &Segment) {
        let (from, to) = (self.index(segment.from), self.index(segment.to));
        let place = self.conversations.place(segment);
        let passed = Passed {
            number,
            from,
            flags: segment.flags,
            sequence: place.sequence,
            acknowledgement: place.acknowledgement,
            length: segment.length,
            retransmission: place.retransmission,
        };
        self.entries.push(Entry { time: segment.time, what: What::Segment(passed) });
        let sent = self.known.get_mut(from).map(|end| end.sends(segment)).unwrap_or_default();
        self.infer(number, from, segment.time, sent);
        let received = self.known.get_mut(to).map(|end| end.receives(segment)).unwrap_or_default();
        self.infer(number, to, segment.time, received);
    }

    fn infer(&mut self, number: usize, end: usize, time: Duration, states: Vec<TcpState>) {
        if states.first() == Some(&FinWait1) {
            self.retract_close_wait(end);
        }
        for state in states {
            if self.refuted.contains(&(number, end, state)) {
                return;
            }
            self.enter(time, StateChange { end, state, basis: Basis::Inferred, follows: true });
        }
    }

    /// CLOSE-WAIT was inferred when a FIN was captured that had not arrived yet.
    fn retract_close_wait(&mut self, end: usize) {
        let first = self.unconfirmed.get(end).copied().unwrap_or_default();
        let premature = self.entries.iter().enumerate().skip(first).find(|(_, entry)| {
            matches!(&entry.what, What::State(change) if change.end == end && change.state == CloseWait)
        });
        if let Some((index, _)) = premature {
            self.entries.remove(index);
        }
    }

    fn enter(&mut self, time: Duration, change: StateChange) {
        if let Some(known) = self.known.get_mut(change.end) {
            known.enter(change.state);
        }
        self.entries.push(Entry { time, what: What::State(change) });
    }

    /// Confirms an inference since the last sample, or else corrects the state.
    fn sample(&mut self, sample: &Sample) {
        let end = self.index(sample.local);
        // A request that has no socket yet is in SYN-RECEIVED for the rest of the world.
        let state = if sample.state == NewSynReceived { SynReceived } else { sample.state };
        let first = self.unconfirmed.get(end).copied().unwrap_or_default();
        let confirmed =
            self.entries.iter_mut().enumerate().skip(first).rev().find_map(|(index, entry)| match &mut entry
                .what
            {
                What::State(change) if change.end == end && change.state == state => Some((index, change)),
                _ => None,
            });
        let next = match confirmed {
            Some((index, change)) => {
                change.basis = Basis::Sampled;
                index
            }
            None => {
                if self.known.get(end).is_some_and(|known| known.state() == state) {
                    return;
                }
                let change = StateChange { end, state, basis: Basis::Sampled, follows: false };
                self.enter(sample.time, change);
                self.entries.len() - 1
            }
        };
        if let Some(unconfirmed) = self.unconfirmed.get_mut(end) {
            *unconfirmed = next + 1;
        }
    }

    /// The first inference that the kernel's table contradicts.
    fn refutation(&self, watched: Option<(Duration, Duration)>) -> Option<Inference> {
        let (first_look, last_look) = watched?;
        let mut number = 0;
        for (index, entry) in self.entries.iter().enumerate() {
            let change = match entry.what {
                What::Segment(passed) => {
                    number = passed.number;
                    continue;
                }
                What::State(change) if change.basis == Basis::Inferred => change,
                _ => continue,
            };
            let later = self.entries.iter().skip(index + 1);
            let next = later.filter_map(|entry| match entry.what {
                What::State(next) if next.end == change.end => Some((entry.time, next)),
                _ => None,
            });
            let next = next.into_iter().next();
            let until = next.map_or(last_look, |(time, _)| time);
            let long = change.state != Closed
                && entry.time >= first_look
                && until.saturating_sub(entry.time) > SAMPLED_WITHIN;
            let impossible =
                next.is_some_and(|(_, next)| !next.follows && !may_become(change.state, next.state));
            if long || impossible {
                return Some((number, change.end, change.state));
            }
        }
        None
    }
}

/// Whether a connection in the first state can come to be in the second (RFC 9293 figure 5), in any number of steps.
fn may_become(state: TcpState, later: TcpState) -> bool {
    match state {
        SynReceived => later != SynSent,
        Established => !matches!(later, SynSent | SynReceived),
        FinWait1 => matches!(later, FinWait2 | Closing | TimeWait | Closed),
        FinWait2 | Closing => matches!(later, TimeWait | Closed),
        CloseWait => matches!(later, LastAck | Closed),
        LastAck => later == Closed,
        // From CLOSED and TIME-WAIT a new connection of the same four-tuple may begin.
        _ => true,
    }
}
