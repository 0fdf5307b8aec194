//! `fourtuple sockets` against /proc/net/tcp, /proc/net/tcp6 and /proc/PID/fd.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use crate::program::namespace::isolated;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, SockFilter, Socket, Type};

const DEADLINE: Duration = Duration::from_secs(600);
const BACKLOG: i32 = 77;
/// SO_RCVBUF in bytes, which accepted sockets inherit.
const ROOM: usize = 4096;

/// The kernel's numbers for the states in /proc/net/tcp, in their order, from 1.
const STATES: [&str; 11] = [
    "ESTABLISHED",
    "SYN-SENT",
    "SYN-RECEIVED",
    "FIN-WAIT-1",
    "FIN-WAIT-2",
    "TIME-WAIT",
    "CLOSED",
    "CLOSE-WAIT",
    "LAST-ACK",
    "LISTEN",
    "CLOSING",
];

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    local: SocketAddr,
    remote: SocketAddr,
    state: String,
    receive_queue: u32,
    send_queue: u32,
    uid: u32,
    inode: u32,
}

fn fourtuple(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fourtuple"));
    command.arg("sockets").args(arguments);
    command
}

fn run(arguments: &[&str]) -> Output {
    fourtuple(arguments).output().unwrap()
}

fn lines(arguments: &[&str]) -> Vec<String> {
    let output = run(arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// The table as the program prints it, each row with its processes.
fn told(arguments: &[&str]) -> Vec<(Row, String)> {
    let parse = |line: &String| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [state, local, remote, receive_queue, send_queue, _timer, uid, inode, _reuse, processes] =
            columns[..]
        else {
            panic!("not ten columns: {line}");
        };
        let row = Row {
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
            state: state.to_owned(),
            receive_queue: receive_queue.parse().unwrap(),
            send_queue: send_queue.parse().unwrap(),
            uid: uid.parse().unwrap(),
            inode: inode.parse().unwrap(),
        };
        (row, processes.to_owned())
    };
    lines(&[arguments, &["--no-header"]].concat()).iter().map(parse).collect()
}

/// The table as /proc/net/tcp and /proc/net/tcp6 have it, proc(5).
fn proc_net() -> Vec<Row> {
    let files = ["/proc/self/net/tcp", "/proc/self/net/tcp6"].map(|path| fs::read_to_string(path).unwrap());
    files.iter().flat_map(|text| text.lines().skip(1)).map(parse_proc).collect()
}

fn parse_proc(line: &str) -> Row {
    let columns: Vec<&str> = line.split_whitespace().collect();
    let hexadecimal = |text: &str| u32::from_str_radix(text, 16).unwrap();
    let (send_queue, receive_queue) = columns[4].split_once(':').unwrap();
    Row {
        local: parse_proc_address(columns[1]),
        remote: parse_proc_address(columns[2]),
        state: STATES[hexadecimal(columns[3]) as usize - 1].to_owned(),
        receive_queue: hexadecimal(receive_queue),
        send_queue: hexadecimal(send_queue),
        uid: columns[7].parse().unwrap(),
        inode: columns[9].parse().unwrap(),
    }
}

fn parse_proc_address(text: &str) -> SocketAddr {
    let (ip, port) = text.split_once(':').unwrap();
    let words = ip.as_bytes().chunks(8).map(|word| str::from_utf8(word).unwrap());
    let bytes: Vec<u8> =
        words.flat_map(|word| u32::from_str_radix(word, 16).unwrap().to_ne_bytes()).collect();
    let port = u16::from_str_radix(port, 16).unwrap();
    match <[u8; 4]>::try_from(&bytes[..]) {
        Ok(ip) => (Ipv4Addr::from(ip), port).into(),
        Err(_) => (Ipv6Addr::from(<[u8; 16]>::try_from(&bytes[..]).unwrap()), port).into(),
    }
}

/// Every socket's processes as the program is to show them, from all the descriptors that can be seen.
fn proc_fd() -> BTreeMap<u32, BTreeSet<String>> {
    let mut owners: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(name) = fs::read_to_string(process.path().join("comm")) else { continue };
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else { continue };
        for link in descriptors.flatten().filter_map(|descriptor| fs::read_link(descriptor.path()).ok()) {
            let link = link.to_string_lossy().into_owned();
            if let Some(inode) = link.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']')) {
                let process = format!("{}({pid})", name.trim_end());
                owners.entry(inode.parse().unwrap()).or_default().insert(process);
            }
        }
    }
    owners
}

fn wait_until<T: Debug>(what: &str, mut look: impl FnMut() -> Result<(), T>) {
    let deadline = Instant::now() + DEADLINE;
    while let Err(seen) = look() {
        assert!(Instant::now() < deadline, "not in {DEADLINE:?}: {what}; last seen: {seen:#?}");
    }
}

/// Sockets in every state that can be held, and the addresses that tell them from those of others.
struct Lab {
    /// Addresses that have rows of others, such as what remains in TIME-WAIT of earlier runs.
    strange: BTreeSet<SocketAddr>,
    sockets: Vec<Socket>,
    /// An address of each: the listener's where there is one.
    anchors: BTreeSet<SocketAddr>,
    bound: BTreeSet<SocketAddr>,
    /// Whether SO_ATTACH_FILTER is allowed; some kernels ask for privilege.
    filters: bool,
}

impl Lab {
    fn new() -> Self {
        let strange = proc_net().into_iter().flat_map(|row| [row.local, row.remote]).collect();
        let filters = drop_all(&Socket::new(Domain::IPV4, Type::STREAM, None).unwrap()).is_ok();
        Self { strange, sockets: Vec::new(), anchors: BTreeSet::new(), bound: BTreeSet::new(), filters }
    }

    fn own(&self, row: &Row) -> bool {
        self.anchors.contains(&row.local) || self.anchors.contains(&row.remote)
    }

    fn bind(&mut self, ip: &str) -> Socket {
        let address = SocketAddr::new(ip.parse().unwrap(), 0);
        let open = || {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
            socket.bind(&address.into()).unwrap();
            socket
        };
        let socket =
            std::iter::repeat_with(open).find(|socket| !self.strange.contains(&local(socket))).unwrap();
        self.anchors.insert(local(&socket));
        socket
    }

    fn listen(&mut self, ip: &str, backlog: i32) -> Socket {
        let socket = self.bind(ip);
        socket.set_recv_buffer_size(ROOM).unwrap();
        socket.listen(backlog).unwrap();
        socket
    }

    fn pairs(&mut self, listener: &Socket, count: usize) -> Vec<(Socket, Socket)> {
        (0..count).map(|_| connect(listener)).collect()
    }

    fn keep(&mut self, pairs: Vec<(Socket, Socket)>) {
        self.sockets.extend(pairs.into_iter().flat_map(|(client, server)| [client, server]));
    }

    fn fill(&mut self, ip: &str) {
        let listener = self.listen(ip, BACKLOG);
        let idle: Vec<Socket> = (0..40).map(|_| self.listen(ip, BACKLOG)).collect();
        self.sockets.extend(idle);
        let bound: Vec<Socket> = (0..40).map(|_| self.bind(ip)).collect();
        self.bound.extend(bound.iter().map(local));
        self.sockets.extend(bound);
        let established = self.pairs(&listener, 90);
        for (client, _) in &established[..10] {
            client.send(b"not read").unwrap();
        }
        self.keep(established);
        self.finish(&listener);
        self.overflow(ip);
        for (client, mut server) in self.pairs(&listener, 60) {
            drop(client);
            assert_eq!(server.read(&mut [0]).unwrap(), 0);
        }
        if self.filters {
            self.deafen(&listener);
        }
        self.sockets.push(listener);
    }

    /// CLOSE-WAIT and FIN-WAIT-2; FIN-WAIT-1 and LAST-ACK, held by a window that stays shut before the FIN.
    fn finish(&mut self, listener: &Socket) {
        let half_closed = self.pairs(listener, 40);
        let last_ack = self.pairs(listener, 30);
        for (client, _) in half_closed.iter().chain(&last_ack) {
            client.shutdown(Shutdown::Write).unwrap();
        }
        wait_for_no_fin_wait_1(local(listener));
        for (_, server) in &last_ack {
            shut_window(server);
            server.shutdown(Shutdown::Write).unwrap();
        }
        let fin_wait_1 = self.pairs(listener, 30);
        for (client, _) in &fin_wait_1 {
            shut_window(client);
            client.shutdown(Shutdown::Write).unwrap();
        }
        self.keep(half_closed);
        self.keep(last_ack);
        self.keep(fin_wait_1);
    }

    /// SYN-SENT: one connection fills the accept queue, and the SYNs after it are dropped. Nobody accepts the one.
    fn overflow(&mut self, ip: &str) {
        let listener = self.listen(ip, 0);
        let first = open(&listener);
        first.connect(&local(&listener).into()).unwrap();
        wait_until("a full accept queue", || {
            let row =
                proc_net().into_iter().find(|row| row.local == local(&listener) && row.state == "LISTEN");
            if row.as_ref().is_some_and(|row| row.receive_queue == 1) { Ok(()) } else { Err(row) }
        });
        for _ in 0..20 {
            let waiting = open(&listener);
            waiting.set_nonblocking(true).unwrap();
            waiting.connect(&local(&listener).into()).unwrap_err();
            self.sockets.push(waiting);
        }
        self.sockets.extend([listener, first]);
    }

    /// CLOSING, where only one of two FINs arrives, and SYN-RECEIVED, where the SYN-ACK does not.
    fn deafen(&mut self, listener: &Socket) {
        let closing = self.pairs(listener, 20);
        for (client, server) in &closing {
            drop_all(server).unwrap();
            drop_all(client).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            server.shutdown(Shutdown::Write).unwrap();
            client.detach_filter().unwrap();
        }
        self.keep(closing);
        for _ in 0..20 {
            let deaf = open(listener);
            drop_all(&deaf).unwrap();
            deaf.set_nonblocking(true).unwrap();
            deaf.connect(&local(listener).into()).unwrap_err();
            self.sockets.push(deaf);
        }
    }
}

fn local(socket: &Socket) -> SocketAddr {
    socket.local_addr().unwrap().as_socket().unwrap()
}

fn open(listener: &Socket) -> Socket {
    let socket = Socket::new(Domain::for_address(local(listener)), Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(ROOM).unwrap();
    socket
}

fn connect(listener: &Socket) -> (Socket, Socket) {
    let client = open(listener);
    client.connect(&local(listener).into()).unwrap();
    (client, listener.accept().unwrap().0)
}

/// Sends more than the remote side has room for, which does not read.
fn shut_window(socket: &Socket) {
    socket.set_nonblocking(true).unwrap();
    while socket.send(&[0; 65536]).is_ok() {}
}

fn wait_for_no_fin_wait_1(remote: SocketAddr) {
    wait_until("no FIN-WAIT-1", || {
        let mut rows = proc_net();
        rows.retain(|row| row.remote == remote && row.state == "FIN-WAIT-1");
        if rows.is_empty() { Ok(()) } else { Err(rows) }
    });
}

/// The socket receives nothing any more: a filter that keeps no byte of a segment.
fn drop_all(socket: &Socket) -> std::io::Result<()> {
    socket.attach_filter(&[SockFilter::new(6, 0, 0, 0)])
}

fn counts<'a>(rows: impl IntoIterator<Item = &'a Row>) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for row in rows {
        *counts.entry(row.state.as_str()).or_default() += 1;
    }
    counts
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_thousand_sockets_in_nine_states_or_more_are_what_the_kernel_says_elsewhere() {
    // Elsewhere another test may get a port that was closed here, and its TIME-WAIT would be counted.
    if !isolated() {
        return;
    }
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let mut lab = Lab::new();
    lab.fill("127.0.0.1");
    lab.fill("::1");
    let mut expected = BTreeMap::from([
        ("BOUND", 80),
        ("CLOSE-WAIT", 80),
        ("ESTABLISHED", 424),
        ("FIN-WAIT-1", 60),
        ("FIN-WAIT-2", 140),
        ("LAST-ACK", 60),
        ("LISTEN", 84),
        ("SYN-SENT", 40),
        ("TIME-WAIT", 120),
    ]);
    if lab.filters {
        expected.extend([("CLOSING", 40), ("FIN-WAIT-1", 100), ("SYN-RECEIVED", 40), ("SYN-SENT", 80)]);
    }
    assert!(expected.values().sum::<usize>() > 1000);
    // A second process that has one of the sockets.
    let shared = OwnedFd::from(lab.sockets.last().unwrap().try_clone().unwrap());
    let _second = Killed(Command::new("sleep").arg("60").stdin(shared).spawn().unwrap());

    wait_until("the same rows in both", || {
        let own = |rows: Vec<Row>| -> BTreeSet<Row> { rows.into_iter().filter(|row| lab.own(row)).collect() };
        let before = own(proc_net());
        let told = told(&[]);
        let (bound, mut rows): (BTreeSet<Row>, BTreeSet<Row>) = told
            .iter()
            .map(|(row, _)| row.clone())
            .filter(|row| lab.own(row))
            .partition(|row| row.state == "BOUND");
        let counted = counts(rows.iter().chain(&bound));
        if counted != expected {
            return Err(format!("{counted:?}"));
        }
        assert_eq!(bound.iter().map(|row| row.local).collect::<BTreeSet<_>>(), lab.bound);
        // /proc/net/tcp has no backlog.
        let listening = rows.extract_if(.., |row| row.state == "LISTEN").collect::<Vec<_>>();
        rows.extend(listening.into_iter().map(|row| {
            assert!([0, BACKLOG as u32].contains(&row.send_queue), "{row:?}");
            Row { send_queue: 0, ..row }
        }));
        let after = own(proc_net());
        match before == after && rows == before {
            true => Ok(()),
            false => Err(format!("{:#?}", rows.symmetric_difference(&after).collect::<Vec<_>>())),
        }
    });

    let owners = proc_fd();
    let mut several = 0;
    for (row, processes) in told(&[]).into_iter().filter(|(row, _)| lab.own(row)) {
        let told: BTreeSet<String> =
            processes.split(',').filter(|name| *name != "-").map(str::to_owned).collect();
        assert_eq!(told, owners.get(&row.inode).cloned().unwrap_or_default(), "{row:?}");
        several += usize::from(told.len() > 1);
    }
    assert_eq!(several, 1, "one socket has two owners");
}

#[test]
fn filters_choose_rows_by_state_address_and_port() {
    let mut lab = Lab::new();
    let listener = lab.listen("127.0.0.1", BACKLOG);
    let bound = lab.bind("::1");
    let (client, _server) = connect(&listener);
    let (here, there) = (local(&client).to_string(), local(&listener).to_string());
    let port = local(&listener).port().to_string();
    // Others may use the same port number of another address.
    let states = |arguments: &[&str]| -> Vec<String> {
        told(arguments).into_iter().filter(|(row, _)| lab.own(row)).map(|(row, _)| row.state).collect()
    };
    assert_eq!(states(&["--port", &port]), ["LISTEN", "ESTABLISHED", "ESTABLISHED"]);
    assert_eq!(states(&["--port", &port, "--state", "listen"]), ["LISTEN"]);
    assert_eq!(states(&["--port", &port, "--state", "LISTEN,established"]).len(), 3);
    assert_eq!(states(&["--port", &port, "--state", "time-wait", "--state", "listen"]), ["LISTEN"]);
    assert_eq!(states(&["--local", &here]), ["ESTABLISHED"]);
    assert_eq!(states(&["--local", &here, "--remote", &there]), ["ESTABLISHED"]);
    assert_eq!(states(&["--local", &there, "--remote", &there]), [""; 0]);
    assert_eq!(states(&["--local", &format!(":{port}")]), ["LISTEN", "ESTABLISHED"]);
    assert_eq!(states(&["--local", &local(&bound).to_string()]), ["BOUND"]);
    assert_eq!(
        states(&["--state", "bound", "--local", "::1", "--port", &local(&bound).port().to_string()]),
        ["BOUND"]
    );
}

#[test]
fn nothing_that_matches_is_a_header_alone_and_no_failure() {
    let rows = lines(&["--local", "127.250.250.250"]);
    assert_eq!(rows.len(), 1);
    assert!(rows[0].starts_with("STATE  LOCAL  REMOTE"), "{rows:?}");
}

#[test]
fn json_has_one_object_a_socket() {
    let listener = Lab::new().listen("127.0.0.1", BACKLOG);
    let address = local(&listener).to_string();
    let rows = lines(&["--local", &address, "--state", "listen", "--format", "json"]);
    let object: serde_json::Value = serde_json::from_str(&rows[0]).unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(object["event"], "socket");
    assert_eq!(object["state"], "LISTEN");
    assert_eq!(object["local"], address);
    assert_eq!(object["send_queue"], BACKLOG);
    assert_eq!(object["processes"][0]["pid"], std::process::id());
}

#[test]
fn time_wait_tells_how_long_it_lasts() {
    let listener = Lab::new().listen("127.0.0.1", BACKLOG);
    let (client, mut server) = connect(&listener);
    let (here, there) = (local(&client).to_string(), local(&listener).to_string());
    drop(client);
    assert_eq!(server.read(&mut [0]).unwrap(), 0);
    drop(server);
    wait_until("TIME-WAIT", || {
        let rows = lines(&["--local", &here, "--remote", &there, "--state", "time-wait", "--format", "json"]);
        let object = rows.first().map(|row| serde_json::from_str::<serde_json::Value>(row).unwrap());
        match object {
            Some(object) if object["timer"] == "time-wait" => {
                let remaining = object["timer_remaining_us"].as_u64().unwrap();
                assert!((12_000_000..=61_000_000).contains(&remaining), "{remaining}");
                Ok(())
            }
            seen => Err(seen),
        }
    });
}

#[test]
fn wrong_usage_names_the_argument_and_ends_with_2() {
    for [option, value] in [
        ["--state", "connected"],
        ["--local", "1.2.3"],
        ["--remote", "localhost:1"],
        ["--port", "70000"],
        ["--format", "xml"],
    ] {
        let output = run(&[option, value]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(option) && error.contains(value), "{error}");
    }
}

#[test]
fn output_that_cannot_be_written_is_told_and_a_reader_that_left_is_not() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = fourtuple(&[]).stdout(full).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(error.starts_with("fourtuple: write standard output: ENOSPC"), "{error}");

    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = fourtuple(&[]).stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), b"".as_slice()));
}

#[test]
fn short_help_fits_a_screen_and_has_examples() {
    let help = lines(&["-h"]);
    assert!(help.len() <= 40, "{} lines", help.len());
    assert!((2..=4).contains(&help.iter().filter(|line| line.starts_with("  fourtuple sockets ")).count()));
}
