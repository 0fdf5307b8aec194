//! `listener` serves: every byte comes back, whatever other clients do and whoever reads its output.

#![cfg(test)]

mod program;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal::{SIGCONT, SIGSTOP, SIGTERM, SIGUSR2};
use program::client::{
    Pattern, connect, connect_with_receive_buffer, exchange, read_to_error, read_to_fin, reset, round_trip,
};
use program::kernel::{KEEPALIVE, ReservedPort, has_ipv6, longest_queue, row_of};
use program::{Listener, Program, field, path, until};
use serde_json::Value;
use socket2::SockRef;

const MIB: usize = 1024 * 1024;

/// Exchanges `each` bytes over each of four connections while others are reset.
fn exchange_over_four(each: usize) {
    let mut listener = Listener::start(&[]);
    let address = listener.address;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let resetting = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let mut stream = connect(address);
                stream.write_all(&[b'x'; 4096]).unwrap();
                reset(stream);
                thread::sleep(Duration::from_millis(2));
            }
        });
        let exchanges: Vec<_> =
            (1..=4).map(|seed| scope.spawn(move || exchange(address, each, seed))).collect();
        let accounts: Vec<_> = exchanges.into_iter().map(|exchange| exchange.join()).collect();
        done.store(true, Ordering::Relaxed);
        resetting.join().unwrap();
        for account in accounts {
            let (sent, received) = account.unwrap();
            assert_eq!(sent.bytes, each);
            assert_eq!(received, sent);
        }
    });
    let end = listener.stop().well();
    let whole = format!("reason=fin received={each} sent={each} ");
    assert_eq!(end.lines("closed ").iter().filter(|line| line.contains(&whole)).count(), 4, "{end:#?}");
}

#[test]
fn every_byte_comes_back_while_other_connections_are_reset() {
    exchange_over_four(16 * MIB);
}

#[test]
#[ignore = "long: make soak"]
fn every_byte_of_a_gibibyte_comes_back_while_other_connections_are_reset() {
    exchange_over_four(256 * MIB);
}

#[test]
fn a_client_that_half_closes_gets_everything_and_then_fin() {
    let listener = Listener::start(&[]);
    let pattern = Pattern::new(1);
    let stream = connect(listener.address);
    // More than the listener has echoed yet: it has stopped reading and keeps a tail unsent.
    let sent = pattern.flood(&stream);
    stream.shutdown(Shutdown::Write).unwrap();
    let received = read_to_fin(&stream);
    assert_eq!(received.len(), sent);
    pattern.assert_begins_with(&received);
    let closed = listener.line("closed ");
    assert!(closed.contains(&format!(" reason=fin received={sent} sent={sent} ")), "{closed}");
}

#[test]
fn a_half_close_without_a_byte_is_answered_with_fin() {
    let listener = Listener::start(&[]);
    let stream = connect(listener.address);
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_fin(&stream), b"");
    assert!(listener.line("closed ").contains(" reason=fin received=0 sent=0 "));
}

#[test]
fn a_connection_is_told_with_its_four_tuple_when_it_opens_and_when_it_ends() {
    let listener = Listener::start(&[]);
    let stream = connect(listener.address);
    let tuple = format!("local={} remote={}", listener.address, stream.local_addr().unwrap());
    assert_eq!(listener.line("accepted "), format!("accepted {tuple}"));
    round_trip(&stream, b"hello");
    drop(stream);
    let closed = listener.line("closed ");
    assert!(
        closed.starts_with(&format!("closed {tuple} reason=fin received=5 sent=5 duration=")),
        "{closed}"
    );
}

#[test]
fn ipv6_is_served() {
    if !has_ipv6() {
        return;
    }
    let listener = Listener::on("::1", &[]);
    let stream = connect(listener.address);
    round_trip(&stream, b"hello");
    assert!(listener.line("accepted ").starts_with("accepted local=[::1]:"));
}

#[test]
fn the_ipv4_wildcard_says_at_which_address_it_was_reached() {
    let listener = Listener::on("0.0.0.0", &[]);
    for ip in ["127.0.0.1", "127.0.0.2"] {
        let address = SocketAddr::new(ip.parse().unwrap(), listener.address.port());
        round_trip(&connect(address), b"hello");
        listener.line(&format!("accepted local={address} "));
    }
}

#[test]
fn the_ipv6_wildcard_serves_both_families_unless_v6_only() {
    if !has_ipv6() {
        return;
    }
    let (both, one) = (Listener::on("::", &["--v6-only", "off"]), Listener::on("::", &["--v6-only", "on"]));
    let at = |ip: &str, listener: &Listener| SocketAddr::new(ip.parse().unwrap(), listener.address.port());
    for ip in ["127.0.0.1", "::1"] {
        round_trip(&connect(at(ip, &both)), b"hello");
    }
    round_trip(&connect(at("::1", &one)), b"hello");
    assert!(TcpStream::connect(at("127.0.0.1", &one)).is_err());
}

#[test]
fn an_urgent_byte_is_echoed_in_its_place() {
    let listener = Listener::start(&[]);
    let mut stream = connect(listener.address);
    for _ in 0..100 {
        stream.write_all(b"ab").unwrap();
        SockRef::from(&stream).send_out_of_band(b"c").unwrap();
        stream.write_all(b"de").unwrap();
        let mut echo = [0; 5];
        stream.read_exact(&mut echo).unwrap();
        assert_eq!(&echo, b"abcde");
    }
    SockRef::from(&stream).send_out_of_band(b"z").unwrap();
    let mut echo = [0; 1];
    stream.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"z");
    SockRef::from(&stream).send_out_of_band(b"last").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_fin(&stream), b"last");
}

#[test]
fn clients_that_are_idle_or_do_not_read_do_not_disturb_others() {
    let listener = Listener::start(&[]);
    let _idle: Vec<TcpStream> = (0..10).map(|_| connect(listener.address)).collect();
    let (pattern, deaf) = (Pattern::new(2), connect(listener.address));
    let sent = pattern.flood(&deaf);
    let stream = connect(listener.address);
    let begin = Instant::now();
    for _ in 0..50 {
        round_trip(&stream, b"hello");
    }
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?} for 50 round trips", begin.elapsed());
    // What the listener keeps for a client that does not read is bounded; most of this is in the kernel.
    assert!(sent < 100 * MIB, "{sent} bytes taken from a client that does not read");
    deaf.shutdown(Shutdown::Write).unwrap();
    let received = read_to_fin(&deaf);
    assert_eq!(received.len(), sent);
    pattern.assert_begins_with(&received);
}

#[test]
fn more_clients_than_1024_are_served_together() {
    fourtuple::cli::raise_descriptor_limit();
    let listener = Listener::start(&["--quiet"]);
    // All wait in the accept queue when the listener comes to it.
    listener.signal(SIGSTOP);
    let streams: Vec<TcpStream> = (0..longest_queue().min(1100)).map(|_| connect(listener.address)).collect();
    listener.signal(SIGCONT);
    for stream in streams.iter().rev() {
        round_trip(stream, b"hello");
    }
}

#[test]
fn one_beyond_max_connections_is_told_and_closed_and_a_place_that_comes_free_is_given_again() {
    let mut listener = Listener::start(&["--max-connections", "2"]);
    let (first, second) = (connect(listener.address), connect(listener.address));
    round_trip(&first, b"first");
    round_trip(&second, b"second");
    let third = connect(listener.address);
    let remote = third.local_addr().unwrap();
    assert_eq!(
        listener.line("refused "),
        format!("refused local={} remote={remote} reason=max-connections", listener.address)
    );
    assert_eq!(read_to_fin(&third), b"");
    round_trip(&first, b"first still");
    round_trip(&second, b"second still");
    drop(first);
    listener.line("closed ");
    round_trip(&connect(listener.address), b"fourth");
    drop(second);
    listener.nth_line(3, "closed ");
    let end = listener.stop().well();
    assert_eq!((end.lines("accepted ").len(), end.lines("refused ").len()), (3, 1), "{end:#?}");
}

#[test]
fn a_silent_client_is_closed_after_the_receive_timeout() {
    let listener = Listener::start(&["--receive-timeout", "200ms"]);
    let stream = connect(listener.address);
    let begin = Instant::now();
    assert_eq!(read_to_fin(&stream), b"");
    assert!(begin.elapsed() >= Duration::from_millis(100), "closed after {:?}", begin.elapsed());
    assert!(listener.line("closed ").contains(" reason=receive-timeout received=0 sent=0 "));
}

#[test]
fn a_client_that_sends_now_and_then_is_not_closed_by_the_receive_timeout() {
    let listener = Listener::start(&["--receive-timeout", "1s"]);
    let stream = connect(listener.address);
    for _ in 0..8 {
        round_trip(&stream, b"hello");
        thread::sleep(Duration::from_millis(180));
    }
    round_trip(&stream, b"hello");
    assert!(!listener.said().contains("closed "));
}

#[test]
fn bytes_that_arrived_in_time_count_though_the_listener_comes_to_them_late() {
    let listener = Listener::start(&["--receive-timeout", "1s"]);
    let mut stream = connect(listener.address);
    round_trip(&stream, b"hello");
    listener.signal(SIGSTOP);
    stream.write_all(b"in time").unwrap();
    thread::sleep(Duration::from_millis(1200));
    listener.signal(SIGCONT);
    let mut echo = [0; 7];
    stream.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"in time");
}

#[test]
fn a_client_that_does_not_read_is_reset_after_the_send_timeout() {
    let listener = Listener::start(&["--send-timeout", "200ms"]);
    let (idle, mut deaf) = (connect(listener.address), connect(listener.address));
    let pattern = Pattern::new(3);
    let error = until("an error", || deaf.write_all(pattern.from(0)).err());
    assert_eq!(error.raw_os_error(), Some(nix::libc::ECONNRESET));
    let closed = listener.line("closed ");
    assert!(
        closed.contains(&format!(" remote={} reason=send-timeout ", deaf.local_addr().unwrap())),
        "{closed}"
    );
    // Nothing is unsent on this one, however long it waits.
    round_trip(&idle, b"hello");
}

#[test]
fn a_client_that_reads_slowly_is_not_closed_by_the_send_timeout() {
    const LENGTH: usize = 256 * 1024;
    let options = ["--send-timeout", "1s", "--send-buffer", "16KiB", "--receive-buffer", "512KiB"];
    let listener = Listener::start(&options);
    let (pattern, mut slow) = (Pattern::new(6), connect_with_receive_buffer(listener.address, 8192));
    // It reads all at once, and most of that stays unsent for longer than the timeout.
    listener.signal(SIGSTOP);
    slow.write_all(&pattern.bytes(LENGTH)).unwrap();
    listener.signal(SIGCONT);
    let mut received = vec![0; LENGTH];
    for piece in received.chunks_mut(8192) {
        slow.read_exact(piece).unwrap();
        thread::sleep(Duration::from_millis(60));
    }
    pattern.assert_begins_with(&received);
}

#[test]
fn a_reset_is_told_as_such_whether_the_listener_reads_or_not() {
    let listener = Listener::start(&[]);
    let reading = connect(listener.address);
    round_trip(&reading, b"hello");
    reset(reading);
    assert!(listener.nth_line(1, "closed ").contains(" reason=reset received=5 sent=5 "));
    let paused = connect(listener.address);
    Pattern::new(4).flood(&paused);
    reset(paused);
    assert!(listener.nth_line(2, "closed ").contains(" reason=reset "));
    let half_closed = connect(listener.address);
    Pattern::new(4).flood(&half_closed);
    half_closed.shutdown(Shutdown::Write).unwrap();
    reset(half_closed);
    assert!(listener.nth_line(3, "closed ").contains(" reason=reset "));
}

#[test]
fn clients_that_are_gone_before_they_are_accepted_do_not_disturb_others() {
    let listener = Listener::start(&[]);
    listener.signal(SIGSTOP);
    for _ in 0..10 {
        reset(connect(listener.address));
    }
    let stream = connect(listener.address);
    listener.signal(SIGCONT);
    round_trip(&stream, b"hello");
    listener.line(&format!("accepted local={} remote={}", listener.address, stream.local_addr().unwrap()));
}

#[test]
fn the_soft_limit_on_descriptors_is_raised_to_the_hard_one() {
    let mut listener = Listener::with_descriptors("-S -n", 24, &[]);
    let streams: Vec<TcpStream> = (0..64).map(|_| connect(listener.address)).collect();
    for stream in &streams {
        round_trip(stream, b"hello");
    }
    drop(streams);
    assert_eq!(listener.stop().well().lines("accept-paused"), [""; 0]);
}

#[test]
fn out_of_descriptors_it_says_so_once_and_loses_nobody() {
    let mut listener = Listener::with_descriptors("-n", 24, &[]);
    let mut streams: Vec<TcpStream> = (0..32).map(|_| connect(listener.address)).collect();
    assert_eq!(listener.line("accept-paused"), "accept-paused reason=EMFILE");
    for mut stream in streams.drain(..) {
        stream.write_all(b"hello").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_fin(&stream), b"hello");
    }
    listener.line("accept-resumed");
    round_trip(&connect(listener.address), b"later");
    listener.nth_line(33, "closed ");
    let end = listener.stop().well();
    assert_eq!((end.lines("accept-paused").len(), end.lines("accept-resumed").len()), (1, 1), "{end:#?}");
    assert_eq!(end.lines("accepted ").len(), 33);
}

/// The lines of a listener that serves one client which says `hello`.
fn lines_of_one_hello(options: &[&str]) -> Vec<String> {
    let mut listener = Listener::start(options);
    let stream = connect(listener.address);
    round_trip(&stream, b"hello");
    drop(stream);
    listener.signal(SIGUSR2);
    listener.line_with(&["connections"]);
    listener.stop().well().stdout.lines().map(str::to_owned).collect()
}

fn words(lines: &[String]) -> Vec<String> {
    let mut words: Vec<String> = lines.iter().map(|line| line.split(' ').next().unwrap().into()).collect();
    // The client's end and the signal may come in either order, and its end may come within the drain.
    words.retain(|word| word != "draining");
    words.sort();
    words
}

#[test]
fn quiet_tells_of_the_program_and_verbose_of_every_read() {
    let shown = |options: &[&str]| words(&lines_of_one_hello(options));
    assert_eq!(shown(&["--quiet"]), ["connections", "listening", "stopped"]);
    assert_eq!(shown(&[]), ["accepted", "closed", "connections", "listening", "stopped"]);
    let verbose = lines_of_one_hello(&["--verbose"]);
    assert_eq!(words(&verbose), ["accepted", "closed", "connections", "listening", "received", "stopped"]);
    let received = verbose.iter().find(|line| line.starts_with("received ")).unwrap();
    assert!(received.ends_with(" bytes=5 text=\"hello\""), "{received}");
    assert!(verbose.contains(&"stopped accepted=1 received=5 sent=5".to_owned()), "{verbose:#?}");
}

#[test]
fn json_lines_carry_schema_and_event_and_tell_the_same() {
    let lines = lines_of_one_hello(&["--verbose", "--format", "json"]);
    let objects: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(objects.iter().all(|object| object["schema"] == 1), "{objects:#?}");
    let events: Vec<String> =
        objects.iter().map(|object| object["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(words(&events), words(&lines_of_one_hello(&["--verbose"])));
    let closed = objects.iter().find(|object| object["event"] == "closed").unwrap();
    assert_eq!((&closed["reason"], &closed["received"]), (&Value::from("fin"), &Value::from(5)));
}

#[test]
fn bytes_from_the_network_reach_the_output_escaped() {
    for format in ["text", "json"] {
        let mut listener = Listener::start(&["--verbose", "--format", format]);
        let stream = connect(listener.address);
        let all: Vec<u8> = (0..=255).collect();
        round_trip(&stream, &all);
        round_trip(&stream, "\x1b[2J\u{9b}31m\u{202e}\u{2066}\u{7f}".as_bytes());
        round_trip(&stream, b"\"\nclosed local=forged");
        drop(stream);
        listener.line_with(&["closed", "remote"]);
        let end = listener.stop().well();
        let raw = |character: char| {
            character != '\n'
                && (character.is_control() || matches!(character, '\u{202e}' | '\u{2066}' | '\u{fffd}'))
        };
        assert_eq!(end.stdout.find(raw), None, "{:?}", end.stdout);
        assert_eq!(end.stdout.lines().filter(|line| line.starts_with("closed local=forged")).count(), 0);
    }
}

/// A listener on a reserved port, started by a shell that redirects its output.
fn redirected(reserved: &ReservedPort, redirection: &str) -> Program {
    let script = format!("exec \"$0\" \"$@\" {redirection}");
    let port = reserved.address().port().to_string();
    let mut command = Command::new("sh");
    command.args(["-c", &script, path("listener"), &port, "127.0.0.1", "--verbose"]).stdout(Stdio::null());
    Program::spawn_unheard(&mut command)
}

#[test]
fn a_full_or_closed_output_does_not_stop_it() {
    for redirection in [">/dev/full", ">&-", ">/dev/full 2>&1", ">&- 2>&-", "<&- >&- 2>&-"] {
        let reserved = ReservedPort::new();
        let mut listener = redirected(&reserved, redirection);
        let stream = until(redirection, || TcpStream::connect(reserved.address()).ok());
        for _ in 0..20 {
            round_trip(&stream, b"hello");
        }
        drop(stream);
        let end = listener.stop();
        assert_eq!(end.status, Some(0), "{redirection}: {end:#?}");
        assert_eq!(end.stderr, "", "{redirection}");
    }
}

/// A listener that writes into a pipe, the pipe's other end, and the address that its first line told.
fn piped(options: &[&str]) -> (Program, BufReader<std::io::PipeReader>, SocketAddr) {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = Command::new(path("listener"));
    command.args(["0", "127.0.0.1"]).args(options).stdout(writer);
    let program = Program::spawn_unheard(&mut command);
    drop(command);
    let (mut reader, mut line) = (BufReader::with_capacity(64, reader), String::new());
    reader.read_line(&mut line).unwrap();
    let address = field(&line, "local").parse().unwrap();
    (program, reader, address)
}

#[test]
fn a_broken_pipe_does_not_stop_it() {
    let (mut listener, reader, address) = piped(&["--verbose"]);
    drop(reader);
    for _ in 0..20 {
        round_trip(&connect(address), b"hello");
    }
    let end = listener.stop();
    assert_eq!((end.status, end.stderr.as_str()), (Some(0), ""));
}

#[test]
fn output_that_nobody_reads_costs_lines_and_they_are_counted() {
    const READS: usize = 2500;
    let (mut listener, mut reader, address) = piped(&["--verbose"]);
    let stream = connect(address);
    for _ in 0..READS {
        // Escaped it is four times as long: some 1,100 lines fill the pipe and the queue.
        round_trip(&stream, &[0; 256]);
    }
    drop(stream);
    let rest = thread::spawn(move || {
        let mut rest = String::new();
        reader.read_to_string(&mut rest).map(|_| rest)
    });
    listener.signal(SIGTERM);
    listener.end().well();
    let rest = rest.join().unwrap().unwrap();
    let (counts, told): (Vec<&str>, Vec<&str>) =
        rest.lines().partition(|line| line.starts_with("output-dropped "));
    let dropped: usize = counts.iter().map(|line| field(line, "lines").parse::<usize>().unwrap()).sum();
    assert!(dropped > 0, "nothing was dropped");
    // Accepted, received, closed, stopped; and draining, where the signal came before the client's end.
    let all = READS + 3;
    assert!([all, all + 1].contains(&(told.len() + dropped)), "{} told and {dropped} dropped", told.len());
}

#[test]
fn output_that_nobody_ever_reads_keeps_it_neither_from_serving_nor_from_ending() {
    let (mut listener, reader, address) = piped(&["--verbose"]);
    let stream = connect(address);
    for _ in 0..200 {
        // Some 1,100 bytes a line: the pipe holds 64 KiB.
        round_trip(&stream, &[0; 256]);
    }
    drop(stream);
    listener.stop().well();
    drop(reader);
}

#[test]
fn linger_0s_closes_with_rst() {
    let listener = Listener::start(&["--linger", "0s", "--receive-timeout", "100ms"]);
    let error = read_to_error(&connect(listener.address));
    assert_eq!(error.raw_os_error(), Some(nix::libc::ECONNRESET));
}

#[test]
fn mss_bounds_what_the_client_sends_in_one_segment() {
    let listener = Listener::start(&["--mss", "500"]);
    let stream = connect(listener.address);
    assert!(SockRef::from(&stream).tcp_mss().unwrap() <= 500);
}

#[test]
fn keepalive_is_inherited_by_accepted_sockets() {
    let timer = |options: &[&str]| {
        let listener = Listener::start(options);
        let stream = connect(listener.address);
        round_trip(&stream, b"hello");
        let (local, remote) = (listener.address, stream.local_addr().unwrap());
        // The retransmission timer may still run for a moment.
        until("an idle connection", || {
            let row = row_of(local, remote)?;
            (row.timer != 1).then_some(row.timer)
        })
    };
    assert_eq!(timer(&["--keepalive", "60s"]), KEEPALIVE);
    assert_eq!(timer(&[]), 0);
}

#[test]
fn a_smaller_receive_buffer_takes_less_before_it_is_read() {
    let taken = |options: &[&str]| {
        let listener = Listener::start(options);
        listener.signal(SIGSTOP);
        let stream = connect(listener.address);
        SockRef::from(&stream).set_send_buffer_size(4096).unwrap();
        Pattern::new(5).fill(&stream)
    };
    let (small, large) = (taken(&["--receive-buffer", "8KiB"]), taken(&[]));
    assert!(2 * small < large, "{small} bytes with a small buffer, {large} with the kernel's");
}

#[test]
fn a_second_listener_shares_the_address_only_where_both_set_so_reuseport() {
    let first = Listener::start(&[]);
    let second = Listener::at("127.0.0.1", first.address.port(), &[]);
    assert_eq!(first.address, second.address);
    for options in [&["--reuse-port", "off"][..], &["--reuse-port", "off", "--reuse-address", "off"]] {
        let port = first.address.port().to_string();
        let end = Program::run("listener", &[&[port.as_str(), "127.0.0.1"], options].concat()).with_status(1);
        assert!(end.stderr.contains(&format!("{}: EADDRINUSE", first.address)), "{end:#?}");
    }
}

#[test]
fn the_ready_line_says_which_options_are_on() {
    let line = |options: &[&str]| {
        let listener = Listener::start(options);
        listener.line("listening ")[format!("listening local={} ", listener.address).len()..].to_owned()
    };
    assert_eq!(line(&[]), "reuse-address=on reuse-port=on");
    assert_eq!(line(&["--reuse-address", "off"]), "reuse-address=off reuse-port=on");
    assert_eq!(line(&["--reuse-port", "off"]), "reuse-address=on reuse-port=off");
}

#[test]
fn a_listener_that_had_connections_restarts_on_its_port_at_once() {
    let mut first = Listener::start(&["--reuse-port", "off", "--receive-timeout", "50ms"]);
    // The listener closes first, so TIME-WAIT is on its port.
    assert_eq!(read_to_fin(&connect(first.address)), b"");
    first.line("closed ");
    first.stop().well();
    let again = Listener::at("127.0.0.1", first.address.port(), &["--reuse-port", "off"]);
    round_trip(&connect(again.address), b"hello");
}

#[test]
fn a_short_backlog_keeps_a_client_in_syn_sent_while_the_listener_does_not_accept() {
    let listener = Listener::start(&["--backlog", "0"]);
    listener.signal(SIGSTOP);
    let _queued = connect(listener.address);
    let second = TcpStream::connect_timeout(&listener.address, Duration::from_millis(200));
    assert!(second.is_err(), "a queue of one took two");
    listener.signal(SIGCONT);
    round_trip(&connect(listener.address), b"hello");
}

#[test]
fn port_0_is_a_port_of_the_kernel() {
    let listener = Listener::start(&[]);
    assert_ne!(listener.address.port(), 0);
    assert!(TcpListener::bind(listener.address).is_err());
}
