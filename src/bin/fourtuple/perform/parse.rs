//! Steps read and checked, before the first one is performed.

use std::collections::HashMap;
use std::net::Shutdown;
use std::ops::Range;
use std::time::Duration;

use fourtuple::net::{NamedOption, OptionValue, Takes, TcpState};
use nix::sys::socket::MsgFlags;

use super::steps::{Address, Call, Family, MESSAGE_FLAGS, POLL_FLAGS, Payload, SegmentFlags, Step};
use super::words::{self, Kind, Mistake, Word};

/// The most that one `send` or `recv` may move.
const LARGEST: usize = 64 << 20;

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

type Parsed<T> = Result<T, Mistake>;

/// Reads `text`, and checks that each step is about a socket that is open by then.
///
/// A step without a name is about the socket that was named last, or, before any was named, about the one
/// socket without a name.
pub fn parse(text: &str) -> Parsed<Vec<Step>> {
    let mut reader = Reader { named: None, sockets: HashMap::new() };
    let words = words::steps(text)?;
    if words.is_empty() {
        return Err(Mistake::new(text.len()..text.len(), "expected a step, such as `socket`"));
    }
    let numbered = words.iter().zip(1..);
    numbered.map(|(words, number)| reader.step(words).map_err(|mistake| mistake.in_step(number))).collect()
}

struct Reader {
    /// The socket that was named last.
    named: Option<String>,
    /// Every socket so far, and whether it is still open.
    sockets: HashMap<Option<String>, bool>,
}

/// The words of a step that are still to be read.
struct Words<'a> {
    words: std::slice::Iter<'a, Word>,
    /// The place of the last word read.
    last: Range<usize>,
}

impl Reader {
    fn step(&mut self, words: &[Word]) -> Parsed<Step> {
        let mut words = Words { words: words.iter(), last: 0..0 };
        let (mut word, mut at) = words.plain("a call")?;
        let prefix = word.split_once(':').map(|(name, rest)| (name.to_owned(), rest.to_owned()));
        let named = prefix.is_some();
        if let Some((name, rest)) = prefix {
            let end = at.start + name.len();
            self.named = Some(socket_name(&name, at.start..end)?);
            (word, at) = if rest.is_empty() { words.plain("a call")? } else { (rest, end + 1..at.end) };
        }
        let call = call(&word, at.clone(), &mut words)?;
        words.nothing_more()?;
        if named && !call.has_socket() {
            let why = format!("`{}` is about no socket; expected no name before it", call.name());
            return Err(Mistake::new(at, why));
        }
        let socket = self.named.clone();
        self.account(&socket, &call, at)?;
        self.account_for_argument(&call, words.last)?;
        Ok(Step { socket, call })
    }

    /// Fails where the step's own socket is not there, or is there already.
    fn account(&mut self, socket: &Option<String>, call: &Call, at: Range<usize>) -> Parsed<()> {
        let open = self.sockets.get(socket).copied();
        let called = called(socket.as_deref());
        let expected = match (call, open) {
            (Call::WaitFor(_), Some(false)) => return Ok(()),
            (call, _) if !call.has_socket() => return Ok(()),
            (Call::Socket(_), Some(true)) => {
                "is open already; expected another name before it, as in `b: socket`"
            }
            (Call::Socket(_), _) => {
                self.sockets.insert(socket.clone(), true);
                return Ok(());
            }
            (_, None) => "is not there yet; expected `socket` or `accept as NAME` before this",
            (_, Some(false)) => "is closed by then; expected `wait`, or `socket` to open it anew",
            (Call::Close, _) => {
                self.sockets.insert(socket.clone(), false);
                return Ok(());
            }
            _ => return Ok(()),
        };
        Err(Mistake::new(at, format!("{called} {expected}")))
    }

    /// The same for a socket that an argument names, which is the last word.
    fn account_for_argument(&mut self, call: &Call, at: Range<usize>) -> Parsed<()> {
        match call {
            Call::Accept(name) => {
                if self.sockets.insert(Some(name.clone()), true) == Some(true) {
                    return Err(Mistake::new(at, format!("{name} is open already; expected another name")));
                }
                self.named = Some(name.clone());
            }
            Call::Bind(Address::Of(name)) | Call::Connect(Address::Of(name))
                if self.sockets.get(&Some(name.clone())) != Some(&true) =>
            {
                return Err(Mistake::new(at, format!("no socket {name} is open by then")));
            }
            _ => {}
        }
        Ok(())
    }
}

fn called(socket: Option<&str>) -> String {
    socket.map_or_else(|| "the socket".to_owned(), |name| format!("socket {name}"))
}

fn socket_name(name: &str, at: Range<usize>) -> Parsed<String> {
    let mut characters = name.chars();
    let begins = characters.next().is_some_and(|first| first.is_ascii_alphabetic());
    if begins && characters.all(|next| next.is_ascii_alphanumeric() || matches!(next, '-' | '_')) {
        return Ok(name.to_owned());
    }
    Err(Mistake::new(at, "not a name; expected a letter, then letters, digits, `-` and `_`"))
}

impl Words<'_> {
    /// The next word, or a mistake that says `expected` was.
    fn plain(&mut self, expected: &str) -> Parsed<(String, Range<usize>)> {
        match self.next() {
            Some(Word { at, kind: Kind::Plain(word) }) => Ok((word, at)),
            Some(Word { at, .. }) => Err(Mistake::new(at, format!("expected {expected}, not a text"))),
            None => Err(Mistake::new(self.after(), format!("expected {expected}"))),
        }
    }

    /// The next word as `read` reads it, or a mistake at that word.
    fn read<T>(&mut self, expected: &str, read: impl FnOnce(&str) -> Option<T>) -> Parsed<T> {
        let (word, at) = self.plain(expected)?;
        read(&word).ok_or_else(|| Mistake::new(at, format!("expected {expected}")))
    }

    /// The next word where it is one that `read` reads; it stays where it is not.
    fn optional<T>(&mut self, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let Some(Word { kind: Kind::Plain(word), .. }) = self.words.clone().next() else { return None };
        let value = read(word)?;
        self.next();
        Some(value)
    }

    fn next(&mut self) -> Option<Word> {
        let word = self.words.next()?.clone();
        self.last = word.at.clone();
        Some(word)
    }

    fn nothing_more(&mut self) -> Parsed<()> {
        match self.words.clone().next() {
            Some(word) => Err(Mistake::new(word.at.clone(), "expected `;` or the end")),
            None => Ok(()),
        }
    }

    fn after(&self) -> Range<usize> {
        self.last.end..self.last.end
    }
}

fn call(word: &str, at: Range<usize>, words: &mut Words) -> Parsed<Call> {
    Ok(match word {
        "socket" => Call::Socket(family(words)?),
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
        "nonblocking" => Call::Nonblocking(words.read("on or off", |word| match word {
            "on" => Some(true),
            "off" => Some(false),
            _ => None,
        })?),
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

fn family(words: &mut Words) -> Parsed<Family> {
    let family = |word: &str| match word {
        "inet" => Some(Family::Inet),
        "inet6" => Some(Family::Inet6),
        _ => None,
    };
    if words.words.len() == 0 { Ok(Family::Inet) } else { words.read("inet or inet6", family) }
}

fn option(words: &mut Words) -> Parsed<(&'static NamedOption, Range<usize>)> {
    let (name, at) = words.plain("a socket option, such as SO_REUSEADDR")?;
    let found = NamedOption::find(&name);
    let all = || NamedOption::ALL.iter().map(|option| option.name).collect::<Vec<_>>().join(", ");
    let option = found.ok_or_else(|| {
        Mistake::new(at.clone(), format!("no socket option that is known here; expected one of {}", all()))
    })?;
    Ok((option, at))
}

fn set_option(words: &mut Words) -> Parsed<Call> {
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
    };
    Ok(Call::SetOption(option, value))
}

const DURATION: &str = "a duration with its unit, such as 100ms";

fn duration(word: &str) -> Option<Duration> {
    humantime::parse_duration(word).ok()
}

fn ports(word: &str) -> Option<(u16, u16)> {
    let (lowest, highest) = word.split_once('-')?;
    Some((lowest.parse().ok()?, highest.parse().ok()?))
}

fn address(words: &mut Words) -> Parsed<Address> {
    let read = |word: &str| match word.strip_prefix('@') {
        Some(name) => socket_name(name, 0..0).ok().map(Address::Of),
        None => word.parse().ok().map(Address::Literal),
    };
    words
        .read("an address and a port, such as 127.0.0.1:3001 or [::1]:3001, or @NAME for that socket's", read)
}

fn accepted_name(words: &mut Words) -> Parsed<String> {
    words.read("`as` and a name for the new socket", |word| (word == "as").then_some(()))?;
    let (name, at) = words.plain("a name for the new socket")?;
    socket_name(&name, at)
}

fn payload(words: &mut Words) -> Parsed<Payload> {
    let expected = "a text in double quotes, or a size with its unit, such as 64KiB";
    match words.words.clone().next() {
        Some(Word { kind: Kind::Quoted(bytes), .. }) => {
            words.next();
            Ok(Payload::Text(bytes.clone()))
        }
        _ => words.read(expected, size).map(Payload::Filler),
    }
}

/// A size with its unit. The unit is required: without one, `send 64` could as well mean the text.
fn size(word: &str) -> Option<usize> {
    let size: bytesize::ByteSize = word.ends_with(['b', 'B']).then(|| word.parse().ok())??;
    usize::try_from(size.as_u64()).ok().filter(|&size| size <= LARGEST)
}

fn received_size(word: &str) -> Option<usize> {
    word.parse().ok().filter(|&size| size <= LARGEST).or_else(|| size(word))
}

/// Flags with `|` between them, or none.
fn message_flags(words: &mut Words) -> Parsed<MsgFlags> {
    if words.words.len() == 0 {
        return Ok(MsgFlags::empty());
    }
    let names = MESSAGE_FLAGS.map(|(name, _)| name).join(", ");
    words.read(&format!("one of {names}, or several with | between them"), |word| {
        let flag = |name: &str| MESSAGE_FLAGS.iter().find(|(known, _)| *known == name).map(|(_, flag)| *flag);
        word.split('|').map(flag).sum_flags()
    })
}

fn user(word: &str) -> Option<u32> {
    // -1 is nobody.
    word.parse().ok().filter(|&user| user != u32::MAX)
}

fn direction(word: &str) -> Option<Shutdown> {
    match word {
        "RD" => Some(Shutdown::Read),
        "WR" => Some(Shutdown::Write),
        "RDWR" => Some(Shutdown::Both),
        _ => None,
    }
}

fn poll(words: &mut Words) -> Parsed<Call> {
    let flag = |name: &str| POLL_FLAGS.iter().find(|(known, _)| *known == name).map(|(_, flag)| *flag);
    let events = words.optional(|word| word.split('|').map(flag).sum_flags());
    if words.words.len() == 0 {
        return Ok(Call::Poll(events, Duration::ZERO));
    }
    let names = POLL_FLAGS.map(|(name, _)| name).join("|");
    let time = words.read(&format!("events such as {names}, then {DURATION}"), duration)?;
    Ok(Call::Poll(events, time))
}

fn segments(words: &mut Words) -> Parsed<()> {
    words.read("`segments`", |word| (word == "segments").then_some(()))
}

fn hide(words: &mut Words) -> Parsed<Call> {
    segments(words)?;
    if words.words.len() == 0 {
        return Ok(Call::Hide(None));
    }
    let bit = |letter| SegmentFlags::LETTERS.iter().find(|(known, _)| *known == letter).map(|(_, bit)| *bit);
    let flags = |word: &str| word.chars().map(bit).try_fold(0, |all, bit| Some(all | bit?)).map(SegmentFlags);
    let flags = words.read("a segment's flags as tcpdump spells them, such as S, S. or F.", flags)?;
    Ok(Call::Hide(Some(flags)))
}

fn state(words: &mut Words) -> Parsed<TcpState> {
    let linux = [TcpState::NewSynReceived, TcpState::BoundInactive];
    let states = TcpState::ALL.iter().filter(|state| !linux.contains(state));
    let names: Vec<&str> = states.map(|state| state.name()).collect();
    let expected = format!("a state, one of {}", names.join(", "));
    words.read(&expected, |word| word.parse().ok().filter(|state| !linux.contains(state)))
}

fn pause(words: &mut Words) -> Parsed<Call> {
    if words.words.len() == 0 {
        return Ok(Call::Pause(None));
    }
    words.read(DURATION, duration).map(Some).map(Call::Pause)
}

/// Flags together, or `None` where one of them is unknown.
trait SumFlags<F> {
    fn sum_flags(self) -> Option<F>;
}

impl<F: std::ops::BitOr<Output = F>, I: Iterator<Item = Option<F>>> SumFlags<F> for I {
    fn sum_flags(mut self) -> Option<F> {
        let first = self.next()??;
        self.try_fold(first, |all, flag| Some(all | flag?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The steps as they are printed.
    fn understood(text: &str) -> Vec<String> {
        let print = |step: Step| {
            let name = step.socket.map(|name| format!("{name}: ")).unwrap_or_default();
            format!("{name}{} {}", step.call.name(), step.call.arguments()).trim_end().to_owned()
        };
        parse(text).unwrap_or_else(|mistake| panic!("{text}: {mistake:?}")).into_iter().map(print).collect()
    }

    #[test]
    fn every_step_is_printed_as_it_was_written() {
        let text = "a: socket; b: socket inet6; a: setsockopt SO_REUSEADDR 1; a: setsockopt SO_LINGER 1 0; \
            a: setsockopt SO_RCVTIMEO 500ms; a: setsockopt IP_LOCAL_PORT_RANGE 40000-40007; a: getsockopt SO_ERROR; \
            a: bind 127.0.0.1:3001; b: bind [::1]:3001; a: listen -1; a: accept as c; c: send \"x\\n\\xff\\\"\" MSG_OOB; \
            c: send 65536B; c: recv; c: recv 1; c: recv MSG_PEEK; c: recv 5 MSG_OOB|MSG_DONTWAIT; c: shutdown RD; \
            c: shutdown WR; c: shutdown RDWR; c: nonblocking on; c: nonblocking off; c: poll; c: poll POLLIN|POLLHUP; \
            c: poll 10ms; c: poll POLLRDHUP 1s; c: getsockname; c: getpeername; c: hide segments; c: hide segments S.; \
            c: show segments; c: wait CLOSE-WAIT; c: close; c: wait CLOSED; b: connect [::1]:3000; b: connect @a";
        let written: Vec<&str> = text.split(';').map(str::trim).collect();
        assert_eq!(understood(text), written);
    }

    #[test]
    fn a_step_without_a_name_is_about_the_socket_named_last() {
        assert_eq!(
            understood("socket; close; a:socket; b : socket".replace("b :", "b:").as_str()),
            ["socket", "close", "a: socket", "b: socket"]
        );
        assert_eq!(
            understood("a: socket; b: socket; getsockname; a: accept as c; recv"),
            ["a: socket", "b: socket", "b: getsockname", "a: accept as c", "c: recv"]
        );
    }

    #[test]
    fn steps_end_at_semicolons_and_lines_and_empty_ones_are_none() {
        assert_eq!(understood(";;socket\n\n close ; \n"), ["socket", "close"]);
        assert_eq!(understood("socket; send \"a;b\nc\""), ["socket", "send \"a;b\\nc\""]);
    }

    /// Fails unless the mistake in `text` is at the place that `marked` has between `[` and `]`.
    #[track_caller]
    fn mistaken(marked: &str, step: usize, why: &str) {
        let (before, rest) = marked.split_once('«').unwrap();
        let (place, after) = rest.split_once('»').unwrap();
        let mistake = parse(&format!("{before}{place}{after}")).unwrap_err();
        assert_eq!(
            (mistake.at.clone(), mistake.step),
            (before.len()..before.len() + place.len(), step),
            "{mistake:?}"
        );
        assert!(mistake.why.contains(why), "{mistake:?}");
    }

    #[test]
    fn a_mistake_is_pointed_at() {
        for (marked, step, why) in [
            ("«»", 1, "expected a step"),
            ("socket; «conect» 127.0.0.1:1", 2, "no such call; expected one of socket,"),
            ("socket; connect «127.0.0.1»", 2, "expected an address and a port"),
            ("socket; connect«»", 2, "expected an address and a port"),
            ("socket; bind «localhost:1»; close", 2, "expected an address and a port"),
            ("socket; bind «\"x\"»", 2, "not a text"),
            ("socket «inet4»", 1, "expected inet or inet6"),
            ("socket; listen «many»", 2, "expected a backlog"),
            ("socket; close «now»", 2, "expected `;` or the end"),
            ("socket; setsockopt «SO_REUSE» 1", 2, "SO_REUSEADDR"),
            ("socket; setsockopt «SO_ERROR» 1", 2, "only be read"),
            ("socket; setsockopt SO_REUSEADDR «on»", 2, "whole number"),
            ("socket; setsockopt SO_REUSEADDR«»", 2, "whole number"),
            ("socket; setsockopt SO_LINGER 1«»", 2, "seconds"),
            ("socket; setsockopt SO_RCVTIMEO «5»", 2, "with its unit"),
            ("socket; setsockopt IP_LOCAL_PORT_RANGE «5»", 2, "two ports"),
            ("socket; send «hello»", 2, "in double quotes"),
            ("socket; send «64»", 2, "size with its unit"),
            ("socket; send «1GiB»", 2, "size with its unit"),
            ("socket; close; «send» \"x\"", 3, "closed by then"),
            ("socket; send «\"x»", 2, "no closing"),
            ("socket; send \"x«\\q»\"", 2, "no such escape"),
            ("socket; send \"«\\x1»\"", 2, "no such escape"),
            ("socket; send \"x\" «OOB»", 2, "MSG_OOB"),
            ("socket; recv «-1»", 2, "MSG_OOB"),
            ("socket; recv 1 «MSG_OOB|»", 2, "MSG_OOB"),
            ("socket; shutdown «SHUT_WR»", 2, "RD, WR or RDWR"),
            ("socket; nonblocking «yes»", 2, "on or off"),
            ("socket; poll «IN»", 2, "POLLIN"),
            ("socket; poll POLLIN «5»", 2, "with its unit"),
            ("socket; hide «packets»", 2, "segments"),
            ("socket; hide segments «X»", 2, "tcpdump"),
            ("socket; show«»", 2, "segments"),
            ("socket; wait «BOUND»", 2, "ESTABLISHED"),
            ("socket; wait«»", 2, "ESTABLISHED"),
            ("pause «1»", 1, "with its unit"),
            ("a: «pause» 1s", 1, "no name"),
            ("a: «setfsuid» 1", 1, "no name"),
            ("setfsuid «root»", 1, "number of a user"),
            ("setfsuid «4294967295»", 1, "number of a user"),
            ("«connect» 127.0.0.1:1", 1, "not there yet"),
            ("«wait» CLOSED", 1, "not there yet"),
            ("a: socket; b:«close»", 2, "socket b is not there yet"),
            ("a: socket; «socket»", 2, "is open already"),
            ("a: socket; accept as «a»", 2, "is open already"),
            ("a: socket; accept «c»", 2, "`as`"),
            ("a: socket; accept as «1»", 2, "a letter"),
            ("a: socket; connect «@b»", 2, "no socket b"),
            ("a: socket; close; b: socket; connect «@a»", 4, "no socket a"),
            ("a: socket; connect «@»", 2, "expected an address"),
            ("«1»: socket", 1, "not a name"),
            ("«»: socket", 1, "not a name"),
            ("a:«»", 1, "expected a call"),
            ("«\"socket\"»", 1, "expected a call"),
            ("socket; send \"é\"; «é»", 3, "no such call"),
        ] {
            mistaken(marked, step, why);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic_and_every_place_is_in_the_text(text in "\\PC*|[a-c:;@ \"\\\\x0-9.\n]*") {
            if let Err(mistake) = parse(&text) {
                assert!(text.get(mistake.at.clone()).is_some(), "{mistake:?}");
                super::super::pointed_at(&text, &mistake);
            }
        }

        #[test]
        fn no_row_of_words_makes_it_panic(
            words in proptest::collection::vec("socket|a:|b:|;|;|accept|as|close|send|\"x\\\\|\"|recv|setsockopt|SO_LINGER|1|poll|hide|segments|S\\.|@a|é", 0..12),
        ) {
            let text = words.join(" ");
            if let Err(mistake) = parse(&text) {
                assert!(text.get(mistake.at.clone()).is_some(), "{mistake:?}");
                super::super::pointed_at(&text, &mistake);
            }
        }

        #[test]
        fn sent_bytes_are_those_that_their_printed_form_says(bytes: Vec<u8>) {
            let shown = fourtuple::report::Escaped(&bytes).to_string();
            // Characters beyond ASCII that are hidden show as \u{…}, which `send` does not read.
            if !shown.contains("\\u{") {
                let steps = parse(&format!("socket; send \"{shown}\"")).unwrap();
                assert!(matches!(&steps[1].call, Call::Send(Payload::Text(read), _) if *read == bytes));
            }
        }
    }
}
