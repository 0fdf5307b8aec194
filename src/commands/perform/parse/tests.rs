//! Steps that are understood, and mistakes that are pointed at.

use super::*;
use crate::commands::perform::steps::{Call, Payload};

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
        let shown = crate::text::Escaped(&bytes).to_string();
        // Characters beyond ASCII that are hidden show as \u{…}, which `send` does not read.
        if !shown.contains("\\u{") {
            let steps = parse(&format!("socket; send \"{shown}\"")).unwrap();
            assert!(matches!(&steps[1].call, Call::Send(Payload::Text(read), _) if *read == bytes));
        }
    }
}
