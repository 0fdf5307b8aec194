//! The states of both ends: sampled, and between samples inferred from the segments.

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use TcpState::{
    CloseWait, Closed, Closing, Established, FinWait1, FinWait2, LastAck, NewSynReceived, SynReceived,
    SynSent, TimeWait,
};

use super::connection::{Basis, Entry, Passed, StateChange, What};
use super::end::{End, index};
use super::observed::Sample;
use super::proofs::Proofs;
use crate::net::TcpState;
use crate::wire::segment::Segment;
use crate::wire::sequence::SequenceSpaces;

/// A state that lasted this long would have been sampled, on a machine that is not very busy: where the segments do not
/// prove it, a filter may have hidden the one that seems to lead to it.
const SAMPLED_WITHIN: Duration = Duration::from_millis(250);

/// A sample may carry a time so much before the moment at which it saw its socket: reading the table takes a while,
/// and on a busy machine the sampler waits its turn in between. 21 ms were seen.
const STAMPED_EARLY: Duration = Duration::from_millis(200);

/// An inference at one end from one segment, by the segment's number in the capture.
type Inference = (usize, usize, TcpState);

/// Segments and states of a connection in one order. `watched` is when the first and the last sample of any socket
/// were taken.
pub(super) fn merge(
    ends: [SocketAddr; 2],
    segments: &[(usize, &Segment)],
    samples: &[&Sample],
    watched: Option<(Duration, Duration)>,
) -> Vec<Entry> {
    let (proofs, mut refuted) = (Proofs::of(ends, segments), HashSet::new());
    loop {
        let mut walk = Walk::new(ends, &proofs, &refuted);
        walk.all(segments, samples);
        let refutation = walk.refutation(watched);
        let mut entries = walk.entries;
        // Each turn refutes one more inference, and there are finitely many.
        if refutation.is_none_or(|inference| !refuted.insert(inference)) {
            entries.sort_by_key(|entry| entry.time);
            return entries;
        }
    }
}

/// One pass over segments and samples in the order of their times.
struct Walk<'a> {
    ends: [SocketAddr; 2],
    proofs: &'a Proofs,
    refuted: &'a HashSet<Inference>,
    known: [End; 2],
    spaces: SequenceSpaces,
    entries: Vec<Entry>,
    /// The index in `entries` from which on a sample may confirm an inference, for each end.
    unconfirmed: [usize; 2],
    /// Samples that nothing confirms or corrects yet, for each end.
    waiting: [VecDeque<Sample>; 2],
}

impl<'a> Walk<'a> {
    fn new(ends: [SocketAddr; 2], proofs: &'a Proofs, refuted: &'a HashSet<Inference>) -> Self {
        Self {
            ends,
            proofs,
            refuted,
            known: [End::default(), End::default()],
            spaces: SequenceSpaces::default(),
            entries: Vec::new(),
            unconfirmed: [0, 0],
            waiting: [VecDeque::new(), VecDeque::new()],
        }
    }

    fn all(&mut self, segments: &[(usize, &Segment)], samples: &[&Sample]) {
        let mut samples = samples.iter().peekable();
        for (number, segment) in segments {
            while let Some(sample) = samples.next_if(|sample| sample.time < segment.time) {
                self.wait(sample);
            }
            self.settle(segment.time.saturating_sub(STAMPED_EARLY));
            self.segment(*number, segment);
        }
        samples.for_each(|sample| self.wait(sample));
        self.settle(Duration::MAX);
    }

    fn index(&self, address: SocketAddr) -> usize {
        index(self.ends, address)
    }

    fn segment(&mut self, number: usize, segment: &Segment) {
        let (from, to) = (self.index(segment.from), self.index(segment.to));
        let place = self.spaces.place(segment);
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
        if self.known.get(from).is_some_and(|end| end.goes_on(segment)) {
            self.retract(from, Closed);
        }
        let sent = self.known.get_mut(from).map(|end| end.sends(segment)).unwrap_or_default();
        self.infer(number, from, segment.time, sent);
        let received = self.known.get_mut(to).map(|end| end.receives(segment)).unwrap_or_default();
        self.infer(number, to, segment.time, received);
        self.settle(segment.time.saturating_sub(STAMPED_EARLY));
    }

    fn infer(&mut self, number: usize, end: usize, time: Duration, states: Vec<TcpState>) {
        if states.first() == Some(&FinWait1) {
            self.retract(end, CloseWait);
        }
        for state in states {
            if self.refuted.contains(&(number, end, state)) {
                if let (CloseWait | Closing | TimeWait, Some(known)) = (state, self.known.get_mut(end)) {
                    known.forget_remote_fin();
                }
                return;
            }
            self.enter(time, StateChange { end, state, basis: Basis::Inferred, follows: true });
        }
    }

    /// Takes back the last inference at an end, if it was this one: what the end did next shows that it had not
    /// received the segment yet, or never did.
    fn retract(&mut self, end: usize, state: TcpState) {
        let first = self.unconfirmed.get(end).copied().unwrap_or_default();
        let states = self.entries.iter().enumerate().filter_map(|(index, entry)| match entry.what {
            What::State(change) if change.end == end => Some((index, change.state)),
            _ => None,
        });
        let mut last: Vec<(usize, TcpState)> = states.collect();
        if let Some((index, _)) = last.pop_if(|(index, last)| *index >= first && *last == state) {
            self.entries.remove(index);
            for unconfirmed in &mut self.unconfirmed {
                *unconfirmed -= usize::from(*unconfirmed > index);
            }
            if let Some(known) = self.known.get_mut(end) {
                known.enter(last.last().map_or(Closed, |(_, state)| *state));
            }
        }
    }

    fn enter(&mut self, time: Duration, change: StateChange) {
        if let Some(known) = self.known.get_mut(change.end) {
            known.enter(change.state);
        }
        self.entries.push(Entry { time, what: What::State(change) });
    }

    fn wait(&mut self, sample: &Sample) {
        let end = self.index(sample.local);
        // A request that has no socket yet is in SYN-RECEIVED for the rest of the world.
        let state = if sample.state == NewSynReceived { SynReceived } else { sample.state };
        if let Some(waiting) = self.waiting.get_mut(end) {
            waiting.push_back(Sample { state, ..sample.clone() });
        }
    }

    /// Lets the samples that wait confirm what was inferred; one taken before `expired` corrects the state instead.
    fn settle(&mut self, expired: Duration) {
        for end in 0..self.ends.len() {
            while let Some(sample) = self.waiting.get_mut(end).and_then(VecDeque::pop_front) {
                if self.confirm(end, sample.state) {
                    continue;
                }
                if sample.time >= expired && expired != Duration::MAX {
                    if let Some(waiting) = self.waiting.get_mut(end) {
                        waiting.push_front(sample);
                    }
                    break;
                }
                if !self.seen_in_passing(end, &sample) {
                    self.correct(end, &sample);
                }
            }
        }
    }

    /// Whether the sample caught the end on its way to the state inferred last: one segment may carry it through two,
    /// and a table that takes its time to read shows what was a moment ago, however long ago where the segments prove the
    /// state inferred last. The sample then stands before that state.
    fn seen_in_passing(&mut self, end: usize, sample: &Sample) -> bool {
        let first = self.unconfirmed.get(end).copied().unwrap_or_default();
        let last =
            self.entries.iter().enumerate().skip(first).rev().find_map(|(index, entry)| match entry.what {
                What::State(change) if change.end == end => Some((index, entry.time, change.state)),
                _ => None,
            });
        let Some((index, time, state)) = last else { return false };
        let late = sample.time.saturating_sub(time) > STAMPED_EARLY && !self.is_proven(index, end);
        if late || is_over(sample.state, state) || !may_become(sample.state, state) {
            return false;
        }
        let change = StateChange { end, state: sample.state, basis: Basis::Sampled, follows: true };
        self.entries.insert(index, Entry { time, what: What::State(change) });
        for unconfirmed in &mut self.unconfirmed {
            *unconfirmed += usize::from(*unconfirmed > index);
        }
        self.confirmed_up_to(end, index);
        true
    }

    /// Whether a state that was inferred since the last sample, or is the present one, is this.
    fn confirm(&mut self, end: usize, state: TcpState) -> bool {
        let first = self.unconfirmed.get(end).copied().unwrap_or_default();
        for (index, entry) in self.entries.iter_mut().enumerate().skip(first).rev() {
            let What::State(change) = &mut entry.what else { continue };
            if change.end == end && change.state == state {
                change.basis = Basis::Sampled;
                self.confirmed_up_to(end, index);
                return true;
            }
        }
        self.known.get(end).is_some_and(|known| known.state() == state)
    }

    fn correct(&mut self, end: usize, sample: &Sample) {
        let last =
            self.entries.iter().rfind(|entry| matches!(entry.what, What::State(change) if change.end == end));
        let time = last.map_or(sample.time, |last| last.time.max(sample.time));
        let change = StateChange { end, state: sample.state, basis: Basis::Sampled, follows: false };
        self.enter(time, change);
        self.confirmed_up_to(end, self.entries.len() - 1);
    }

    fn confirmed_up_to(&mut self, end: usize, index: usize) {
        if let Some(unconfirmed) = self.unconfirmed.get_mut(end) {
            *unconfirmed = index + 1;
        }
    }

    /// Whether the segments prove the state that was inferred at this index of `entries`.
    fn is_proven(&self, index: usize, end: usize) -> bool {
        let number = self.entries.iter().take(index).rev().find_map(|entry| match entry.what {
            What::Segment(passed) => Some(passed.number),
            _ => None,
        });
        number.is_some_and(|number| self.proofs.has(number, end))
    }

    /// The first inference that the kernel's table contradicts and the segments do not prove.
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
            if self.proofs.has(number, change.end) {
                continue;
            }
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

/// Whether a connection in the first state is over, and the second is none that a new one begins with.
fn is_over(state: TcpState, later: TcpState) -> bool {
    match state {
        Closed => !matches!(later, SynSent | SynReceived),
        TimeWait => !matches!(later, Closed | SynSent | SynReceived),
        _ => false,
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
