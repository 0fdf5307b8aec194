//! Fewer descriptors than clients.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use super::Verdict;
use super::clients::{connect, echo, eventually};
use super::server::Server;

const CLIENTS: usize = 300;
const DESCRIPTORS: usize = 64;

/// 300 clients of a listener with 64 descriptors: it goes on, takes under 5 % of a CPU, gives a descriptor that comes
/// free to the next client within 100 ms, serves everybody in the end, and says it once.
pub fn descriptors() -> Verdict {
    let mut server = Server::start_with_descriptors(DESCRIPTORS);
    let mut waiting: VecDeque<TcpStream> = (0..CLIENTS).map(|_| connect(server.address)).collect();
    waiting.iter_mut().for_each(|client| client.write_all(b"hello").unwrap());
    // Accepted in the order of their coming.
    assert!(eventually(|| server.count_lines("accept-paused") == 1));
    let room = waiting.iter().take_while(|client| answer_within(client, Duration::from_millis(300))).count();
    let mut served: VecDeque<TcpStream> = waiting.drain(..room).collect();
    let cpu = cpu_share(&server, Duration::from_secs(3));
    let longest = serve_rest(&mut served, waiting);
    let churn = churn(&server, &mut served);
    drop(served);
    let resumed = eventually(|| server.count_lines("accept-resumed") == 1);
    echo(&mut connect(server.address), b"later");
    let lines = server.count_lines("accept-");
    let runs = server.runs();
    Verdict::new(
        runs && resumed && cpu < 5.0 && longest.max(churn) <= Duration::from_millis(100) && lines == 2,
        format!(
            "{room} at a time, all {CLIENTS} served, CPU {cpu:.1} % (5), next client after {longest:.1?} at most, \
             at the limit {churn:.1?} (100 ms), {lines} lines (2)"
        ),
    )
}

fn answer_within(mut client: &TcpStream, limit: Duration) -> bool {
    client.set_read_timeout(Some(limit)).unwrap();
    client.read_exact(&mut [0; 5]).is_ok()
}

/// How much of one CPU the listener takes, in percent.
fn cpu_share(server: &Server, time: Duration) -> f64 {
    let before = server.cpu_time();
    thread::sleep(time);
    100.0 * (server.cpu_time() - before).as_secs_f64() / time.as_secs_f64()
}

/// One served client leaves for each that waits; the longest that one of these then waited.
fn serve_rest(served: &mut VecDeque<TcpStream>, waiting: VecDeque<TcpStream>) -> Duration {
    let each = waiting.into_iter().map(|client| {
        let begin = Instant::now();
        drop(served.pop_front());
        assert!(answer_within(&client, Duration::from_secs(5)), "never served");
        served.push_back(client);
        begin.elapsed()
    });
    each.max().unwrap_or_default()
}

/// At the limit, a hundred times one leaves and then one comes; the longest that it waited.
fn churn(server: &Server, served: &mut VecDeque<TcpStream>) -> Duration {
    let each = (0..100).map(|_| {
        drop(served.pop_front());
        // Time to see that nobody waits.
        thread::sleep(Duration::from_millis(2));
        let begin = Instant::now();
        let mut client = connect(server.address);
        echo(&mut client, b"hello");
        served.push_back(client);
        begin.elapsed()
    });
    each.max().unwrap_or_default()
}
