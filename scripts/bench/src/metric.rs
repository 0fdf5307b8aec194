//! What is measured, in which unit.

use std::collections::BTreeMap;

use serde::Serialize;

/// A quantity. Times are in nanoseconds, memory is in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    CpuPerRequest,
    CpuPerKib,
    RequestsPerSecond,
    LatencyMedian,
    PeakMemory,
    MemoryPerConnection,
    CallsPerRequest,
    StartToEcho,
    RequestsPerCpuSecond,
    LatencyP99,
    MemoryPerClient,
    ServedClients,
}

/// What one server did in one round.
pub type Sample = BTreeMap<Metric, f64>;

impl Metric {
    pub fn name(self) -> &'static str {
        match self {
            Self::CpuPerRequest => "server CPU time per request",
            Self::CpuPerKib => "server CPU time per KiB",
            Self::RequestsPerSecond => "requests per second",
            Self::LatencyMedian => "latency, p50",
            Self::PeakMemory => "peak resident memory",
            Self::MemoryPerConnection => "user memory per idle connection",
            Self::CallsPerRequest => "system calls per request",
            Self::StartToEcho => "exec to first echo",
            Self::RequestsPerCpuSecond => "requests per CPU second of the server",
            Self::LatencyP99 => "latency, p99",
            Self::MemoryPerClient => "user memory per client served",
            Self::ServedClients => "clients served",
        }
    }

    /// Whether more of it is better.
    pub fn is_rate(self) -> bool {
        matches!(self, Self::RequestsPerSecond | Self::RequestsPerCpuSecond | Self::ServedClients)
    }

    /// What its files are called.
    pub fn key(self) -> &'static str {
        match self {
            Self::CpuPerRequest => "cpu-per-request",
            Self::CpuPerKib => "cpu-per-kib",
            Self::RequestsPerSecond => "requests-per-second",
            Self::LatencyMedian => "latency",
            Self::PeakMemory => "peak-memory",
            Self::MemoryPerConnection => "memory-per-connection",
            Self::CallsPerRequest => "calls-per-request",
            Self::StartToEcho => "start",
            Self::RequestsPerCpuSecond => "requests-per-cpu-second",
            Self::LatencyP99 => "latency-p99",
            Self::MemoryPerClient => "memory-per-client",
            Self::ServedClients => "served",
        }
    }

    /// `value` to three digits with its unit.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::CpuPerRequest
            | Self::CpuPerKib
            | Self::LatencyMedian
            | Self::LatencyP99
            | Self::StartToEcho => scaled(value, &[(1e9, " s"), (1e6, " ms"), (1e3, " µs"), (1.0, " ns")]),
            Self::MemoryPerClient if value == 0.0 => "less than a page".to_owned(),
            Self::PeakMemory | Self::MemoryPerConnection | Self::MemoryPerClient => {
                scaled(value, &[(1e6, " MB"), (1e3, " kB"), (1.0, " B")])
            }
            Self::RequestsPerSecond | Self::RequestsPerCpuSecond => {
                scaled(value, &[(1e6, " M"), (1e3, " k"), (1.0, "")])
            }
            Self::CallsPerRequest => format!("{value:.2}"),
            Self::ServedClients => format!("{value:.0}"),
        }
    }
}

/// In the largest unit of which there is one, or else in the last.
fn scaled(value: f64, units: &[(f64, &str)]) -> String {
    let unit = units.iter().find(|(size, _)| value >= *size).or(units.last());
    let &(size, unit) = unit.unwrap_or(&(1.0, ""));
    let value = value / size;
    let decimals = match value {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_three_digits_and_the_unit_that_fits() {
        assert_eq!(Metric::CpuPerRequest.show(3094.0), "3.09 µs");
        assert_eq!(Metric::CpuPerKib.show(85.2), "85.2 ns");
        assert_eq!(Metric::LatencyMedian.show(40_200_000.0), "40.2 ms");
        assert_eq!(Metric::PeakMemory.show(255e6), "255 MB");
        assert_eq!(Metric::MemoryPerConnection.show(112.0), "112 B");
        assert_eq!(Metric::RequestsPerSecond.show(319_968.0), "320 k");
        assert_eq!(Metric::CallsPerRequest.show(2.0199), "2.02");
        assert_eq!(Metric::MemoryPerConnection.show(0.25), "0.25 B");
        assert_eq!(Metric::MemoryPerClient.show(0.0), "less than a page");
    }
}
