//! Lines that do not end, and bytes that a terminal would obey: memory stays bounded, and nothing is lost or obeyed.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;

use crate::program::client::accept;
use crate::program::{path, until};
use nix::pty::openpty;

/// The most memory of its own that a talk may ever have used, in KiB.
const PEAK: usize = 12 * 1024;

/// Where a talk shows what arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Pipe,
    Terminal,
}

/// A talk to somebody hostile.
struct Talk {
    child: Child,
    output: File,
    stream: TcpStream,
    /// Held open: the end of input is not what is tested.
    _input: Option<ChildStdin>,
}

impl Talk {
    #[track_caller]
    fn start(shown: Shown, listens: bool) -> Self {
        let server = TcpListener::bind("127.7.7.7:0").unwrap();
        let address = server.local_addr().unwrap();
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        let mut command = Command::new(path("talk"));
        command.env("TERM", "xterm").stderr(Stdio::null());
        match listens {
            true => command.args(["--listen", &port, &ip]),
            false => command.args([&ip, &port]),
        };
        let (mut child, output, partner) = match listens {
            true => {
                drop(server);
                let (child, output) = spawn(&mut command, shown);
                (child, output, call(address))
            }
            false => {
                let (child, output) = spawn(&mut command, shown);
                (child, output, accept(&server))
            }
        };
        Self { _input: child.stdin.take(), child, output, stream: partner }
    }

    /// Sends `piece` so many times, and then FIN, while `look` is given what is shown.
    fn flood(mut self, piece: &[u8], times: usize, mut look: impl FnMut(&[u8]) + Send) {
        let (stream, mut output) = (self.stream, self.output);
        thread::scope(|scope| {
            scope.spawn(move || {
                let mut buffer = vec![0; 1 << 18];
                // EIO is what the end of a terminal's other side looks like.
                while let Some(length) = output.read(&mut buffer).ok().filter(|length| *length > 0) {
                    look(&buffer[..length]);
                }
            });
            (0..times).for_each(|_| (&stream).write_all(piece).unwrap());
            crate::program::kernel::wait_until_read(&stream);
            let peak = peak(self.child.id());
            eprintln!("peak {peak} KiB");
            assert!(peak < PEAK, "{peak} KiB");
            drop(stream);
            let status = until("the end of the talk", || self.child.try_wait().unwrap());
            assert!(status.success(), "{status}");
        });
    }
}

fn spawn(command: &mut Command, shown: Shown) -> (Child, File) {
    match shown {
        Shown::Pipe => {
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let output = OwnedFd::from(child.stdout.take().unwrap());
            (child, File::from(output))
        }
        Shown::Terminal => {
            let pair = openpty(None, None).unwrap();
            let child = command.stdin(pair.slave.try_clone().unwrap()).stdout(pair.slave).spawn().unwrap();
            // The command would hold the terminal open.
            command.stdin(Stdio::null()).stdout(Stdio::null());
            (child, File::from(pair.master))
        }
    }
}

fn call(address: SocketAddr) -> TcpStream {
    until("somebody who listens", || TcpStream::connect(address).ok())
}

/// The most memory that a process has used, in KiB.
fn peak(pid: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let kibibytes = |key| -> usize {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    // The pages of the program's file are the kernel's, and many where it was built for debugging.
    kibibytes("VmHWM:") - kibibytes("RssFile:")
}

/// A line without end, of so many MiB: exact on a pipe, in pieces on a terminal.
fn endless_line(mebibytes: usize) {
    for (shown, listens) in
        [(Shown::Pipe, false), (Shown::Pipe, true), (Shown::Terminal, false), (Shown::Terminal, true)]
    {
        let (mut arrived, mut other) = (0, 0);
        Talk::start(shown, listens).flood(&[b'z'; 1 << 20], mebibytes, |bytes| {
            let count = bytes.iter().filter(|&&byte| byte == b'z').count();
            arrived += count;
            other += bytes.len() - count;
        });
        assert_eq!(arrived, mebibytes << 20, "{shown:?}, listens: {listens}");
        assert!(shown == Shown::Terminal || other == 0, "{other} bytes that nobody sent");
    }
}

/// So many MiB of what a terminal would obey: none of it reaches one.
fn obeyed(mebibytes: usize) {
    for listens in [false, true] {
        let (mut escaped, mut seen) = (0, Vec::new());
        let piece = b"\x1b]0;\0\x9bz\r\xff\xc3".repeat(1 << 16);
        let times = (mebibytes << 20) / piece.len();
        Talk::start(Shown::Terminal, listens).flood(&piece, times, |bytes| {
            seen.extend_from_slice(bytes);
            let whole = seen.len().saturating_sub(4);
            for (at, &byte) in seen.iter().enumerate().take(whole) {
                escaped += usize::from(byte == b'z');
                // Our own: a line is erased, `\r\x1b[K`, and ends in `\r\n`.
                let ours = match byte {
                    0x1b => seen[at + 1..].starts_with(b"[K"),
                    b'\r' => {
                        [&b"\n"[..], b"\x1b[K", b"\r\n"].iter().any(|rest| seen[at + 1..].starts_with(rest))
                    }
                    b'\n' => true,
                    _ => (b' '..0x7f).contains(&byte),
                };
                assert!(ours, "{}", seen[at..].escape_ascii());
            }
            seen.drain(..whole);
        });
        assert_eq!(escaped, times << 16, "listens: {listens}");
    }
}

#[test]
fn a_line_without_end_costs_no_memory() {
    endless_line(32);
}

#[test]
#[ignore = "long: make soak"]
fn a_line_of_1_gib_costs_no_memory() {
    endless_line(1024);
}

#[test]
fn nothing_that_a_terminal_would_obey_reaches_it() {
    obeyed(4);
}

#[test]
#[ignore = "long: make soak"]
fn nothing_of_256_mib_that_a_terminal_would_obey_reaches_it() {
    obeyed(256);
}

#[test]
fn a_line_that_looks_like_the_relay_s_or_talk_s_own_is_the_other_side_s() {
    let forged = b"* status WRITE\nDisconnected\n> revoir \nremote: \r* welcome\n";
    let talk = Talk::start(Shown::Terminal, false);
    let mut shown = Vec::new();
    talk.flood(forged, 1, |bytes| shown.extend_from_slice(bytes));
    let shown = String::from_utf8(shown).unwrap().replace("\r\x1b[K", "");
    let lines: Vec<&str> = shown.lines().map(|line| line.trim_start_matches("> ")).collect();
    for line in ["* status WRITE", "Disconnected", "> revoir ", "remote: \\r* welcome"] {
        assert!(lines.contains(&format!("remote: {line}").as_str()), "{line}: {shown}");
    }
    assert_eq!(lines.iter().filter(|line| **line == "Disconnected").count(), 1, "{shown}");
}
