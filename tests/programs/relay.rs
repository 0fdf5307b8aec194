//! `relay`: who is paired with whom, whose turn it is, how rooms end, and what a hostile client cannot do.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::program::client::{connect, reset};
use crate::program::namespace::isolated;
use crate::program::{Listener, kernel, until};
use nix::sys::signal::Signal::{SIGTERM, SIGUSR1, SIGUSR2};
use socket2::{SockFilter, SockRef};

/// A client of a relay.
struct Client(BufReader<TcpStream>);

impl Client {
    #[track_caller]
    fn connect(relay: &Listener) -> Self {
        let mut client = Self(BufReader::new(connect(relay.address)));
        client.is_told("* welcome");
        client
    }

    /// Connects, and waits until the relay has told it that it waits.
    #[track_caller]
    fn waiting(relay: &Listener) -> Self {
        let mut client = Self::connect(relay);
        client.is_told("* waiting for a partner");
        client
    }

    /// A room of two, who have been told all that they are told at first.
    #[track_caller]
    fn pair(relay: &Listener) -> (Self, Self) {
        let mut first = Self::waiting(relay);
        let mut second = Self::connect(relay);
        meet(&mut first, &mut second);
        first.is_told("* status WRITE");
        second.is_told("* status READ");
        (first, second)
    }

    fn stream(&self) -> &TcpStream {
        self.0.get_ref()
    }

    fn address(&self) -> SocketAddr {
        self.stream().local_addr().unwrap()
    }

    /// What its partner is told of it.
    fn introduction(&self, name: &str) -> String {
        format!("* connected to {name} ({})", self.address())
    }

    #[track_caller]
    fn says(&mut self, words: impl AsRef<[u8]>) {
        self.stream().write_all(words.as_ref()).unwrap();
    }

    #[track_caller]
    fn next_line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap_or_else(|error| panic!("after {line:?}: {error}"));
        line
    }

    #[track_caller]
    fn is_told(&mut self, line: &str) {
        assert_eq!(self.next_line(), format!("{line}\n"));
    }

    #[track_caller]
    fn is_told_all(&mut self, lines: &[&str]) {
        for line in lines {
            self.is_told(line);
        }
    }

    /// The relay has sent FIN and nothing before it.
    #[track_caller]
    fn is_closed(&mut self) {
        assert_eq!(self.next_line(), "");
    }

    fn finish(&self) {
        self.stream().shutdown(Shutdown::Write).unwrap();
    }
}

/// Each is told who the other is.
#[track_caller]
fn meet(first: &mut Client, second: &mut Client) {
    first.is_told(&second.introduction("client"));
    second.is_told(&first.introduction("client"));
}

/// Asks for the numbers until they are these.
#[track_caller]
fn counts(relay: &Listener, counts: &str) {
    let line = format!("status {counts}");
    until(&line, || {
        let before = relay.said().lines().filter(|line| line.starts_with("status ")).count();
        relay.signal(SIGUSR2);
        (relay.nth_line(before + 1, "status ") == line).then_some(())
    });
}

#[test]
fn the_third_is_paired_with_the_fourth_and_a_fifth_waits() {
    let relay = Listener::relay(&[]);
    let (mut first, mut second) = Client::pair(&relay);
    let (mut third, mut fourth) = Client::pair(&relay);
    let _fifth = Client::waiting(&relay);
    first.says("one\n");
    second.is_told("client: one");
    third.says("three\n");
    fourth.is_told("client: three");
    counts(&relay, "clients=5 rooms=2 waiting=1");
}

#[test]
fn they_write_in_turns_and_both_are_told() {
    let relay = Listener::relay(&[]);
    let (mut first, mut second) = Client::pair(&relay);
    for _ in 0..3 {
        first.says("ping\n");
        second.is_told_all(&["client: ping", "* status WRITE"]);
        first.is_told("* status READ");
        second.says("pong\r\n");
        first.is_told_all(&["client: pong", "* status WRITE"]);
        second.is_told("* status READ");
    }
}

#[test]
fn what_is_said_out_of_turn_waits_for_it() {
    let relay = Listener::relay(&[]);
    let mut first = Client::waiting(&relay);
    first.says("one\ntwo\n");
    let mut second = Client::connect(&relay);
    second.says("eins\nzwei\n");
    meet(&mut first, &mut second);
    first.is_told_all(&[
        "* status WRITE",
        "* status READ",
        "client: eins",
        "* status WRITE",
        "* status READ",
    ]);
    second.is_told_all(&["* status READ", "client: one", "* status WRITE", "* status READ", "client: two"]);
    first.is_told("client: zwei");
}

#[test]
fn without_turns_both_write_at_any_time() {
    let relay = Listener::relay(&["--turns", "off"]);
    let mut first = Client::waiting(&relay);
    let mut second = Client::connect(&relay);
    meet(&mut first, &mut second);
    second.says("a\nb\nc\n");
    first.is_told_all(&["client: a", "client: b", "client: c"]);
    first.says("d\n");
    second.is_told("client: d");
}

#[test]
fn all_that_was_said_while_waiting_arrives() {
    let relay = Listener::relay(&["--turns", "off"]);
    // More bytes than pass at once, then more lines.
    for (count, length) in [(50, 1000), (1000, 10)] {
        let mut first = Client::waiting(&relay);
        let line = "x".repeat(length);
        first.says(format!("{line}\n").repeat(count));
        let mut second = Client::connect(&relay);
        second.is_told(&first.introduction("client"));
        for _ in 0..count {
            second.is_told(&format!("client: {line}"));
        }
    }
}

#[test]
fn both_learn_the_name_that_the_first_line_says() {
    let relay = Listener::relay(&[]);
    let mut alice = Client::connect(&relay);
    alice.says("/name alice\n");
    alice.is_told("* waiting for a partner");
    let mut bob = Client::connect(&relay);
    bob.says("/na");
    bob.says("me bob\n");
    alice.is_told(&bob.introduction("bob"));
    bob.is_told(&alice.introduction("alice"));
    alice.is_told("* status WRITE");
    bob.is_told("* status READ");
    alice.says("/name eve\n");
    bob.is_told("alice: /name eve");
    relay.line(&format!("client name=alice remote={} state=waiting", alice.address()));
    relay.line(&format!("client name=bob remote={} state=connected", bob.address()));
}

#[test]
fn a_name_that_comes_late_is_told() {
    let relay = Listener::relay(&[]);
    let (mut first, mut second) = Client::pair(&relay);
    second.says("/name bob\n");
    first.is_told("* client is now bob");
    relay.line(&format!("client name=bob remote={} state=connected", second.address()));
    first.says("hello\n");
    second.is_told_all(&["client: hello", "* status WRITE"]);
    second.says("/name eve\n");
    first.is_told_all(&["* status READ", "bob: /name eve"]);
}

#[test]
fn a_name_that_is_none_is_refused_in_words_and_another_may_follow() {
    let relay = Listener::relay(&[]);
    let mut client = Client::waiting(&relay);
    for name in ["a b", "a:", "* status WRITE", "", "\x1b[2J", "\u{202e}", &"x".repeat(33)] {
        client.says(format!("/name {name}\n"));
        client.is_told("* a name has 1 to 32 letters, digits, '-', '_' or '.'");
    }
    client.says("/name Zoé\n");
    relay.line("client name=Zoé ");
}

#[test]
fn exit_ends_the_room_and_passes_what_was_said_before() {
    let relay = Listener::relay(&[]);
    let (mut first, mut second) = Client::pair(&relay);
    second.says("held\nexit\nnever\n");
    first.is_told_all(&["client: held", "* client has left"]);
    first.is_closed();
    second.is_closed();
    drop((first, second));
    counts(&relay, "clients=0 rooms=0 waiting=0");
    assert!(relay.line("room number=1 ").ends_with("state=open"));
    assert!(relay.nth_line(2, "room number=1 ").ends_with("state=closed reason=exit messages=1"));
}

#[test]
fn the_last_words_before_the_end_of_a_stream_arrive() {
    let relay = Listener::relay(&[]);
    let mut first = Client::waiting(&relay);
    let mut second = Client::connect(&relay);
    second.says("hello\nand a line without an end");
    second.finish();
    first.is_told(&second.introduction("client"));
    let said = ["* status WRITE", "client: hello", "client: and a line without an end", "* client has left"];
    first.is_told_all(&said);
    first.is_closed();
    second.is_told(&first.introduction("client"));
    second.is_told("* status READ");
    second.is_closed();
}

#[test]
fn a_reset_ends_the_room() {
    let relay = Listener::relay(&[]);
    let (mut first, second) = Client::pair(&relay);
    reset(second.0.into_inner());
    first.is_told("* client has left");
    first.is_closed();
    assert!(relay.line_with(&["room ", "closed"]).contains("reason=lost"));
    relay.line_with(&["client ", "state=disconnected reason=reset"]);
}

#[test]
fn a_partner_that_never_closes_is_closed() {
    let relay = Listener::relay(&["--drain", "100ms"]);
    let (mut first, second) = Client::pair(&relay);
    drop(second);
    first.is_told("* client has left");
    first.is_closed();
    counts(&relay, "clients=0 rooms=0 waiting=0");
    relay.line(&format!("client name=client remote={} state=disconnected reason=local", first.address()));
}

#[test]
fn who_leaves_while_waiting_is_never_paired() {
    let leave: [fn(Client); 4] = [
        |client| drop(client),
        |client| reset(client.0.into_inner()),
        |client| {
            client.finish();
            { client }.is_closed();
        },
        |mut client| {
            client.says("exit\n");
            client.is_closed();
        },
    ];
    for leave in leave {
        let relay = Listener::relay(&[]);
        leave(Client::waiting(&relay));
        counts(&relay, "clients=0 rooms=0 waiting=0");
        Client::pair(&relay);
    }
}

#[test]
fn who_leaves_while_waiting_is_never_paired_though_its_fin_is_behind_what_nobody_has_read() {
    let relay = Listener::relay(&["--max-line", "1KiB"]);
    let mut client = Client::waiting(&relay);
    // Held are a line's length and a read; the rest stays in the kernel.
    for _ in 0..100 {
        client.says(format!("{}\n", "x".repeat(1023)));
    }
    client.finish();
    client.is_closed();
    counts(&relay, "clients=0 rooms=0 waiting=0");
    Client::pair(&relay);
}

#[test]
fn the_end_behind_what_nobody_has_read_ends_the_room_when_all_of_it_has_passed() {
    let relay = Listener::relay(&["--max-line", "1KiB"]);
    let (mut first, mut second) = Client::pair(&relay);
    // It is not its turn, so that it is read from no more.
    let line = "x".repeat(1023);
    for _ in 0..100 {
        second.says(format!("{line}\n"));
    }
    second.finish();
    for _ in 0..100 {
        first.is_told(&format!("client: {line}"));
    }
    first.is_told("* client has left");
    first.is_closed();
}

#[test]
fn a_caller_that_connects_and_leaves_at_once_ends_nobodys_wait() {
    let relay = Listener::relay(&[]);
    let mut first = Client::waiting(&relay);
    for _ in 0..20 {
        drop(connect(relay.address));
    }
    let second = Client::connect(&relay);
    first.is_told(&second.introduction("client"));
}

#[test]
fn a_line_too_long_is_told_and_its_sender_closed() {
    let relay = Listener::relay(&["--max-line", "100B"]);
    for length in [101, 20_000] {
        let (mut first, mut second) = Client::pair(&relay);
        second.says("before\n");
        second.says("x".repeat(length));
        second.is_told("* a line has at most 100 bytes: goodbye");
        second.is_closed();
        first.is_told_all(&["client: before", "* client has left"]);
        first.is_closed();
    }
    let (mut first, mut second) = Client::pair(&relay);
    first.says("x".repeat(100) + "\r\n");
    second.is_told(&format!("client: {}", "x".repeat(100)));
}

#[test]
fn what_a_terminal_would_obey_arrives_as_text_and_nothing_is_forged() {
    let relay = Listener::relay(&["--turns", "off"]);
    let mut first = Client::waiting(&relay);
    let mut second = Client::connect(&relay);
    first.is_told(&second.introduction("client"));
    for (said, shown) in [
        (&b"a\0b\rc\td"[..], r"a\x00b\rc\td"),
        (b"\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        (b"* status WRITE", "* status WRITE"),
        (b"\r* status WRITE", r"\r* status WRITE"),
        (b"client: forged", "client: forged"),
        ("\u{9b}2J\u{202e}\u{2028}* welcome".as_bytes(), r"\u{9b}2J\u{202e}\u{2028}* welcome"),
        (b"\xff\xc3 caf\xc3\xa9 \"\\\"", r#"\xff\xc3 café "\""#),
        (b"", ""),
    ] {
        // Byte by byte: a character may be split across reads.
        for byte in said.iter().chain(b"\n") {
            second.says([*byte]);
        }
        first.is_told(&format!("client: {shown}"));
    }
}

#[test]
fn a_caller_that_never_sends_is_paired_all_the_same() {
    let relay = Listener::relay(&[]);
    Client::pair(&relay);
}

#[test]
fn who_does_not_read_holds_up_its_partner_and_nobody_else() {
    let relay = Listener::relay(&["--turns", "off", "--send-buffer", "8KiB", "--receive-buffer", "8KiB"]);
    let mut first = Client::waiting(&relay);
    let second = Client::connect(&relay);
    first.is_told(&second.introduction("client"));
    let sent = fill(second.stream(), &relay, &first);
    let (mut third, mut fourth) = (Client::waiting(&relay), Client::connect(&relay));
    meet(&mut third, &mut fourth);
    third.says("hello\n");
    fourth.is_told("client: hello");
    // Nothing was lost meanwhile.
    second.finish();
    let mut text = String::new();
    first.0.read_to_string(&mut text).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let (last, said) = lines.split_last().unwrap();
    assert_eq!(*last, "* client has left");
    let said: usize = said.iter().map(|line| line.strip_prefix("client: ").unwrap().len() + 1).sum();
    assert!((sent..=sent + 1).contains(&said), "{said} of {sent} bytes");
}

#[test]
fn a_partner_that_does_not_read_for_too_long_is_closed_and_the_other_is_told() {
    let relay = Listener::relay(&["--turns", "off", "--send-buffer", "8KiB", "--send-timeout", "500ms"]);
    let mut first = Client::waiting(&relay);
    let mut second = Client::connect(&relay);
    meet(&mut first, &mut second);
    fill(second.stream(), &relay, &first);
    second.is_told("* client has left");
    second.is_closed();
    relay.line_with(&[&first.address().to_string(), "state=disconnected reason=send-timeout"]);
}

#[test]
fn a_dead_peer_is_noticed_and_its_partner_is_told() {
    // There an ordinary user, too, may attach a filter to a socket.
    if !isolated() {
        return;
    }
    let relay = Listener::relay(&["--keepalive", "1s", "--user-timeout", "1s"]);
    let (mut first, second) = Client::pair(&relay);
    hide_every_segment_from(second.stream());
    first.is_told("* client has left");
    first.is_closed();
    relay.line_with(&[&second.address().to_string(), "state=disconnected reason=ETIMEDOUT"]);
}

/// A socket filter that keeps nothing: as if the cable were cut.
fn hide_every_segment_from(stream: &TcpStream) {
    const BPF_RET: u16 = 0x06;
    SockRef::from(stream).attach_filter(&[SockFilter::new(BPF_RET, 0, 0, 0)]).unwrap();
}

/// Sends lines until nobody takes any more for a while and the relay cannot send on to `deaf`, and returns how many bytes
/// that were.
fn fill(mut stream: &TcpStream, relay: &Listener, deaf: &Client) -> usize {
    let row = || kernel::row_of(relay.address, deaf.address());
    let stuck = || row().is_none_or(|row| row.unsent > 0);
    let line = format!("{}\n", "x".repeat(1023));
    let (mut sent, mut last) = (0, Instant::now());
    stream.set_nonblocking(true).unwrap();
    while last.elapsed() < Duration::from_millis(300) || !stuck() {
        if let Ok(length) = stream.write(&line.as_bytes()[sent % 1024..]) {
            (sent, last) = (sent + length, Instant::now());
        }
    }
    stream.set_nonblocking(false).unwrap();
    sent
}

#[test]
fn sigusr1_and_sigterm_tell_every_client_and_end_with_success() {
    for signal in [SIGUSR1, SIGTERM] {
        let mut relay = Listener::relay(&[]);
        let (mut first, mut second) = Client::pair(&relay);
        let mut third = Client::waiting(&relay);
        second.says("held\n");
        counts(&relay, "clients=3 rooms=1 waiting=1");
        relay.signal(signal);
        first.is_told("client: held");
        for client in [&mut first, &mut second, &mut third] {
            client.is_told("* the server will disconnect");
            client.is_closed();
        }
        drop((first, second, third));
        let end = relay.end().well();
        assert_eq!(end.lines("stopped accepted=3 ").len(), 1, "{end:#?}");
        assert_eq!(
            end.lines("room ").last().unwrap().rsplit(" state=").next(),
            Some("closed reason=stop messages=1")
        );
    }
}

#[test]
fn two_relays_do_not_share_a_port_unless_they_are_told_to() {
    let first = Listener::relay(&[]);
    assert!(first.line("listening ").ends_with("reuse-address=on reuse-port=off"));
}
