//! One connection: its ends, and what happened between them.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::observed::ProgramCall;
use crate::net::TcpState;
use crate::wire::segment::Flags;

/// A four-tuple and all that happened on it.
#[derive(Clone, Debug)]
pub struct ConnectionHistory {
    /// Both endpoints, the one that opened actively first. Equal where a socket connected to itself.
    pub ends: [SocketAddr; 2],
    /// Who has each end.
    pub owners: [Vec<Owner>; 2],
    /// In the order in which it happened; a state stands after the segment it follows from.
    pub entries: Vec<Entry>,
    /// Whether there is nothing but calls: no segment, no socket. Equal ends are then one address without a remote.
    pub unopened: bool,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When.
    pub time: Duration,
    /// What.
    pub what: What,
}

/// What can happen on a connection.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the variants hold what their types say")]
pub enum What {
    Segment(Passed),
    State(StateChange),
    /// `end` is 0 or 1.
    Call {
        end: usize,
        program: String,
        call: ProgramCall,
    },
}

/// A segment that passed between the ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Its number in the capture, from 1.
    pub number: usize,
    /// The end that sent it, 0 or 1.
    pub from: usize,
    /// Its flags.
    pub flags: Flags,
    /// Relative to its sender's SYN.
    pub sequence: u32,
    /// Relative to the other end's SYN; `None` without ACK.
    pub acknowledgement: Option<u32>,
    /// Bytes of data.
    pub length: usize,
    /// Whether all of it had been sent before.
    pub retransmission: bool,
}

/// A state that an end went to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// The end, 0 or 1.
    pub end: usize,
    /// The state.
    pub state: TcpState,
    /// How it is known.
    pub basis: Basis,
    /// Whether it stands at the segment before it, from which it follows; otherwise at the time it was sampled.
    pub follows: bool,
}

/// How a state is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The kernel's socket table showed it.
    Sampled,
    /// It follows from the segments, and was not sampled.
    Inferred,
}

impl ConnectionHistory {
    /// A connection whose owners are not known.
    pub fn new(ends: [SocketAddr; 2], entries: Vec<Entry>) -> Self {
        Self { ends, owners: [Vec::new(), Vec::new()], entries, unopened: false }
    }

    /// Whether one socket is connected to itself.
    pub fn is_to_itself(&self) -> bool {
        let [one, other] = self.ends;
        one == other && !self.unopened
    }

    /// Whether these are the two ends, in either order.
    pub fn is_between(&self, one: SocketAddr, other: SocketAddr) -> bool {
        self.ends == [one, other] || self.ends == [other, one]
    }

    /// Which end has this address.
    pub fn end(&self, address: SocketAddr) -> Option<usize> {
        self.ends.iter().position(|&end| end == address)
    }

    /// When its first entry took place.
    pub fn begins(&self) -> Option<Duration> {
        self.entries.first().map(|entry| entry.time)
    }

    /// How many segments it has.
    pub fn segments(&self) -> usize {
        self.entries.iter().filter(|entry| matches!(entry.what, What::Segment(_))).count()
    }

    /// The states of one end, in their order.
    pub fn states(&self, end: usize) -> impl Iterator<Item = StateChange> {
        self.entries.iter().filter_map(move |entry| match entry.what {
            What::State(change) if change.end == end => Some(change),
            _ => None,
        })
    }

    /// Whether an end is in any state but CLOSED at this time.
    pub fn lives_at(&self, time: Duration) -> bool {
        [0, 1].into_iter().any(|end| {
            let before = self.entries.iter().take_while(|entry| entry.time <= time);
            let states = before.filter_map(|entry| match entry.what {
                What::State(change) if change.end == end => Some(change.state),
                _ => None,
            });
            states.last().is_some_and(|state| state != TcpState::Closed)
        })
    }

    /// Adds an entry at its time, after all that took place before it.
    pub fn insert(&mut self, entry: Entry) {
        let at = self.entries.partition_point(|other| other.time <= entry.time);
        self.entries.insert(at, entry);
    }
}

/// A program that had an end open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Its name in the experiment, as its own events tell.
    Program(String),
    /// Its name and number, as the kernel's table and /proc tell.
    Process(String, u32),
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program(name) => f.write_str(name),
            Self::Process(name, pid) => write!(f, "{name} (pid {pid})"),
        }
    }
}
