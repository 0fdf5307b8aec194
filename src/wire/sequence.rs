//! What a segment means among those before it: relative numbers, and what was sent again.

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::wire::segment::{Flags, Segment};

/// A segment's place in its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentPosition {
    /// Its sequence number, counted from the sender's initial one.
    ///
    /// Where no SYN was captured, the first segment counts as number 1.
    pub sequence: u32,
    /// Its acknowledgement number, counted from the other side's initial one; `None` without ACK.
    pub acknowledgement: Option<u32>,
    /// The other side's initial sequence number, which selective acknowledgements count from too.
    pub acknowledgement_base: u32,
    /// All the sequence numbers that it takes were captured before, from this sender in this connection.
    pub retransmission: bool,
}

/// The sequence number spaces of connections (RFC 9293 §3.4), followed segment by segment as they were captured.
#[derive(Default)]
pub struct SequenceSpaces(HashMap<(SocketAddr, SocketAddr), Direction>);

/// What one side has sent.
struct Direction {
    /// Its initial sequence number.
    base: u32,
    /// The flags of its last SYN.
    syn: Option<Flags>,
    /// One past the last number that was captured, relative.
    end: u32,
    /// What lies before `end` and was not captured, relative, as first and one past the last.
    gaps: Vec<(u32, u32)>,
}

impl SequenceSpaces {
    /// Follows `segment` and tells its place.
    pub fn place(&mut self, segment: &Segment) -> SegmentPosition {
        let (ahead, back) = ((segment.from, segment.to), (segment.to, segment.from));
        self.begin(segment);
        let acknowledgement_base = match self.0.get(&back) {
            Some(direction) => direction.base,
            None => segment.acknowledgement.wrapping_sub(1),
        };
        let (sequence, retransmission) = match self.0.get_mut(&ahead) {
            Some(direction) => (segment.sequence.wrapping_sub(direction.base), direction.takes(segment)),
            None => (1, false),
        };
        let acknowledgement =
            segment.flags.ack.then(|| segment.acknowledgement.wrapping_sub(acknowledgement_base));
        SegmentPosition { sequence, acknowledgement, acknowledgement_base, retransmission }
    }

    /// Begins a direction that is new, or begins again with another SYN.
    fn begin(&mut self, segment: &Segment) {
        let (ahead, back) = ((segment.from, segment.to), (segment.to, segment.from));
        let known = self.0.get(&ahead).map(|direction| direction.base);
        match (segment.flags.syn, known) {
            (true, Some(base)) if base == segment.sequence => {}
            (true, known) => {
                // The four-tuple is used again: what the other side had sent belongs to the past.
                if known.is_some() && !segment.flags.ack {
                    self.0.remove(&back);
                }
                self.0.insert(ahead, Direction::new(segment.sequence, 0));
            }
            // The RST that refuses a connection has a sequence number of no meaning (RFC 9293 §3.10.7.1).
            (false, None) if !segment.flags.rst => {
                self.0.insert(ahead, Direction::new(segment.sequence.wrapping_sub(1), 1));
            }
            (false, _) => {}
        }
    }
}

impl Direction {
    fn new(base: u32, end: u32) -> Self {
        Self { base, syn: None, end, gaps: Vec::new() }
    }

    /// Takes note of what the segment carries; whether all of it was captured before.
    fn takes(&mut self, segment: &Segment) -> bool {
        let again = self.takes_again(segment);
        if segment.flags.syn {
            // SYN after SYN is a simultaneous open's when the second acknowledges, not the first once more.
            return self.syn.replace(segment.flags) == Some(segment.flags) && again;
        }
        again
    }

    fn takes_again(&mut self, segment: &Segment) -> bool {
        let span = segment.span();
        if span == 0 {
            return false;
        }
        let first = segment.sequence.wrapping_sub(self.base);
        let end = first.wrapping_add(span);
        if !precedes(first, self.end) {
            if first != self.end {
                self.gaps.push((self.end, first));
            }
            self.end = end;
            return false;
        }
        let fills = self.fill(first, end);
        let beyond = precedes(self.end, end);
        if beyond {
            self.end = end;
        }
        !fills && !beyond
    }

    /// Takes the numbers from `first` to `end` out of the gaps; whether any was in one.
    fn fill(&mut self, first: u32, end: u32) -> bool {
        let before = std::mem::take(&mut self.gaps);
        let mut fills = false;
        for gap in before {
            if !precedes(first, gap.1) || !precedes(gap.0, end) {
                self.gaps.push(gap);
                continue;
            }
            fills = true;
            self.gaps
                .extend([(gap.0, first), (end, gap.1)].into_iter().filter(|rest| precedes(rest.0, rest.1)));
        }
        fills
    }
}

/// Whether `a` comes before `b` in the circle of sequence numbers (RFC 9293 §3.4).
fn precedes(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SYN: Flags = Flags { syn: true, fin: false, rst: false, psh: false, urg: false, ack: false };
    const ACK: Flags = Flags { syn: false, ack: true, ..SYN };
    const SYN_ACK: Flags = Flags { ack: true, ..SYN };
    const RST: Flags = Flags { rst: true, ..ACK };

    /// Sender and receiver by their ports, flags, absolute numbers, bytes of data.
    type Sent = (u16, u16, Flags, u32, u32, usize);

    /// The places of segments as `seq ack`, and `again` for a retransmission.
    fn places(segments: &[Sent]) -> Vec<String> {
        let mut spaces = SequenceSpaces::default();
        let place = |&(from, to, flags, sequence, acknowledgement, length): &Sent| {
            let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
            let place = spaces.place(&Segment {
                time: Duration::ZERO,
                from: at(from),
                to: at(to),
                flags,
                sequence,
                acknowledgement,
                window: 0,
                length,
                options: Vec::new(),
            });
            let acknowledgement = place.acknowledgement.map_or("-".to_owned(), |number| number.to_string());
            let again = if place.retransmission { " again" } else { "" };
            format!("{} {acknowledgement}{again}", place.sequence)
        };
        segments.iter().map(place).collect()
    }

    #[test]
    fn numbers_count_from_the_initial_one_of_the_side_that_they_number_even_past_the_highest() {
        let shown = places(&[
            (1, 2, SYN, u32::MAX, 0, 0),
            (2, 1, SYN_ACK, 500, 0, 0),
            (1, 2, ACK, 0, 501, 10),
            (2, 1, ACK, 501, 10, 0),
        ]);
        assert_eq!(shown, ["0 -", "0 1", "1 1", "1 11"]);
    }

    #[test]
    fn without_a_syn_the_first_segment_is_number_1() {
        let shown = places(&[(1, 2, ACK, 700, 900, 5), (2, 1, ACK, 900, 705, 0), (1, 2, ACK, 705, 900, 5)]);
        assert_eq!(shown, ["1 1", "1 6", "6 1"]);
    }

    #[test]
    fn what_was_captured_before_is_a_retransmission_and_what_fills_a_gap_is_none() {
        let shown = places(&[
            (1, 2, SYN, 0, 0, 0),
            (1, 2, SYN, 0, 0, 0),
            (1, 2, ACK, 1, 1, 10),
            (1, 2, ACK, 1, 1, 10),
            (1, 2, ACK, 21, 1, 10),
            (1, 2, ACK, 11, 1, 10),
            (1, 2, ACK, 11, 1, 10),
            (1, 2, ACK, 26, 1, 10),
            (1, 2, ACK, 36, 1, 0),
            (1, 2, ACK, 35, 1, 0),
        ]);
        let again: Vec<bool> = shown.iter().map(|place| place.ends_with("again")).collect();
        assert_eq!(again, [false, true, false, true, false, false, true, false, false, false]);
    }

    #[test]
    fn a_gap_is_filled_piece_by_piece() {
        let mut direction = Direction::new(0, 0);
        direction.gaps = vec![(10, 40)];
        direction.end = 50;
        assert!(direction.fill(20, 30));
        direction.gaps.sort_unstable();
        assert_eq!(direction.gaps, [(10, 20), (30, 40)]);
        assert!(direction.fill(5, 20));
        assert!(!direction.fill(0, 25));
        assert!(direction.fill(30, 50));
        assert_eq!(direction.gaps, []);
    }

    #[test]
    fn what_ends_where_a_gap_begins_and_what_begins_where_it_ends_fill_nothing() {
        let mut direction = Direction::new(0, 0);
        direction.gaps = vec![(10, 40)];
        assert!(!direction.fill(0, 10) && !direction.fill(40, 50));
        assert_eq!(direction.gaps, [(10, 40)]);
    }

    #[test]
    fn another_answer_to_a_syn_does_not_make_that_syn_a_new_one() {
        // With SYN cookies each answer has an initial number of its own.
        let shown = places(&[
            (1, 2, SYN, 100, 0, 0),
            (2, 1, SYN_ACK, 900, 101, 0),
            (1, 2, SYN, 100, 0, 0),
            (2, 1, SYN_ACK, 950, 101, 0),
            (1, 2, SYN, 100, 0, 0),
        ]);
        assert_eq!(shown, ["0 -", "0 1", "0 - again", "0 1", "0 - again"]);
    }

    #[test]
    fn the_syn_that_acknowledges_in_a_simultaneous_open_is_no_retransmission() {
        let shown = places(&[
            (1, 2, SYN, 100, 0, 0),
            (2, 1, SYN, 200, 0, 0),
            (1, 2, SYN_ACK, 100, 201, 0),
            (2, 1, SYN_ACK, 200, 101, 0),
            (2, 1, SYN_ACK, 200, 101, 0),
        ]);
        assert_eq!(shown, ["0 -", "0 -", "0 1", "0 1", "0 1 again"]);
    }

    #[test]
    fn a_connection_to_itself_has_one_sender() {
        let shown = places(&[
            (1, 1, SYN, 100, 0, 0),
            (1, 1, SYN_ACK, 100, 101, 0),
            (1, 1, ACK, 101, 101, 0),
            (1, 1, ACK, 101, 101, 5),
        ]);
        assert_eq!(shown, ["0 -", "0 1", "1 1", "1 1"]);
    }

    #[test]
    fn a_four_tuple_used_again_counts_anew() {
        let shown = places(&[
            (1, 2, SYN, 100, 0, 0),
            (2, 1, SYN_ACK, 900, 101, 0),
            (1, 2, SYN, 5000, 0, 0),
            (2, 1, SYN_ACK, 7000, 5001, 0),
            (1, 2, ACK, 5001, 7001, 3),
        ]);
        assert_eq!(shown, ["0 -", "0 1", "0 -", "0 1", "1 1"]);
    }

    #[test]
    fn the_reset_that_refuses_a_connection_numbers_nothing() {
        let shown = places(&[
            (1, 2, SYN, 100, 0, 0),
            (2, 1, RST, 0, 101, 0),
            (1, 2, SYN, 300, 0, 0),
            (2, 1, SYN_ACK, 900, 301, 0),
        ]);
        assert_eq!(shown, ["0 -", "1 1", "0 -", "0 1"]);
    }

    #[test]
    fn without_a_syn_the_first_segment_after_a_reset_that_refused_is_number_1() {
        let shown = places(&[(2, 1, RST, 0, 101, 0), (2, 1, ACK, 700, 101, 5), (1, 2, ACK, 101, 705, 0)]);
        assert_eq!(shown, ["1 1", "1 1", "1 6"]);
    }
}
