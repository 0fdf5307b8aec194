//! Which segments surely reached the state machine of an end.

use std::collections::HashSet;
use std::net::SocketAddr;

use super::end::{after, index, reaches};
use crate::wire::segment::Segment;

/// A segment's number in the capture and an end that has surely taken it in.
#[derive(Debug, Default)]
pub(super) struct Proofs(HashSet<(usize, usize)>);

/// How far an end goes later in the capture.
#[derive(Clone, Copy, Default)]
struct Later {
    /// The furthest acknowledgement that it sends.
    acknowledged: Option<u32>,
    /// The sequence number after the last byte or FIN that it sends.
    sent: Option<u32>,
}

impl Proofs {
    /// A segment is known to who sent it, and to who later acknowledges it. One that occupies no sequence number is known to
    /// who later acknowledges what follows it, or sends beyond what it acknowledges, as only an established end does.
    pub(super) fn of(ends: [SocketAddr; 2], segments: &[(usize, &Segment)]) -> Self {
        let (mut proofs, mut later) = (HashSet::new(), [Later::default(); 2]);
        for (number, segment) in segments.iter().rev() {
            let (from, to) = (index(ends, segment.from), index(ends, segment.to));
            proofs.insert((*number, from));
            if later.get(to).is_some_and(|later| later.shows(segment)) {
                proofs.insert((*number, to));
            }
            if segment.flags.syn && !segment.flags.ack {
                // What comes later belongs to this connection, what came before to another one of the same four-tuple.
                later = [Later::default(); 2];
            } else if let Some(later) = later.get_mut(from) {
                later.take_in(segment);
            }
        }
        Self(proofs)
    }

    /// Whether this end has taken in the segment of this number.
    pub(super) fn has(&self, number: usize, end: usize) -> bool {
        self.0.contains(&(number, end))
    }
}

impl Later {
    fn shows(&self, received: &Segment) -> bool {
        let beyond = received.sequence.wrapping_add(received.span().max(1));
        let next = received.acknowledgement.wrapping_add(1);
        self.acknowledged.is_some_and(|acknowledged| reaches(acknowledged, beyond))
            || received.flags.ack && self.sent.is_some_and(|sent| reaches(sent, next))
    }

    fn take_in(&mut self, sent: &Segment) {
        if sent.flags.rst || sent.flags.syn {
            return;
        }
        if sent.flags.ack {
            advance(&mut self.acknowledged, sent.acknowledgement);
        }
        if sent.span() > 0 {
            advance(&mut self.sent, after(sent));
        }
    }
}

fn advance(furthest: &mut Option<u32>, number: u32) {
    if furthest.is_none_or(|furthest| reaches(number, furthest)) {
        *furthest = Some(number);
    }
}
