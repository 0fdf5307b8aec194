//! What a heartbeat tells.

use std::time::Duration;

use crate::text::Line;

/// A line of a heartbeat.
#[derive(Clone, Copy, Debug)]
pub enum HeartbeatEvent<'a> {
    Sent {
        /// Which one, counted from 1.
        sequence: u64,
        bytes: usize,
    },
    Answer {
        sequence: u64,
        bytes: usize,
        /// From the send to the last byte.
        rtt: Duration,
        text: &'a [u8],
    },
    Summary {
        sent: u64,
        answered: u64,
        /// How long that took, where there was an answer.
        rtt: Option<RoundTrips>,
    },
}

/// The spread of the round-trip times measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundTrips {
    pub min: Duration,
    pub mean: Duration,
    pub max: Duration,
}

impl HeartbeatEvent<'_> {
    pub(super) fn fields<'l>(&self, line: &'l mut Line) -> &'l mut Line {
        match *self {
            Self::Sent { sequence, bytes } => {
                line.begin("heartbeat").number("sequence", sequence).number("bytes", bytes as u64)
            }
            Self::Answer { sequence, bytes, rtt, text } => line
                .begin("answer")
                .number("sequence", sequence)
                .number("bytes", bytes as u64)
                .duration("rtt", rtt)
                .text("text", text),
            Self::Summary { sent, answered, rtt } => {
                line.begin("summary").number("sent", sent).number("answered", answered);
                match rtt {
                    Some(RoundTrips { min, mean, max }) => {
                        line.duration("rtt-min", min).duration("rtt-mean", mean).duration("rtt-max", max)
                    }
                    None => line,
                }
            }
        }
    }
}
