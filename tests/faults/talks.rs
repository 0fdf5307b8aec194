//! A conversation by `talk`, over pipes and on a terminal, while a call fails.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::case::{HANG, Outcome, end_in_time, names};
use super::program::terminal::Terminal;
use super::program::{Program, field, path};
use super::strace::{Attached, EVERY_20TH, Fault, Record, run_with};

/// A talk that calls an echo server, with the fault from its beginning on.
pub fn calling(fault: Fault, server: SocketAddr) -> Outcome {
    Outcome::new("talk", fault, |outcome| {
        let (mut command, record) = run_with(fault, path("talk"));
        command.args([server.ip().to_string(), server.port().to_string()]);
        let mut talk = Program::spawn_with_input(command.stdin(Stdio::piped()));
        judge(outcome, converse(&mut talk, fault.when == EVERY_20TH), &mut talk, &record)
    })
}

/// A talk that has been called, with the fault from then on.
pub fn called(fault: Fault) -> Outcome {
    Outcome::new("talk -l", fault, |outcome| {
        let (record, said, mut talk) = talk_called(Some(fault))?;
        judge(outcome, said, &mut talk, &record)
    })
}

/// A called talk after its conversation: what calls it made, and whether it said all.
pub fn talk_called(fault: Option<Fault>) -> Result<(Record, bool, Program), String> {
    let mut command = Command::new(path("talk"));
    command.args(["--listen", "0", "127.0.0.1"]).stdin(Stdio::piped());
    let mut talk = Program::spawn_with_input(&mut command);
    let address = field(&talk.error_line("listening "), "local").parse().unwrap();
    let strace = Attached::to(talk.pid(), fault)?;
    // Whoever is not accepted calls again.
    let caller = thread::spawn(move || (0..3).any(|_| echo(address) > 0));
    let said = converse(&mut talk, fault.is_none_or(|fault| fault.when == EVERY_20TH));
    caller.join().unwrap();
    Ok((strace.end(), said, talk))
}

/// Calls, and sends each line back; how many.
fn echo(address: SocketAddr) -> usize {
    let Ok(stream) = TcpStream::connect_timeout(&address, HANG) else { return 0 };
    stream.set_read_timeout(Some(HANG / 2)).unwrap();
    let lines = BufReader::new(&stream).lines().map_while(Result::ok);
    let sent = lines.take_while(|line| writeln!(&stream, "{line}").is_ok()).count();
    let _ = stream.shutdown(Shutdown::Write);
    sent
}

/// Says a line, waits for its echo, and so on, then ends the input; whether all came back.
fn converse(talk: &mut Program, long: bool) -> bool {
    let mut input = talk.input();
    (0..if long { 25 } else { 3 }).all(|number| {
        let deadline = Instant::now() + HANG / 2;
        let said = writeln!(input, "{number}").is_ok();
        while said && Instant::now() < deadline && !talk.has_ended() {
            if talk.said().lines().count() > number {
                return true;
            }
            thread::sleep(Duration::from_millis(1));
        }
        talk.said().lines().count() > number
    })
}

/// It goes on as if nothing had been, or ends with status 1 and names call and errno.
fn judge(outcome: &mut Outcome, said: bool, talk: &mut Program, record: &Record) -> Result<(), String> {
    let fault = outcome.fault;
    let (status, stderr) = end_in_time(talk)?;
    outcome.faults = record.faults(fault.call);
    outcome.lost = usize::from(!said);
    // Whoever has closed its end of standard output has seen enough.
    let enough = fault.call == "write" && fault.errno == "EPIPE";
    match status {
        Some(0) if said || enough => Ok(()),
        Some(1) if untold(fault) || stderr.lines().any(|line| names(line, fault)) => Ok(()),
        _ => Err(format!("status {status:?}, all said: {said}, {stderr:?}")),
    }
}

/// Whether the line that would tell of it is itself a write that failed.
fn untold(fault: Fault) -> bool {
    ["poll", "write"].contains(&fault.call)
}

/// A talk on a terminal, with the fault from its beginning on: the terminal is as before, too.
pub fn on_terminal(fault: Fault, server: SocketAddr) -> Outcome {
    Outcome::new("talk (tty)", fault, |outcome| {
        let (mut command, record) = run_with(fault, path("talk"));
        command.args([server.ip().to_string(), server.port().to_string()]);
        let mut terminal = Terminal::run(&command);
        // It may take its streams for no terminal.
        terminal.shows_or_ends(|shown| shown.contains("Connected to ") || shown.contains("established"));
        for number in 0..if fault.when == EVERY_20TH { 12 } else { 2 } {
            terminal.press(&format!("line {number}\r"));
            let line = format!("line {number}\r\n");
            terminal.shows_or_ends(|shown| shown.matches(&line).count() == 2);
        }
        terminal.press("\x04");
        let status = terminal.end();
        outcome.faults = record.faults(fault.call);
        outcome.lost = usize::from(status != Some(0));
        let shown = terminal.shown();
        match status {
            Some(0) => Ok(()),
            Some(1) if untold(fault) || shown.lines().any(|line| names(line, fault)) => Ok(()),
            _ => Err(format!("status {status:?}, {shown:?}")),
        }
    })
}
