//! What a load run tells.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::text::Line;

/// A line of a load run.
#[derive(Clone, Copy, Debug)]
pub enum LoadEvent {
    /// The connections are open, and the measured time begins.
    Running {
        /// What is measured: `rr`, `bulk`, `connect`.
        mode: &'static str,
        remote: SocketAddr,
        /// How many connections are asked for.
        connections: usize,
        size: usize,
        /// Requests under way on each connection.
        depth: usize,
        /// Requests that come to be due a second, of all threads.
        rate: Option<usize>,
        threads: usize,
    },
    /// What was answered in the measured time.
    Result {
        requests: u64,
        /// Requests that were due, where they came at a rate.
        due: Option<u64>,
        /// Connections that were answered, where they are to stay: the others waited all the time.
        served: Option<usize>,
        bytes: u64,
        elapsed: Duration,
    },
    /// How long the answers took.
    Latency {
        /// Half of them took no longer; the next ones say so of 90, 99 and 99.9 of a hundred.
        p50: Duration,
        p90: Duration,
        p99: Duration,
        p999: Duration,
        max: Duration,
    },
    /// What a process spent of the processor's time.
    Cpu {
        of: &'static str,
        pid: u32,
        user: Duration,
        system: Duration,
        /// Requests it was spent on.
        requests: u64,
        bytes: u64,
    },
    /// How connections that are to be held are spread.
    Spread {
        connections: usize,
        source: IpAddr,
        ports: usize,
        destinations: usize,
        /// The most connections that share a source port.
        owners: usize,
        processes: usize,
    },
    /// The connections that are held.
    Held {
        connections: usize,
        /// How many of them have answered as they should, where that was asked for.
        verified: Option<usize>,
        elapsed: Duration,
    },
    /// Memory that held connections have added.
    Memory {
        /// Whose: `kernel`, `kernel-buffers`, `listeners`, `holders`.
        of: &'static str,
        bytes: u64,
        connections: usize,
    },
    /// Connections that came to nothing.
    Failures(Failures),
}

/// Connections that came to nothing, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    pub refused: u64,
    /// The remote side sent RST.
    pub reset: u64,
    /// The remote side sent FIN.
    pub closed: u64,
    /// The handshake or an answer took too long.
    pub timed_out: u64,
    /// The answer was not what had been sent.
    pub wrong: u64,
    /// A call on the socket failed otherwise.
    pub other: u64,
}

impl Failures {
    pub fn sum(&self) -> u64 {
        self.refused + self.reset + self.closed + self.timed_out + self.wrong + self.other
    }
}

impl std::ops::AddAssign for Failures {
    fn add_assign(&mut self, other: Self) {
        self.refused += other.refused;
        self.reset += other.reset;
        self.closed += other.closed;
        self.timed_out += other.timed_out;
        self.wrong += other.wrong;
        self.other += other.other;
    }
}

impl LoadEvent {
    pub(super) fn fields<'l>(&self, line: &'l mut Line) -> &'l mut Line {
        match *self {
            Self::Running { mode, remote, connections, size, depth, rate, threads } => line
                .begin("running")
                .field("mode", mode)
                .field("remote", remote)
                .number("connections", connections as u64)
                .number("size", size as u64)
                .number("depth", depth as u64)
                .number_if_any("rate", rate.map(|rate| rate as u64))
                .number("threads", threads as u64),
            Self::Result { requests, due, served, bytes, elapsed } => line
                .begin("result")
                .number("requests", requests)
                .number_if_any("due", due)
                .number_if_any("served", served.map(|served| served as u64))
                .number("bytes", bytes)
                .duration("elapsed", elapsed)
                .number("requests-per-second", per_second(requests, elapsed))
                .number("bytes-per-second", per_second(bytes, elapsed)),
            Self::Latency { p50, p90, p99, p999, max } => line
                .begin("latency")
                .nanoseconds("p50", p50)
                .nanoseconds("p90", p90)
                .nanoseconds("p99", p99)
                .nanoseconds("p99.9", p999)
                .nanoseconds("max", max),
            Self::Cpu { of, pid, user, system, requests, bytes } => line
                .begin("cpu")
                .field("of", of)
                .number("pid", pid.into())
                .duration("user", user)
                .duration("system", system)
                .nanoseconds("per-request", each(user + system, requests))
                .nanoseconds("per-KiB", each((user + system).saturating_mul(1024), bytes)),
            Self::Spread { connections, source, ports, destinations, owners, processes } => line
                .begin("spread")
                .number("connections", connections as u64)
                .field("source", source)
                .number("source-ports", ports as u64)
                .number("destinations", destinations as u64)
                .number("owners-per-port", owners as u64)
                .number("processes", processes as u64),
            Self::Held { connections, verified, elapsed } => line
                .begin("held")
                .number("connections", connections as u64)
                .number_if_any("verified", verified.map(|verified| verified as u64))
                .duration("elapsed", elapsed)
                .number("connections-per-second", per_second(connections as u64, elapsed)),
            Self::Memory { of, bytes, connections } => line
                .begin("memory")
                .field("of", of)
                .number("bytes", bytes)
                .number("per-connection", bytes / connections.max(1) as u64),
            Self::Failures(Failures { refused, reset, closed, timed_out, wrong, other }) => line
                .begin("failures")
                .number("refused", refused)
                .number("reset", reset)
                .number("closed", closed)
                .number("timed-out", timed_out)
                .number("wrong", wrong)
                .number("other", other),
        }
    }
}

fn per_second(count: u64, elapsed: Duration) -> u64 {
    match elapsed.as_secs_f64() {
        0.0 => 0,
        seconds => (count as f64 / seconds).round() as u64,
    }
}

/// The share of each, nothing where there is none.
fn each(whole: Duration, count: u64) -> Duration {
    match count {
        0 => Duration::ZERO,
        _ => whole.div_f64(count as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Format;

    fn text(load: LoadEvent) -> String {
        let mut line = Line::unbegun(Format::Text);
        load.fields(&mut line);
        line.finish()
    }

    #[test]
    fn what_a_kib_costs_is_told_of_less_than_one_too() {
        let (user, system) = (Duration::from_micros(1), Duration::from_micros(3));
        let cpu = text(LoadEvent::Cpu { of: "self", pid: 1, user, system, requests: 1, bytes: 64 });
        assert!(cpu.contains("per-KiB=64us"), "{cpu}");
    }

    #[test]
    fn what_was_spent_and_done_is_told_by_the_request_the_kib_and_the_second() {
        let (user, system) = (Duration::from_millis(30), Duration::from_millis(10));
        let cpu = text(LoadEvent::Cpu { of: "self", pid: 7, user, system, requests: 20, bytes: 40 * 1024 });
        assert!(cpu.ends_with(" per-request=2ms per-KiB=1ms"), "{cpu}");
        let nothing = text(LoadEvent::Cpu { of: "self", pid: 7, user, system, requests: 0, bytes: 0 });
        assert!(nothing.ends_with(" per-request=0ns per-KiB=0ns"), "{nothing}");
        let elapsed = Duration::from_millis(500);
        let result = text(LoadEvent::Result { requests: 20, due: None, served: None, bytes: 1000, elapsed });
        assert!(result.ends_with(" requests-per-second=40 bytes-per-second=2000"), "{result}");
        let memory = text(LoadEvent::Memory { of: "kernel", bytes: 1000, connections: 10 });
        assert!(memory.ends_with(" per-connection=100"), "{memory}");
    }
}
