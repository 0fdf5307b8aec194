//! What a conversation asks of its driver.

use super::super::recorder::{ID, Recorder, account};
use super::*;
use crate::report::CloseReason;

fn plan() -> TalkPlan {
    TalkPlan {
        remotes: vec!["127.0.0.1:3000".parse().unwrap(), "[::1]:3000".parse().unwrap()],
        listening: None,
        name: None,
        bye: vec!["revoir".to_owned()],
        turns: false,
        speaker: Speaker::Program,
        show: Show::Exact,
    }
}

/// A conversation that has begun; what that asked for is forgotten.
fn begun(plan: TalkPlan) -> (Talk, Recorder) {
    let (mut talk, mut io) = (Talk::new(plan), Recorder::default());
    talk.start(&mut io).unwrap();
    talk.opened(&mut io, ID, account(0).tuple);
    io.take();
    (talk, io)
}

/// What is asked for, but for nothing written and timers taken back.
fn asked(io: &mut Recorder) -> Vec<String> {
    io.take()
        .into_iter()
        .filter(|call| !["write ", "cancel line", "cancel turn"].contains(&call.as_str()))
        .collect()
}

fn refused() -> Error {
    Error::new("connect", "somewhere", Errno::ECONNREFUSED)
}

#[test]
fn nothing_is_taken_from_standard_input_before_somebody_answers() {
    let (mut talk, mut io) = (Talk::new(plan()), Recorder::default());
    talk.start(&mut io).unwrap();
    assert_eq!(asked(&mut io), ["open 0.0.0.0:0 -> 127.0.0.1:3000"]);
    talk.opened(&mut io, ID, account(0).tuple);
    assert_eq!(asked(&mut io), ["resume input"]);
}

#[test]
fn all_addresses_are_called_and_the_error_tells_of_each() {
    let (mut talk, mut io) = (Talk::new(plan()), Recorder::default());
    talk.start(&mut io).unwrap();
    talk.failed(&mut io, ID, refused());
    assert_eq!(io.calls[1], "open [::]:0 -> [::1]:3000");
    talk.failed(&mut io, ID, refused());
    assert_eq!(io.calls[2..], ["stop"]);
    assert_eq!(talk.outcome().unwrap_err().to_string().matches("ECONNREFUSED").count(), 2);
}

#[test]
fn a_name_is_the_first_line() {
    let (mut talk, mut io) =
        (Talk::new(TalkPlan { name: Some("alice".to_owned()), ..plan() }), Recorder::default());
    talk.opened(&mut io, ID, account(0).tuple);
    assert_eq!(asked(&mut io), ["send /name alice\\n", "resume input"]);
}

#[test]
fn bytes_pass_as_they_are_both_ways() {
    let (mut talk, mut io) = begun(plan());
    talk.input(&mut io, Input::Bytes(b"\0\xffquit\n"));
    talk.received(&mut io, ID, b"\x1b[2J\xe6");
    assert_eq!(asked(&mut io), [r"send \x00\xffquit\n", "resume input", r"write \x1b[2J\xe6"]);
}

#[test]
fn the_end_of_input_is_a_half_close() {
    let (mut talk, mut io) = begun(plan());
    talk.input(&mut io, Input::End);
    assert_eq!(asked(&mut io), ["finish"]);
    talk.received(&mut io, ID, b"still here");
    assert_eq!(asked(&mut io), ["write still here"]);
}

#[test]
fn input_waits_while_the_other_side_does_not_read() {
    let (mut talk, mut io) = begun(plan());
    io.unsent = 5;
    talk.input(&mut io, Input::Bytes(b"hello"));
    assert_eq!(asked(&mut io), ["send hello", "resume input"]);
    io.unsent = 65_536;
    talk.input(&mut io, Input::Bytes(b"hello"));
    assert_eq!(asked(&mut io), ["send hello", "pause input"]);
    talk.drained(&mut io, ID);
    assert_eq!(asked(&mut io), ["resume input"]);
}

#[test]
fn the_other_side_waits_while_nobody_reads_what_it_said() {
    let (mut talk, mut io) = begun(plan());
    io.unwritten = MUCH_UNWRITTEN + 1;
    talk.received(&mut io, ID, b"hello");
    assert_eq!(asked(&mut io), ["write hello", "pause"]);
    talk.written(&mut io, Ok(()));
    assert_eq!(asked(&mut io), ["resume"]);
}

#[test]
fn the_end_waits_until_all_has_been_written() {
    let (mut talk, mut io) = begun(plan());
    io.unwritten = 1;
    talk.closed(&mut io, ID, account(5));
    assert_eq!(asked(&mut io), [""; 0]);
    talk.written(&mut io, Ok(()));
    assert_eq!(asked(&mut io), ["stop"]);
}

#[test]
fn after_the_other_sides_end_input_is_sent_until_it_falls_silent() {
    let (mut talk, mut io) = begun(plan());
    talk.finished(&mut io, ID);
    assert_eq!(asked(&mut io), ["resume input", "after 1s input"]);
    talk.input(&mut io, Input::Bytes(b"more"));
    assert_eq!(asked(&mut io), ["send more", "resume input", "after 1s input"]);
    io.unsent = 4;
    talk.input(&mut io, Input::Bytes(b"more"));
    io.take();
    talk.timer(&mut io, ID, INPUT);
    assert_eq!(asked(&mut io), [""; 0], "unsent bytes are no silence");
    talk.drained(&mut io, ID);
    assert_eq!(asked(&mut io), ["resume input", "after 1s input"]);
    talk.timer(&mut io, ID, INPUT);
    assert_eq!(asked(&mut io), ["finish"]);
}

#[test]
fn the_other_sides_end_is_the_end_for_a_person() {
    let (mut talk, mut io) = begun(TalkPlan { speaker: Speaker::Person, ..plan() });
    talk.finished(&mut io, ID);
    assert_eq!(asked(&mut io), ["resume input", "finish", "after 1s leave", "pause input", "stop"]);
}

#[test]
fn a_keyword_ends_it_from_either_side_and_nothing_behind_it_passes() {
    let end = ["finish", "after 1s leave", "pause input", "stop"];
    let (mut talk, mut io) = begun(plan());
    talk.input(&mut io, Input::Bytes(b"one\nrevoir\nmore\n"));
    assert_eq!(asked(&mut io), [&["send one\\nrevoir\\n", "resume input"], &end[..]].concat());
    talk.input(&mut io, Input::Bytes(b"more"));
    talk.received(&mut io, ID, b"more");
    assert_eq!(asked(&mut io), [""; 0]);

    let (mut talk, mut io) = begun(plan());
    talk.received(&mut io, ID, b"one\nrevoir\r\nmore\n");
    assert_eq!(asked(&mut io), [&["write one\\nrevoir\\r\\n"], &end[..]].concat());
}

#[test]
fn whoever_does_not_end_when_we_leave_is_not_waited_for() {
    let (mut talk, mut io) = begun(plan());
    io.unsent = 5;
    talk.input(&mut io, Input::Bytes(b"hello"));
    talk.signal(&mut io, Signal::Stop);
    io.take();
    talk.timer(&mut io, ID, LEFT);
    assert_eq!(asked(&mut io), [""; 0], "first all must have gone");
    talk.drained(&mut io, ID);
    talk.timer(&mut io, ID, LEFT);
    assert_eq!(asked(&mut io), ["after 1s leave", "close"]);
    talk.closed(&mut io, ID, Closed { reason: CloseReason::Reset, ..account(0) });
    assert!(talk.outcome().is_ok());
}

#[test]
fn a_reset_is_a_failure_and_a_fin_is_none() {
    for (reason, well) in [(CloseReason::Fin, true), (CloseReason::Reset, false)] {
        let (mut talk, mut io) = begun(plan());
        talk.closed(&mut io, ID, Closed { reason, ..account(0) });
        assert_eq!(talk.outcome().is_ok(), well, "{reason}");
    }
}

#[test]
fn a_reader_that_has_gone_ends_it_well_and_a_full_disk_does_not() {
    for (errno, well) in [(Errno::EPIPE, true), (Errno::ENOSPC, false)] {
        let (mut talk, mut io) = begun(plan());
        talk.written(&mut io, Err(Error::new("write", "standard output", errno)));
        assert_eq!(asked(&mut io), ["finish", "after 1s leave", "pause input", "stop"]);
        assert_eq!(talk.outcome().is_ok(), well, "{errno}");
    }
}

#[test]
fn a_second_caller_is_told_and_the_first_is_not_disturbed() {
    let other = ConnectionId::new(8);
    let listening = Some("127.0.0.1:5000".parse().unwrap());
    let (mut talk, mut io) = begun(TalkPlan { remotes: Vec::new(), listening, ..plan() });
    talk.opened(&mut io, other, account(0).tuple);
    assert_eq!(asked(&mut io), ["send busy\\n", "finish", "after 1s leave"]);
    talk.received(&mut io, other, b"but");
    talk.closed(&mut io, other, account(0));
    assert_eq!(asked(&mut io), [""; 0]);
    talk.received(&mut io, ID, b"hello");
    assert_eq!(asked(&mut io), ["write hello"]);
}

#[test]
fn out_of_turn_lines_wait_and_so_does_input_when_there_are_many() {
    let (mut talk, mut io) = begun(TalkPlan { turns: true, ..plan() });
    talk.input(&mut io, Input::Bytes(b"one\ntwo\n"));
    assert_eq!(asked(&mut io), ["send one\\n", "resume input", "after 5s turn"]);
    talk.received(&mut io, ID, b"answer\n");
    assert_eq!(asked(&mut io), ["write answer\\n", "send two\\n", "resume input", "after 5s turn"]);
    talk.input(&mut io, Input::Bytes(&[b'\n'; 65_536]));
    assert_eq!(asked(&mut io), ["pause input", "after 5s turn"]);
    talk.input(&mut io, Input::End);
    io.take();
    talk.finished(&mut io, ID);
    let rest = format!("send {}", "\\n".repeat(65_536));
    assert_eq!(asked(&mut io), [&rest, "finish", "after 1s input"]);
}

#[test]
fn lines_are_shown_with_their_speaker_and_harmless() {
    let (mut talk, mut io) = begun(TalkPlan { show: Show::Lines, ..plan() });
    talk.received(&mut io, ID, b"say \"hi\"\r\n\x1b[2J\n* status WRITE\nbob: x\n");
    let lines = [r#"remote: say \"hi\""#, r"remote: \\x1b[2J", "remote: * status WRITE", "remote: bob: x"];
    assert_eq!(asked(&mut io), [format!("write {}\\n", lines.join("\\n"))]);
}

#[test]
fn a_relay_says_who_speaks() {
    let (mut talk, mut io) = begun(TalkPlan { name: Some("al".to_owned()), show: Show::Lines, ..plan() });
    talk.received(&mut io, ID, b"* status WRITE\nbob: a: b\nneither\n");
    assert_eq!(asked(&mut io), ["write * status WRITE\\nbob: a: b\\nremote: neither\\n"]);
}

#[test]
fn a_line_without_its_end_is_shown_after_a_while() {
    let (mut talk, mut io) = begun(TalkPlan { show: Show::Lines, ..plan() });
    talk.received(&mut io, ID, b"login: \xc3");
    assert_eq!(asked(&mut io), ["after 200ms line"]);
    talk.timer(&mut io, ID, LINE);
    assert_eq!(asked(&mut io), ["write remote: login: \\n"]);
    talk.received(&mut io, ID, b"\xa9\n");
    assert_eq!(asked(&mut io), ["write remote: é\\n"]);
}

#[test]
fn a_line_whose_end_is_not_read_is_not_shown_in_two() {
    let (mut talk, mut io) = begun(TalkPlan { show: Show::Lines, ..plan() });
    io.unwritten = MUCH_UNWRITTEN + 1;
    talk.received(&mut io, ID, b"hel");
    assert_eq!(asked(&mut io), ["pause"]);
    talk.written(&mut io, Ok(()));
    assert_eq!(asked(&mut io), ["resume", "after 200ms line"]);
}

#[test]
fn a_signal_while_calling_ends_the_call() {
    let (mut talk, mut io) = (Talk::new(plan()), Recorder::default());
    talk.start(&mut io).unwrap();
    talk.signal(&mut io, Signal::Stop);
    assert_eq!(io.take()[1..], ["close", "pause input", "stop"]);
    assert!(talk.outcome().is_ok());
}
