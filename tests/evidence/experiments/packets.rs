//! What an experiment says of packets and of calls exactly as written.

use std::fs;
use std::process::Command;

use super::lab::{CONNECTED, Lab, each_fails, each_is_told, performed};

/// A connection that is opened, used and closed, the client first.
fn closed() -> String {
    let steps = "client: send \\\"hello\\\"; server: recv; client: close; server: recv; close; client: wait TIME-WAIT";
    performed("perform both", steps)
}

#[test]
fn packets_and_calls_that_were_there_pass() {
    let Some(lab) = Lab::isolated() else { return };
    lab.conclude(
        &closed(),
        "expect_packets $FIRST:3001 $FIRST:3000 'S S. .'
        expect_packets $FIRST:3000 $FIRST:3001 '<S >S. <. ... <F. ... >F. <.'
        expect_packets $FIRST:* $FIRST:3000 P.
        expect_no_packet $FIRST:3001 $FIRST:3000 R
        expect_no_packet $SECOND:3001 $FIRST:3000
        expect_call both connect 0
        expect_call both recv '5 \"hello\"'
        expect_call both 'server: recv' 0",
    )
    .passes();
    let bundle = lab.directory.path().join("test");
    let read = Command::new(env!("CARGO_BIN_EXE_fourtuple"))
        .args(["packets", "--read"])
        .arg(bundle.join("packets.pcapng"))
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&read.stdout).contains(" flags=F. "), "{read:?}");
    let transitions = fs::read_to_string(bundle.join("sockets.jsonl")).unwrap();
    assert!(transitions.contains(r#""to":"TIME-WAIT","local":"127.0.0.1:3001""#), "{transitions}");
    assert!(fs::read_to_string(bundle.join("report.html")).unwrap().contains("127.0.0.1:3001"));
}

#[test]
fn a_program_whose_segments_are_hidden_answers_nothing_more() {
    let Some(lab) = Lab::isolated() else { return };
    lab.run(
        "start_listener one $FIRST:3000
        start_connector red $FIRST:3001 $FIRST:3000 hello --interval 100ms --user-timeout 300ms
        expect_echo red hello
        hide_segments one
        expect_line red reason=ETIMEDOUT
        expect_state ESTABLISHED $FIRST:3000 $FIRST:3001
        conclude",
    )
    .passes();
}

#[test]
fn packets_and_calls_that_were_not_there_fail() {
    each_fails(
        &closed(),
        &[
            (
                "expect_packets $FIRST:3001 $FIRST:3000 'S S'",
                "not ok 1 - packets 127.0.0.1:3001 <> 127.0.0.1:3000: S S",
            ),
            ("expect_packets $FIRST:3001 $FIRST:3000 '<S >S.'", "# seen      >S <S. >. "),
            ("expect_packets $FIRST:3001 $FIRST:3000 '>F. ... >P.'", "not ok 1 - packets"),
            ("expect_packets $FIRST:3002 $FIRST:3000 S", "# seen      none"),
            (
                "expect_no_packet $FIRST:3000 $FIRST:3001 F.",
                "not ok 1 - no packet 127.0.0.1:3000 > 127.0.0.1:3001: F.\n# expected  none\n# seen      127.0.0.1:3000 > 127.0.0.1:3001 F.",
            ),
            ("expect_no_packet $FIRST:3001 $FIRST:3000", "not ok 1 - no packet"),
            ("expect_call both connect ECONNREFUSED", "# seen      client: connect 127.0.0.1:3000 = 0"),
            ("expect_call both recv 0", "# seen      server: recv = 5 \"hello\""),
            ("expect_call both 'client: recv' 5", "not ok 1 - both: client: recv = 5"),
        ],
    );
}

#[test]
fn what_the_end_of_the_programs_brings_about_breaks_no_promise_of_absence() {
    let Some(lab) = Lab::isolated() else { return };
    lab.conclude(
        CONNECTED,
        "expect_echo red hello
            expect_no_packet $FIRST:3000 $FIRST:3001 F.
            expect_no_socket TIME-WAIT $FIRST:3000",
    )
    .passes();
}

#[test]
fn a_performance_goes_on_after_its_pause() {
    let Some(lab) = Lab::isolated() else { return };
    lab.run(
        "start_perform alone --until bind \"socket; bind $FIRST:3000; pause; listen 1; pause\"
            expect_call alone bind 0
            go_on alone
            expect_call alone listen 0
            expect_state LISTEN $FIRST:3000
            conclude",
    )
    .passes();
}

#[test]
fn a_performance_that_hangs_is_told_with_the_call_that_does_not_return() {
    let Some(lab) = Lab::isolated() else { return };
    let hangs = "'a: socket; bind 127.0.0.1:3000; listen 1; accept as b; close'";
    lab.run_in_vain(&format!("perform alone {hangs}\nconclude"))
        .fails_with("test.sh:3: fourtuple: accept a as b: still blocked after ");
    // It is given up long after the words that wait for it.
    let waiting = format!("start_perform alone {hangs}\nexpect_call alone accept '*'\nconclude");
    let verdict = lab.run_in_vain(&waiting);
    verdict.fails_with("not ok 1 - alone: accept = *");
    assert!(!verdict.text.contains("still blocked"), "{}", verdict.text);
}

#[test]
fn a_call_that_fails_unexpectedly_fails_the_experiment() {
    let Some(lab) = Lab::isolated() else { return };
    let clash = "perform a \"one: socket; bind $FIRST:3000; two: socket; bind $FIRST:3000\"";
    lab.conclude(clash, "expect_call a 'one: bind' 0")
        .fails_with("# seen      two: bind 127.0.0.1:3000 = -1 EADDRINUSE");
    lab.conclude(clash, "expect_call a 'two: bind' EADDRINUSE").passes();
}

#[test]
fn a_mistake_about_packets_or_calls_is_told_with_its_line() {
    each_is_told(&[
        ("expect_packets $FIRST:3001 $FIRST:3000 SYN", "test.sh:5: expect_packets: 'SYN' are no flags"),
        ("expect_packets $FIRST:3001 $FIRST:3000 ''", "test.sh:5: expect_packets: no flags"),
        ("expect_no_packet $FIRST:3001 $FIRST:3000 SYN", "test.sh:5: expect_no_packet: 'SYN' are no flags"),
        ("perform a 'socket; fly'", "no such call"),
        ("expect_call a connect 0", "test.sh:5: expect_call: no program is called 'a'"),
        ("set_sysctl net.ipv4.nonsense 0", "test.sh:5: set_sysctl: this kernel has no net.ipv4.nonsense"),
    ]);
}

#[test]
fn without_packets_what_is_expected_of_them_is_skipped_and_said_once() {
    let Some(lab) = Lab::isolated() else { return };
    lab.replace(
        "fourtuple",
        "[[ $1 != packets ]] || { echo 'fourtuple: socket AF_PACKET: EPERM' >&2; exit 1; }\nexec REAL \"$@\"",
    );
    let body = format!(
        "{CONNECTED}
        expect_echo red hello
        expect_packets $FIRST:3001 $FIRST:3000 'S S. .'
        expect_no_packet $FIRST:3001 $FIRST:3000 R
        conclude"
    );
    let verdict = lab.run(&body);
    verdict.passes();
    assert_eq!(verdict.text.matches("# without packets: ").count(), 1, "{}", verdict.text);
    assert_eq!(verdict.text.matches(" # SKIP ").count(), 2, "{}", verdict.text);
    assert!(!lab.directory.path().join("test/packets.pcapng").exists());
    lab.run_requiring_all(&body).fails_with("EPERM");
}
