//! A call and its arguments.

use std::ops::Range;
use std::time::Duration;

use crate::net::{NamedOption, OptionValue, Takes, TcpState};
use nix::sys::socket::MsgFlags;

use super::cursor::Cursor;
use super::sockets::socket_name;
use super::values::{
    self, device, direction, duration, family, flags, on_or_off, ports, received_size, segment_flags, size,
    user,
};
use crate::commands::perform::steps::{Address, Call, Family, MESSAGE_FLAGS, POLL_FLAGS, Payload};
use crate::commands::perform::words::{Checked, Mistake};

const CALLS: [&str; 20] = [
    "socket",
    "setsockopt",
    "getsockopt",
    "bind",
    "listen",
    "accept",
    "connect",
    "send",
    "recv",
    "shutdown",
    "close",
    "nonblocking",
    "poll",
    "getsockname",
    "getpeername",
    "hide",
    "show",
    "wait",
    "pause",
    "setfsuid",
];

/// The call that `word`, which stands at `at`, and the words behind it are.
pub(super) fn call(word: &str, at: Range<usize>, words: &mut Cursor) -> Checked<Call> {
    Ok(match word {
        "socket" if words.is_at_end() => Call::Socket(Family::Inet),
        "socket" => Call::Socket(words.read("inet or inet6", family)?),
        "setsockopt" => set_option(words)?,
        "getsockopt" => Call::GetOption(option(words)?.0),
        "bind" => Call::Bind(address(words)?),
        "listen" => Call::Listen(words.read("a backlog, a whole number", |word| word.parse().ok())?),
        "accept" => Call::Accept(accepted_name(words)?),
        "connect" => Call::Connect(address(words)?),
        "send" => Call::Send(payload(words)?, message_flags(words)?),
        "recv" => Call::Receive(words.optional(received_size), message_flags(words)?),
        "shutdown" => Call::Shutdown(words.read("RD, WR or RDWR", direction)?),
        "close" => Call::Close,
        "nonblocking" => Call::Nonblocking(words.read("on or off", on_or_off)?),
        "poll" => poll(words)?,
        "getsockname" => Call::LocalName,
        "getpeername" => Call::RemoteName,
        "hide" => hide(words)?,
        "show" => {
            segments(words)?;
            Call::Show
        }
        "wait" => Call::WaitFor(state(words)?),
        "pause" => pause(words)?,
        "setfsuid" => Call::SetOwner(words.read("the number of a user", user)?),
        _ => return Err(Mistake::new(at, format!("no such call; expected one of {}", CALLS.join(", ")))),
    })
}

fn option(words: &mut Cursor) -> Checked<(&'static NamedOption, Range<usize>)> {
    let (name, at) = words.plain("a socket option, such as SO_REUSEADDR")?;
    let found = NamedOption::find(&name);
    let all = || NamedOption::ALL.iter().map(|option| option.name).collect::<Vec<_>>().join(", ");
    let option = found.ok_or_else(|| {
        Mistake::new(at.clone(), format!("no socket option that is known here; expected one of {}", all()))
    })?;
    Ok((option, at))
}

fn set_option(words: &mut Cursor) -> Checked<Call> {
    let (option, at) = option(words)?;
    let number = |word: &str| word.parse::<i32>().ok();
    let value = match option.takes {
        None => {
            return Err(Mistake::new(at, format!("{} can only be read; expected getsockopt", option.name)));
        }
        Some(Takes::Number) => {
            let number = |word: &str| number(word).or_else(|| i32::try_from(size(word)?).ok());
            OptionValue::Number(words.read("a whole number, such as 0, 1 or 64KiB", number)?)
        }
        Some(Takes::Linger) => {
            let on = words.read("0 or 1, then seconds", number)?;
            OptionValue::Linger(on, words.read("seconds, a whole number", number)?)
        }
        Some(Takes::Time) => OptionValue::Time(words.read(DURATION, duration)?),
        Some(Takes::Ports) => {
            let ports = words.read("two ports, such as 40000-40007", ports)?;
            OptionValue::Ports(ports.0, ports.1)
        }
        Some(Takes::Device) => {
            OptionValue::Device(words.read("the name of an interface, such as lo, or - for none", device)?)
        }
    };
    Ok(Call::SetOption(option, value))
}

const DURATION: &str = "a duration with its unit, such as 100ms";

fn address(words: &mut Cursor) -> Checked<Address> {
    let expected = "an address and a port, such as 127.0.0.1:3001 or [::1]:3001, or @NAME for that socket's";
    words.read(expected, values::address)
}

fn accepted_name(words: &mut Cursor) -> Checked<String> {
    words.read("`as` and a name for the new socket", |word| (word == "as").then_some(()))?;
    let (name, at) = words.plain("a name for the new socket")?;
    socket_name(&name, at)
}

fn payload(words: &mut Cursor) -> Checked<Payload> {
    let expected = "a text in double quotes, or a size with its unit, such as 64KiB";
    match words.quoted() {
        Some(text) => Ok(Payload::Text(text)),
        None => words.read(expected, size).map(Payload::Filler),
    }
}

fn message_flags(words: &mut Cursor) -> Checked<MsgFlags> {
    if words.is_at_end() {
        return Ok(MsgFlags::empty());
    }
    let names = MESSAGE_FLAGS.map(|(name, _)| name).join(", ");
    words.read(&format!("one of {names}, or several with | between them"), |word| flags(&MESSAGE_FLAGS, word))
}

fn poll(words: &mut Cursor) -> Checked<Call> {
    let events = words.optional(|word| flags(&POLL_FLAGS, word));
    if words.is_at_end() {
        return Ok(Call::Poll(events, Duration::ZERO));
    }
    let names = POLL_FLAGS.map(|(name, _)| name).join("|");
    let time = words.read(&format!("events such as {names}, then {DURATION}"), duration)?;
    Ok(Call::Poll(events, time))
}

fn segments(words: &mut Cursor) -> Checked<()> {
    words.read("`segments`", |word| (word == "segments").then_some(()))
}

fn hide(words: &mut Cursor) -> Checked<Call> {
    segments(words)?;
    if words.is_at_end() {
        return Ok(Call::Hide(None));
    }
    let flags = words.read("a segment's flags as tcpdump spells them, such as S, S. or F.", segment_flags)?;
    Ok(Call::Hide(Some(flags)))
}

fn state(words: &mut Cursor) -> Checked<TcpState> {
    let linux = [TcpState::NewSynReceived, TcpState::BoundInactive];
    let states = TcpState::ALL.iter().filter(|state| !linux.contains(state));
    let names: Vec<&str> = states.map(|state| state.name()).collect();
    let expected = format!("a state, one of {}", names.join(", "));
    words.read(&expected, |word| word.parse().ok().filter(|state| !linux.contains(state)))
}

fn pause(words: &mut Cursor) -> Checked<Call> {
    if words.is_at_end() {
        return Ok(Call::Pause(None));
    }
    words.read(DURATION, duration).map(Some).map(Call::Pause)
}
