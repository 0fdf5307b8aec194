//! What happened, connection by connection, in one order: segments, states of both ends, calls.
//!
//! The kernel's socket table is the truth about states, and it is sampled. A state that was not sampled, for it was short
//! or the sampler had to wait for the processor, follows from the segments by the rules of RFC 9293 §3.10 and is marked
//! [`Basis::Inferred`]. A segment proves the state of the end that sent it, and that of the end that received it once that
//! one acknowledges it; where the table contradicts what is not proven so (a filter hid a segment from its socket, say), the
//! table stands. Without segments nothing is inferred.

mod connection;
mod end;
mod observed;
mod owner;
mod proofs;
mod states;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::net::TcpState;
use crate::wire::segment::Segment;

pub use connection::{Basis, ConnectionHistory, Entry, Owner, Passed, StateChange, What};
pub use observed::{ProgramCall, ProgramEvent, Sample};

/// Everything that is known, as connections.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// In the order of their first entries.
    pub connections: Vec<ConnectionHistory>,
}

impl Timeline {
    /// Merges what the programs, the kernel's table and the wire said; each list may be empty, in any order.
    pub fn merge(events: &[ProgramEvent], samples: &[Sample], segments: &[Segment]) -> Self {
        let mut sources: HashMap<[SocketAddr; 2], Sources> = HashMap::new();
        for (number, segment) in segments.iter().enumerate() {
            sources.entry(pair(segment.from, segment.to)).or_default().segments.push((number + 1, segment));
        }
        for sample in samples.iter().filter(|sample| sample.remote.port() != 0) {
            sources.entry(pair(sample.local, sample.remote)).or_default().samples.push(sample);
        }
        let listening = listening(events, samples);
        let sampled = samples.iter().map(|sample| sample.time);
        let watched = sampled.clone().min().zip(sampled.max());
        let mut connections: Vec<ConnectionHistory> = sources
            .into_iter()
            .map(|(pair, sources)| sources.connection(pair, &listening, watched))
            .collect();
        connections.sort_by_key(|connection| (connection.begins(), connection.ends));
        for event in events {
            place(&mut connections, event);
        }
        connections.sort_by_key(|connection| (connection.begins(), connection.ends));
        owner::find(&mut connections, events, samples);
        Self { connections }
    }

    /// When the first entry took place.
    pub fn begins(&self) -> Option<Duration> {
        self.connections.iter().filter_map(ConnectionHistory::begins).min()
    }

    /// How many segments all connections have.
    pub fn segments(&self) -> usize {
        self.connections.iter().map(ConnectionHistory::segments).sum()
    }
}

/// Both ends in an order that does not depend on who asks.
fn pair(one: SocketAddr, other: SocketAddr) -> [SocketAddr; 2] {
    if one <= other { [one, other] } else { [other, one] }
}

/// The addresses that somebody listened on.
fn listening(events: &[ProgramEvent], samples: &[Sample]) -> Vec<SocketAddr> {
    let sampled = samples.iter().filter(|sample| sample.state == TcpState::Listen).map(|sample| sample.local);
    let said = events.iter().filter(|event| event.event == "listening");
    sampled.chain(said.filter_map(|event| event.local)).collect()
}

/// What is known of one connection.
#[derive(Default)]
struct Sources<'a> {
    segments: Vec<(usize, &'a Segment)>,
    samples: Vec<&'a Sample>,
}

impl Sources<'_> {
    fn connection(
        mut self,
        [one, other]: [SocketAddr; 2],
        listening: &[SocketAddr],
        watched: Option<(Duration, Duration)>,
    ) -> ConnectionHistory {
        self.segments.sort_by_key(|(number, segment)| (segment.time, *number));
        self.samples.sort_by_key(|sample| sample.time);
        let ends = if self.opener(one, other, listening) == one { [one, other] } else { [other, one] };
        ConnectionHistory::new(ends, states::merge(ends, &self.segments, &self.samples, watched))
    }

    /// The end that made the active open, as far as anything tells.
    fn opener(&self, one: SocketAddr, other: SocketAddr, listening: &[SocketAddr]) -> SocketAddr {
        let listens = |end: SocketAddr| {
            let covers = |address: &SocketAddr| {
                address.port() == end.port() && (address.ip() == end.ip() || address.ip().is_unspecified())
            };
            listening.iter().any(covers)
        };
        let syn = self.segments.iter().find(|(_, segment)| segment.flags.syn && !segment.flags.ack);
        let sampled = self.samples.iter().find(|sample| sample.state == TcpState::SynSent);
        let first = self.segments.first().map(|(_, segment)| segment.from);
        syn.map(|(_, segment)| segment.from)
            .or(sampled.map(|sample| sample.local))
            .or(if listens(one) { Some(other) } else { None })
            .or(if listens(other) { Some(one) } else { None })
            .or(first)
            .unwrap_or(one)
    }
}

/// Puts a call where it was made: in its connection, in the one whose address stood in its way, or on its own.
fn place(connections: &mut Vec<ConnectionHistory>, event: &ProgramEvent) {
    let (Some(call), Some(local)) = (&event.call, event.local) else { return };
    let found = match event.remote {
        Some(remote) => connections.iter_mut().find(|connection| connection.is_between(local, remote)),
        // What a bind or listen asked for is held by whoever lives there at that moment.
        None => connections
            .iter_mut()
            .find(|connection| connection.end(local).is_some() && connection.lives_at(event.time)),
    };
    let connection = match found {
        Some(connection) => connection,
        None if call.failure.is_none() => return,
        None => {
            let ends = [local, event.remote.unwrap_or(local)];
            connections.push(ConnectionHistory::new(ends, Vec::new()));
            let Some(connection) = connections.last_mut() else { return };
            connection.unopened = true;
            connection
        }
    };
    let Some(end) = connection.end(local) else { return };
    connection.insert(Entry {
        time: event.time,
        what: What::Call { end, program: event.program.clone(), call: call.clone() },
    });
}

#[cfg(test)]
mod tests;
