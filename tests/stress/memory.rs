//! What connections cost the listener in user memory.

use super::Verdict;
use super::clients::{
    connect, connect_many, connect_many_small, echo, eventually, median, p99, reset, stuff,
};
use super::server::Server;

const MIB: f64 = 1024.0 * 1024.0;

/// 1,000 clients send and never read: at most 64 MiB together, 3 × the p99 of an honest client, and
/// the memory comes back within 10 %.
pub fn slow_readers() -> Verdict {
    let server = Server::start(&[]);
    let mut honest = connect(server.address);
    // The loop's one read buffer is in use from now on.
    echo(&mut honest, &vec![b'x'; 1024 * 1024]);
    p99(&mut honest, 1000);
    let before = server.anonymous_memory();
    let (mut ratios, mut peak, mut after) = (Vec::new(), 0, 0);
    for _ in 0..10 {
        let alone = p99(&mut honest, 1000);
        let slow = connect_many_small(server.address, 1000);
        stuff(&slow);
        let beside = p99(&mut honest, 1000);
        ratios.push(beside.as_secs_f64() / alone.as_secs_f64());
        peak = peak.max(server.anonymous_memory() - before);
        let open = server.open_descriptors();
        slow.into_iter().for_each(reset);
        assert!(eventually(|| server.open_descriptors() + 1000 == open));
        after = after.max(server.anonymous_memory());
    }
    let (ratio, left) = (median(ratios), after as f64 / before as f64);
    let peak = peak as f64 / MIB;
    Verdict::new(
        peak <= 64.0 && ratio <= 3.0 && left <= 1.1,
        format!("{peak:.1} MiB (64), honest p99 × {ratio:.2} (3), memory afterwards × {left:.2} (1.10)"),
    )
}

/// 10,000 idle connections: at most 128 bytes each.
pub fn idle_connection() -> Verdict {
    let server = Server::start(&["--receive-timeout", "5m", "--send-timeout", "30s"]);
    let mut first = connect(server.address);
    echo(&mut first, b"first");
    let before = server.anonymous_memory();
    let mut idle = connect_many(server.address, 9_999);
    for client in &mut idle {
        echo(client, b"hello");
    }
    let each = (server.anonymous_memory() - before) as f64 / 9_999.0;
    Verdict::new(each <= 128.0, format!("{each:.1} bytes (128)"))
}
