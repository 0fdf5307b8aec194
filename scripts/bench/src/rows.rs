//! What is measured, and what the listener is held to: a row each.

use crate::claim::Bound::{AtLeast, AtMost};
use crate::claim::Measure::{Greatest, Least, Median, Paired};
use crate::claim::{Bound, Claim, Measure};
use crate::metric::Metric::{
    self, CallsPerRequest, CpuPerKib, CpuPerRequest, LatencyMedian, LatencyP99, MemoryPerConnection,
    PeakMemory, RequestsPerSecond, StartToEcho,
};
use crate::peers::{
    ASYNCIO, EPOLL, FLOOR, LISTENER, NCAT, Peer, SOCAT, SPINNING, THREADS, TOKIO, TOKIO_CURRENT, TOKIO_LARGE,
    TOKIO_LARGE_CURRENT, TWO_WORKERS, UVLOOP,
};
use crate::rounds::{CLEAN, Plan};
use crate::work::Arrangement::{self, Apart, Free, Together};

/// A row of the benchmark.
pub struct Row {
    /// How it is asked for, and what its files are called.
    pub key: &'static str,
    pub title: &'static str,
    pub kind: Kind,
    pub plan: Plan<'static>,
    /// What is told of it.
    pub metrics: &'static [Metric],
    pub claims: &'static [Claim],
}

/// How servers are measured.
#[derive(Clone, Copy)]
pub enum Kind {
    /// By `fourtuple load` with these arguments.
    Load(&'static str, Arrangement),
    /// By the memory of connections that do nothing.
    Idle,
    /// By the time from exec to the first echo.
    Start,
    /// By the system calls of a request.
    Calls,
    /// By `fourtuple load` with so many clients, and by the memory of so many.
    Model(usize),
}

const fn claim(metric: Metric, measure: Measure, bound: Bound) -> Claim {
    Claim { metric, measure, bound }
}

const fn cpu_time(servers: &'static [Peer], beside: &'static [Peer], rounds: usize) -> Plan<'static> {
    Plan { servers, beside, rounds, wall_clock: false }
}

const fn wall_clock(servers: &'static [Peer]) -> Plan<'static> {
    Plan { servers, beside: &[], rounds: CLEAN, wall_clock: true }
}

/// All rows.
pub const ROWS: &[Row] = &[ECHO, TOGETHER, MANY, LARGE, BULK, CONNECT, IDLE, WORKERS, SPIN, START, CALLS];

const ECHO_CLAIMS: &[Claim] = &[
    claim(CpuPerRequest, Least(FLOOR), AtMost(1.14)),
    claim(CpuPerRequest, Paired(EPOLL), AtMost(1.05)),
    claim(CpuPerRequest, Paired(TOKIO), AtMost(1.05)),
    claim(CpuPerRequest, Paired(TOKIO_CURRENT), AtMost(1.05)),
    claim(CpuPerRequest, Paired(TOKIO_LARGE), AtMost(1.05)),
    claim(CpuPerRequest, Paired(TOKIO_LARGE_CURRENT), AtMost(1.05)),
];

const ECHO: Row = Row {
    key: "echo",
    title: "50 connections, 64 B",
    kind: Kind::Load("rr --connections 50 --size 64B --duration 300ms", Apart),
    plan: cpu_time(
        &[LISTENER, FLOOR, EPOLL, TOKIO, TOKIO_CURRENT, TOKIO_LARGE, TOKIO_LARGE_CURRENT],
        &[THREADS, UVLOOP, ASYNCIO, SOCAT, NCAT],
        30,
    ),
    metrics: &[CpuPerRequest],
    claims: ECHO_CLAIMS,
};

/// The wakeup of another processor costs as much as all the rest of an echo. Without it, differences show.
const TOGETHER: Row = Row {
    key: "together",
    title: "50 connections, 64 B, one processor for server and load",
    kind: Kind::Load("rr --connections 50 --size 64B --duration 300ms", Together),
    ..ECHO
};

const MANY: Row = Row {
    key: "many",
    title: "5,000 connections, 16 KiB",
    kind: Kind::Load("rr --connections 5000 --size 16KiB --duration 400ms", Apart),
    plan: cpu_time(&[LISTENER, EPOLL, TOKIO, TOKIO_CURRENT, TOKIO_LARGE, TOKIO_LARGE_CURRENT], &[UVLOOP], 25),
    // Who serves the same few again and again finds them in the cache, and lets the others wait: the 99th percentile tells.
    metrics: &[CpuPerRequest, PeakMemory, LatencyMedian, LatencyP99],
    claims: &[
        claim(CpuPerRequest, Paired(TOKIO), AtMost(0.62)),
        claim(CpuPerRequest, Paired(TOKIO_CURRENT), AtMost(0.62)),
        claim(CpuPerRequest, Paired(TOKIO_LARGE), AtMost(0.77)),
        claim(CpuPerRequest, Paired(TOKIO_LARGE_CURRENT), AtMost(0.77)),
        claim(PeakMemory, Greatest, AtMost(8e6)),
    ],
};

const LARGE: Row = Row {
    key: "large",
    title: "50 connections, 64 KiB messages",
    kind: Kind::Load("rr --connections 50 --size 64KiB --duration 500ms", Apart),
    plan: wall_clock(&[LISTENER, TOKIO, TOKIO_CURRENT, TOKIO_LARGE]),
    metrics: &[RequestsPerSecond, LatencyMedian],
    claims: &[
        claim(RequestsPerSecond, Paired(TOKIO), AtLeast(20.0)),
        claim(RequestsPerSecond, Paired(TOKIO_CURRENT), AtLeast(20.0)),
        claim(LatencyMedian, Median, AtMost(5e6)),
    ],
};

const BULK: Row = Row {
    key: "bulk",
    title: "one connection, bulk",
    kind: Kind::Load("bulk --connections 1 --size 64KiB --duration 300ms", Apart),
    plan: cpu_time(
        &[LISTENER, EPOLL, TOKIO_LARGE, TOKIO_LARGE_CURRENT, UVLOOP],
        &[THREADS, TOKIO, ASYNCIO],
        25,
    ),
    metrics: &[CpuPerKib],
    claims: &[
        claim(CpuPerKib, Paired(EPOLL), AtMost(1.05)),
        claim(CpuPerKib, Paired(TOKIO_LARGE), AtMost(0.85)),
        claim(CpuPerKib, Paired(TOKIO_LARGE_CURRENT), AtMost(0.85)),
        claim(CpuPerKib, Paired(UVLOOP), AtMost(1.10)),
    ],
};

const CONNECT: Row = Row {
    key: "connect",
    title: "connect, echo, close",
    kind: Kind::Load("connect --connections 50 --size 64B --duration 300ms", Apart),
    plan: cpu_time(
        &[LISTENER, EPOLL, TOKIO, TOKIO_CURRENT, TOKIO_LARGE_CURRENT],
        &[THREADS, UVLOOP, ASYNCIO],
        25,
    ),
    metrics: &[CpuPerRequest],
    claims: &[
        claim(CpuPerRequest, Paired(TOKIO), AtMost(1.0)),
        claim(CpuPerRequest, Paired(TOKIO_CURRENT), AtMost(1.0)),
        claim(CpuPerRequest, Paired(TOKIO_LARGE_CURRENT), AtMost(1.0)),
    ],
};

const IDLE: Row = Row {
    key: "idle",
    title: "10,000 idle connections",
    kind: Kind::Idle,
    plan: cpu_time(&[LISTENER, EPOLL, TOKIO, TOKIO_LARGE, THREADS, UVLOOP, ASYNCIO], &[], 1),
    metrics: &[MemoryPerConnection],
    claims: &[claim(MemoryPerConnection, Greatest, AtMost(128.0))],
};

/// The load has two threads, or it would be what one of them can do that is measured.
const WORKERS: Row = Row {
    key: "workers",
    title: "100 connections, two workers against one",
    kind: Kind::Load("rr --connections 100 --threads 2 --size 64B --duration 500ms", Free),
    plan: wall_clock(&[TWO_WORKERS, LISTENER]),
    metrics: &[RequestsPerSecond],
    claims: &[claim(RequestsPerSecond, Paired(LISTENER), AtLeast(1.25))],
};

const SPIN: Row = Row {
    key: "spin",
    title: "one client at 2,000 requests a second",
    kind: Kind::Load("rr --connections 1 --size 64B --rate 2k/s --duration 500ms", Apart),
    plan: wall_clock(&[SPINNING, LISTENER]),
    metrics: &[LatencyMedian, CpuPerRequest],
    claims: &[claim(LatencyMedian, Paired(LISTENER), AtMost(1.0 / 3.0))],
};

const START: Row = Row {
    key: "start",
    title: "exec to first echo",
    kind: Kind::Start,
    plan: Plan {
        servers: &[LISTENER, EPOLL, TOKIO_CURRENT, TOKIO, THREADS],
        beside: &[UVLOOP, ASYNCIO, SOCAT],
        rounds: 21,
        wall_clock: true,
    },
    metrics: &[StartToEcho],
    claims: &[claim(StartToEcho, Median, AtMost(3e6))],
};

const CALLS: Row = Row {
    key: "calls",
    title: "system calls, 50 connections, 64 B",
    kind: Kind::Calls,
    plan: cpu_time(&[LISTENER, EPOLL, TOKIO, TOKIO_CURRENT, THREADS, UVLOOP, ASYNCIO], &[], 1),
    metrics: &[CallsPerRequest],
    claims: &[],
};

/// The keys of all rows.
pub fn keys() -> Vec<&'static str> {
    ROWS.iter().map(|row| row.key).collect()
}
