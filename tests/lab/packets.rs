//! `fourtuple packets` against the kernel's own count of segments, and against tshark where it is installed.

#![cfg(target_os = "linux")]

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Instant;

use crate::program::client::{accept, connect, read_to_fin, reset, round_trip};
use crate::program::kernel::{loopbacks, table};
use crate::program::namespace::{
    as_ordinary_user, isolated, isolated_as_ordinary_user, segments_received, segments_sent,
};
use crate::program::usage::{refused, short_help};
use crate::program::{End, Listener, Program, field, path, skip, until};
use fourtuple::net::TcpState;
use fourtuple::wire::pcapng;
use fourtuple::wire::segment::Segment;
use fourtuple::wire::sequence::SequenceSpaces;
use nix::sys::signal::Signal;
use serde_json::Value;
use socket2::{SockFilter, SockRef};
use tempfile::TempDir;

/// A capture that runs.
struct Packets {
    program: Program,
    folder: TempDir,
}

impl Packets {
    /// With a file, which every capture here writes.
    #[track_caller]
    fn start(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("capture.pcapng");
        let write = ["packets", "--write", file.to_str().unwrap()];
        let program = Program::start("fourtuple", &[&write, options].concat());
        program.line_with(&["capturing"]);
        Self { program, folder }
    }

    fn file(&self) -> String {
        self.folder.path().join("capture.pcapng").to_str().unwrap().to_owned()
    }

    /// Ends it: what it said, and how many packets were captured and how many dropped.
    #[track_caller]
    fn stop(&mut self, signal: Signal) -> (End, u64, u64) {
        self.program.signal(signal);
        let end = self.program.end().well();
        let last = end.stdout.lines().last().unwrap().to_owned();
        assert!(last.starts_with("captured "), "{last}");
        let number = |key| field(&last, key).parse().unwrap();
        (end, number("packets"), number("dropped"))
    }
}

fn segments(file: &str) -> Vec<Segment> {
    pcapng::read(Path::new(file)).unwrap().map(Result::unwrap).collect()
}

/// The lines of segments that `fourtuple packets` prints of a file.
#[track_caller]
fn read(file: &str, options: &[&str]) -> Vec<String> {
    let end = Program::run("fourtuple", &[&["packets", "--read", file], options].concat()).well();
    end.stdout.lines().map(str::to_owned).collect()
}

/// Waits until all connections are closed on both sides; one side is then in TIME-WAIT or gone.
fn wait_for_silence() {
    until("all connections closed", || {
        let open = table().into_iter().any(|row| !matches!(row.state, TcpState::Listen | TcpState::TimeWait));
        (!open).then_some(())
    });
}

/// So many connections, one after the other, each of one round trip.
fn make_connections(address: SocketAddr, count: usize) {
    for _ in 0..count {
        round_trip(&connect(address), b"hello");
    }
}

fn two_clients_make_connections(address: SocketAddr, count: usize) {
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| make_connections(address, count / 2));
        }
    });
    wait_for_silence();
}

/// One connection to `ip`: three bytes, their echo, and FIN from either side, the client's first.
fn make_one_connection(ip: &str) -> (SocketAddr, SocketAddr) {
    let server = TcpListener::bind((ip, 0)).unwrap();
    let client = connect(server.local_addr().unwrap());
    let accepted = accept(&server);
    let (local, remote) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut bytes = [0; 3];
            std::io::Read::read_exact(&mut &accepted, &mut bytes).unwrap();
            std::io::Write::write_all(&mut &accepted, &bytes).unwrap();
        });
        round_trip(&client, b"abc");
    });
    drop(client);
    read_to_fin(&accepted);
    drop(accepted);
    wait_for_silence();
    (local, remote)
}

/// Whether a tool is installed; says so where a test goes without it.
fn has(tool: &str) -> bool {
    let has = Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success());
    if !has {
        skip(format_args!("{tool} is not installed"));
    }
    has
}

/// What a tool prints of a file that it reads without complaint.
#[track_caller]
fn told_by(tool: &str, arguments: &[&str]) -> String {
    let output = Command::new(tool).args(arguments).output().unwrap();
    let complaints = String::from_utf8(output.stderr).unwrap();
    let complaints: Vec<&str> =
        complaints.lines().filter(|line| !line.is_empty() && !line.starts_with("Running as user")).collect();
    assert!(output.status.success() && complaints.is_empty(), "{complaints:#?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_segment_of_10_000_connections_is_captured_for_an_ordinary_user() {
    const CONNECTIONS: usize = 10_000;
    if !isolated_as_ordinary_user() {
        return;
    }
    let users = fs::read_to_string("/proc/self/uid_map").unwrap();
    eprintln!("user outside: {}", users.split_whitespace().nth(1).unwrap());
    let mut packets = Packets::start(&["--quiet"]);
    let listener = Listener::start(&["--quiet"]);
    let begin = Instant::now();
    two_clients_make_connections(listener.address, CONNECTIONS);
    let took = begin.elapsed();
    let (_, captured, dropped) = packets.stop(Signal::SIGTERM);
    eprintln!("captured {captured}, dropped {dropped}, Tcp InSegs {}, in {took:?}", segments_received());
    assert_eq!((captured, dropped), (segments_received(), 0));
    assert!(captured >= CONNECTIONS as u64 * 8, "{captured}");

    let segments = segments(&packets.file());
    assert_eq!(segments.len() as u64, captured);
    assert!(segments.is_sorted_by_key(|segment| segment.time), "time goes backwards");
    assert!(segments.iter().any(|segment| segment.time.subsec_nanos() % 1000 != 0), "no nanoseconds");
    if has("capinfos") {
        let told = told_by("capinfos", &["-c", "-o", "-T", "-r", "-M", &packets.file()]);
        assert!(told.contains(&format!("\t{captured}\tTrue")), "{told}");
    }
}

#[test]
fn a_segment_of_64_kib_is_captured_whole() {
    if !isolated() {
        return;
    }
    let mut packets = Packets::start(&[]);
    let listener = Listener::start(&["--quiet"]);
    let client = connect(listener.address);
    // A few round trips open the congestion window.
    for _ in 0..20 {
        round_trip(&client, &vec![b'x'; 200_000]);
    }
    drop(client);
    wait_for_silence();
    let (_, captured, dropped) = packets.stop(Signal::SIGTERM);
    assert_eq!((captured, dropped), (segments_received(), 0));
    let segments = segments(&packets.file());
    assert!(segments.iter().any(|segment| segment.length > 60_000));
    // On a busy machine a tail is sent again before its acknowledgement is processed.
    let mut spaces = SequenceSpaces::default();
    let bytes: usize = segments
        .iter()
        .filter(|segment| !spaces.place(segment).retransmission)
        .map(|segment| segment.length)
        .sum();
    assert_eq!(bytes, 2 * 20 * 200_000);
    assert!(fs::metadata(packets.file()).unwrap().len() > bytes as u64);
}

#[test]
fn what_the_kernel_has_no_room_for_is_counted() {
    if !isolated() {
        return;
    }
    let mut packets = Packets::start(&["--quiet", "--buffer", "256KiB"]);
    let listener = Listener::start(&["--quiet"]);
    packets.program.signal(Signal::SIGSTOP);
    two_clients_make_connections(listener.address, 1000);
    packets.program.signal(Signal::SIGCONT);
    let (end, captured, dropped) = packets.stop(Signal::SIGTERM);
    assert!(captured > 0 && dropped > 0, "captured {captured}, dropped {dropped}");
    assert_eq!(captured + dropped, segments_received());
    let words = format!("fourtuple: the kernel had no room for {dropped} packets\nhint: a larger --buffer\n");
    assert_eq!(end.stderr, words);
}

#[test]
fn a_signal_right_after_the_last_segment_loses_none() {
    if !isolated() {
        return;
    }
    for signal in [Signal::SIGINT, Signal::SIGTERM].repeat(10) {
        let before = segments_received();
        let mut packets = Packets::start(&[]);
        make_one_connection("127.0.0.1");
        let (end, captured, _) = packets.stop(signal);
        assert_eq!(captured, segments_received() - before, "{}", end.stdout);
        assert_eq!(end.lines("segment ").len() as u64, captured);
        assert_eq!(segments(&packets.file()).len() as u64, captured);
    }
}

#[test]
fn a_line_tells_flags_relative_numbers_length_and_options() {
    if !isolated() {
        return;
    }
    for ip in loopbacks() {
        let mut packets = Packets::start(&[]);
        let (local, remote) = make_one_connection(ip);
        let (end, _, _) = packets.stop(Signal::SIGTERM);
        let lines = end.lines("segment ");
        let summary = |line: &&str| {
            let [from, flags] = ["local", "flags"].map(|key| field(line, key));
            let from = if from == local.to_string() { "client" } else { "server" };
            let [seq, ack, length] = ["seq", "ack", "length"].map(|key| field(line, key));
            format!("{from} {flags} {seq} {ack} {length}")
        };
        let told: Vec<String> = lines.iter().map(summary).collect();
        let expected = [
            "client S 0 - 0",
            "server S. 0 1 0",
            "client . 1 1 0",
            "client P. 1 1 3",
            "server . 1 4 0",
            "server P. 1 4 3",
            "client . 4 4 0",
            "client F. 4 4 0",
        ];
        assert_eq!(told[..expected.len()], expected, "{}", end.stdout);
        assert_eq!(told.last().unwrap(), "client . 5 5 0");
        let first = format!("segment time=0.000000s local={local} remote={remote} flags=S ");
        assert!(lines[0].starts_with(&first), "{}", lines[0]);
        for part in ["options=\"mss ", "sackOK,", "TS val ", " ecr 0,", "wscale "] {
            assert!(lines[0].contains(part), "{}", lines[0]);
        }
        assert!(!end.stdout.contains("retransmission"), "{}", end.stdout);
    }
}

#[test]
fn a_file_gives_the_same_lines_and_times_as_the_capture() {
    if !isolated() {
        return;
    }
    for format in ["text", "json"] {
        let mut packets = Packets::start(&["--format", format]);
        make_one_connection("127.0.0.1");
        packets.program.signal(Signal::SIGTERM);
        let said = packets.program.end().well().stdout;
        let captured: Vec<&str> = said.lines().filter(|line| line.contains("segment")).collect();
        assert!(captured.len() > 8, "{said}");
        assert_eq!(read(&packets.file(), &["--format", format]), captured);
    }
}

#[test]
fn tshark_reads_the_file_and_sees_in_it_what_we_see() {
    if !has("tshark") || !isolated() {
        return;
    }
    let mut packets = Packets::start(&[]);
    let (client, server) = make_one_connection("127.0.0.1");
    make_retransmission();
    let (end, _, _) = packets.stop(Signal::SIGTERM);
    let fields =
        ["tcp.srcport", "tcp.seq", "tcp.len", "tcp.window_size_value", "tcp.analysis.retransmission"];
    let fields: Vec<&str> = fields.iter().flat_map(|field| ["-e", field]).collect();
    let told = told_by("tshark", &[&["-r", &packets.file(), "-T", "fields"], &fields[..]].concat());
    let ours: String = end.lines("segment ").iter().map(|line| told_by_us(line)).collect();
    assert_eq!(ours, told);
    assert!(told.contains(&client.port().to_string()) && told.contains(&server.port().to_string()));
}

fn told_by_us(line: &str) -> String {
    let port = field(line, "local").rsplit_once(':').unwrap().1;
    let [sequence, length, window] = ["seq", "length", "window"].map(|key| field(line, key));
    let again = if line.ends_with(" retransmission") { "1" } else { "" };
    format!("{port}\t{sequence}\t{length}\t{window}\t{again}\n")
}

/// A client that sends five bytes to a server that hears no segment any more, and sends them again.
fn make_retransmission() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = connect(server.local_addr().unwrap());
    let accepted = accept(&server);
    let nothing = SockFilter::new(0x06, 0, 0, 0);
    SockRef::from(&accepted).attach_filter(&[nothing]).unwrap();
    let before = segments_received();
    std::io::Write::write_all(&mut &client, b"abcde").unwrap();
    until("a retransmission", || (segments_received() >= before + 2).then_some(()));
    reset(client);
    reset(accepted);
    wait_for_silence();
}

#[test]
fn what_is_sent_again_is_marked() {
    if !isolated() {
        return;
    }
    let mut packets = Packets::start(&[]);
    make_retransmission();
    let (end, _, _) = packets.stop(Signal::SIGTERM);
    let data: Vec<bool> = end
        .lines("segment ")
        .iter()
        .filter(|line| field(line, "length") == "5")
        .map(|line| line.ends_with(" retransmission"))
        .collect();
    assert!(data.len() >= 2, "{}", end.stdout);
    assert!(!data[0] && data[1..].iter().all(|again| *again), "{}", end.stdout);
    let marked = end.lines("segment ").into_iter().filter(|line| line.contains("retransmission")).count();
    assert_eq!(marked, data.len() - 1);
}

#[test]
fn only_the_ports_asked_for_are_captured_and_shown() {
    if !isolated() {
        return;
    }
    let (one, two) = (Listener::start(&[]), Listener::start(&[]));
    let port = one.address.port().to_string();
    let mut packets = Packets::start(&["--port", &port]);
    make_connections(one.address, 1);
    make_connections(two.address, 1);
    wait_for_silence();
    let (end, captured, _) = packets.stop(Signal::SIGTERM);
    let of_one = |line: &&str| line.contains(&format!("127.0.0.1:{port} "));
    assert_eq!(end.lines("segment ").into_iter().filter(of_one).count() as u64, captured);
    assert_eq!(segments(&packets.file()).len() as u64, captured);
    assert!(captured > 8);

    let mut packets = Packets::start(&[]);
    make_connections(one.address, 1);
    make_connections(two.address, 1);
    wait_for_silence();
    let (end, _, _) = packets.stop(Signal::SIGTERM);
    let expected = end.lines("segment ").into_iter().filter(of_one).count();
    assert_eq!(read(&packets.file(), &["--port", &port]).len(), expected);
}

#[test]
fn a_capture_ends_after_as_many_segments_as_asked_for() {
    if !isolated() {
        return;
    }
    let mut packets = Packets::start(&["--count", "3"]);
    make_one_connection("127.0.0.1");
    let end = packets.program.end().well();
    assert_eq!(end.lines("segment ").len(), 3);
    assert_eq!(end.lines("captured "), ["captured packets=3 dropped=0"]);
    assert_eq!(segments(&packets.file()).len(), 3);
    assert_eq!(read(&packets.file(), &["--count", "2"]).len(), 2);
}

#[test]
fn names_stand_in_place_of_addresses() {
    if !isolated() {
        return;
    }
    let mut packets = Packets::start(&[]);
    let (client, server) = make_one_connection("127.0.0.1");
    packets.stop(Signal::SIGTERM);
    let lines =
        read(&packets.file(), &["--name", &format!("{client}=red"), "--name", &format!("{server}=one")]);
    assert_eq!((field(&lines[0], "local"), field(&lines[0], "remote")), ("red", "one"));
    assert_eq!((field(&lines[1], "local"), field(&lines[1], "remote")), ("one", "red"));
    assert!(lines.iter().all(|line| !line.contains("127.0.0.1")));
}

#[test]
fn json_tells_the_time_of_the_segment_and_its_options_one_by_one() {
    if !isolated() {
        return;
    }
    let mut packets = Packets::start(&["--format", "json"]);
    let (client, server) = make_one_connection("127.0.0.1");
    packets.program.signal(Signal::SIGTERM);
    let end = packets.program.end().well();
    let objects: Vec<Value> = end.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects[0]["event"], "capturing");
    let syn = &objects[1];
    assert_eq!((&syn["schema"], &syn["event"]), (&1.into(), &"segment".into()));
    assert_eq!(syn["time_us"], segments(&packets.file())[0].time.as_micros() as u64);
    assert_eq!((&syn["from"], &syn["to"]), (&client.to_string().into(), &server.to_string().into()));
    assert_eq!((&syn["flags"], &syn["seq"], &syn["ack"]), (&"S".into(), &0.into(), &Value::Null));
    assert_eq!((&syn["length"], &syn["retransmission"]), (&0.into(), &false.into()));
    assert!(syn["options"][0].as_str().unwrap().starts_with("mss "), "{syn}");
    let last = objects.last().unwrap();
    assert_eq!((&last["event"], &last["dropped"]), (&"captured".into(), &0.into()));
    assert_eq!(last["packets"], objects.len() - 2);
}

#[test]
fn of_other_interfaces_both_directions_are_captured() {
    if !has("unshare") || !isolated() {
        return;
    }
    if !ip("link add v0 type veth peer name v1") {
        return skip("no pair of interfaces can be made here");
    }
    let script = "echo ready; until ip link set v1 up; do sleep 0.01; done 2>/dev/null
        ip address add 192.0.2.2/24 dev v1 && exec \"$0\" 3000 192.0.2.2";
    let mut other = Command::new("unshare");
    let other = Program::spawn(other.args(["--net", "sh", "-c", script, path("listener")]));
    other.line("ready");
    assert!(ip(&format!("link set v1 netns {}", other.pid())));
    assert!(ip("address add 192.0.2.1/24 dev v0") && ip("link set v0 up"));
    other.line("listening ");
    let mut packets = Packets::start(&[]);
    make_connections(SocketAddr::from(([192, 0, 2, 2], 3000)), 1);
    wait_for_silence();
    let (end, captured, dropped) = packets.stop(Signal::SIGTERM);
    let sent = segments_sent();
    assert_eq!((captured, dropped), (segments_received() + sent, 0), "{}", end.stdout);
    let sent_here =
        end.lines("segment ").into_iter().filter(|line| field(line, "remote") == "192.0.2.2:3000");
    assert_eq!(sent_here.count() as u64, sent);
    if has("capinfos") {
        let told = told_by("capinfos", &[&packets.file()]);
        assert!(told.contains("Name = v0"), "{told}");
    }
}

fn ip(words: &str) -> bool {
    Command::new("ip").args(words.split(' ')).status().is_ok_and(|status| status.success())
}

#[test]
fn without_the_privilege_the_way_to_get_it_is_told() {
    let mut command = as_ordinary_user(path("fourtuple"));
    let end = Program::spawn(command.arg("packets").arg("--count=1")).end();
    if end.status == Some(0) {
        return skip("this user may capture");
    }
    let end = end.with_status(1);
    assert_eq!(
        end.stderr,
        "fourtuple: socket AF_PACKET: EPERM (Operation not permitted)\n\
         capturing needs CAP_NET_RAW in this network\n\
         hint: fourtuple isolate -- …, where an ordinary user has it; or root\n"
    );
    assert_eq!(end.stdout, "");
}

#[test]
fn a_cut_file_shows_what_is_whole_and_one_line_of_error() {
    if !isolated() {
        return;
    }
    let mut packets = Packets::start(&[]);
    make_one_connection("127.0.0.1");
    let (end, captured, _) = packets.stop(Signal::SIGTERM);
    let whole = end.lines("segment ");
    let bytes = fs::read(packets.file()).unwrap();
    fs::write(packets.file(), &bytes[..bytes.len() - 5]).unwrap();
    let cut = Program::run("fourtuple", &["packets", "--read", &packets.file()]).with_status(1);
    assert_eq!(cut.stdout.lines().collect::<Vec<_>>(), whole[..whole.len() - 1]);
    let words = format!("fourtuple: read {}: cut short after {} packets\n", packets.file(), captured - 1);
    assert_eq!(cut.stderr, words);
}

#[test]
fn what_is_no_pcapng_is_one_line_of_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    let path = file.to_str().unwrap();
    for bytes in [&b""[..], b"x", b"no pcapng file at all, but words", &[0; 100]] {
        fs::write(&file, bytes).unwrap();
        let end = Program::run("fourtuple", &["packets", "--read", path]).with_status(1);
        assert_eq!(
            (end.stdout, end.stderr),
            (String::new(), format!("fourtuple: read {path}: not a pcapng file\n"))
        );
    }
    let end = Program::run("fourtuple", &["packets", "--read", "/nonexistent/file"]).with_status(1);
    assert_eq!(end.stderr, "fourtuple: open /nonexistent/file: ENOENT (No such file or directory)\n");
}

#[test]
fn a_full_disk_ends_the_capture_with_the_error() {
    if !isolated() {
        return;
    }
    let mut program = Program::start("fourtuple", &["packets", "--write", "/dev/full"]);
    program.line("capturing ");
    make_one_connection("127.0.0.1");
    let end = program.end().with_status(1);
    assert_eq!(end.stderr, "fourtuple: write /dev/full: ENOSPC (No space left on device)\n");
}

#[test]
fn short_help_fits_40_lines_of_80_columns() {
    let help = short_help("fourtuple", &["packets"]);
    assert!(help.contains("\nExamples:\n  fourtuple packets "), "{help}");
}

#[test]
fn wrong_usage_names_the_argument() {
    for (arguments, named) in [
        (&["--port", "70000"][..], "'70000' for '--port"),
        (&["--count", "0"], "'0' for '--count"),
        (&["--buffer", "64KiB"], "'64KiB' for '--buffer"),
        (&["--name", "red"], "'red' for '--name"),
        (&["--read", "a", "--write", "b"], "--write"),
        (&["--format", "xml"], "'xml' for '--format"),
    ] {
        refused("fourtuple", &[&["packets"], arguments].concat(), named);
    }
}
