use TcpState::{
    CloseWait, Closed, Closing, Established, FinWait1, FinWait2, LastAck, Listen, SynReceived, SynSent,
    TimeWait,
};

use super::*;
use crate::wire::segment::Flags;

const CLIENT: &str = "127.0.0.1:3001";
const SERVER: &str = "127.0.0.1:3000";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A segment at a time in milliseconds: `> S 0`, `< S. 0 1`, `> P. 1 1 5`: direction, flags, sequence number,
/// acknowledgement, length.
fn segment(time: u64, text: &str) -> Segment {
    let words: Vec<&str> = text.split(' ').collect();
    let number = |at: usize| words.get(at).map_or(0, |word| word.parse().unwrap());
    let (from, to) = if words[0] == ">" { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
    let has = |letter| words[1].contains(letter);
    Segment {
        time: Duration::from_millis(time),
        from: address(from),
        to: address(to),
        flags: Flags {
            syn: has('S'),
            fin: has('F'),
            rst: has('R'),
            psh: has('P'),
            ack: has('.'),
            urg: has('U'),
        },
        sequence: number(2),
        acknowledgement: number(3),
        window: 65_535,
        length: number(4) as usize,
        options: Vec::new(),
    }
}

/// Segments a millisecond apart, from the first millisecond on.
fn segments(texts: &[&str]) -> Vec<Segment> {
    texts.iter().zip(1..).map(|(text, time)| segment(time, text)).collect()
}

/// A transition of the client's socket, or of the server's.
fn sample(time: u64, whose: &str, state: TcpState) -> Sample {
    let (local, remote) = if whose == ">" { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
    Sample {
        time: Duration::from_millis(time),
        local: address(local),
        remote: address(remote),
        state,
        processes: vec![("program".into(), 7)],
    }
}

fn only(timeline: &Timeline) -> &ConnectionHistory {
    assert_eq!(timeline.connections.len(), 1, "{timeline:#?}");
    &timeline.connections[0]
}

/// The states of one end, inferred ones in the second place of the pair.
fn states(samples: &[Sample], segments: &[Segment], end: usize) -> Vec<(TcpState, Basis)> {
    let timeline = Timeline::merge(&[], samples, segments);
    only(&timeline).states(end).map(|change| (change.state, change.basis)).collect()
}

#[track_caller]
fn inferred(texts: &[&str], client: &[TcpState], server: &[TcpState]) {
    let segments = segments(texts);
    for (end, expected) in [(0, client), (1, server)] {
        let expected: Vec<_> = expected.iter().map(|&state| (state, Basis::Inferred)).collect();
        assert_eq!(states(&[], &segments, end), expected, "end {end}");
    }
}

const HANDSHAKE: [&str; 3] = ["> S 0", "< S. 100 1", "> . 1 101"];

fn after_handshake(rest: &[&'static str]) -> Vec<&'static str> {
    [&HANDSHAKE[..], rest].concat()
}

#[test]
fn a_handshake_leads_through_syn_sent_and_syn_received() {
    inferred(&HANDSHAKE, &[SynSent, Established], &[SynReceived, Established]);
}

#[test]
fn who_closes_first_ends_in_time_wait() {
    inferred(
        &after_handshake(&["> F. 1 101", "< . 101 2", "< F. 101 2", "> . 2 102"]),
        &[SynSent, Established, FinWait1, FinWait2, TimeWait],
        &[SynReceived, Established, CloseWait, LastAck, Closed],
    );
}

#[test]
fn a_fin_that_acknowledges_ours_leads_from_fin_wait_1_to_time_wait() {
    inferred(
        &after_handshake(&["< F. 101 1", "> F. 1 102", "< . 102 2"]),
        &[SynSent, Established, CloseWait, LastAck, Closed],
        &[SynReceived, Established, FinWait1, TimeWait],
    );
}

#[test]
fn two_fins_that_cross_lead_through_closing() {
    inferred(
        &after_handshake(&["> F. 1 101", "< F. 101 1", "> . 2 102", "< . 102 2"]),
        &[SynSent, Established, FinWait1, Closing, TimeWait],
        &[SynReceived, Established, FinWait1, Closing, TimeWait],
    );
}

#[test]
fn two_syns_that_cross_open_one_connection() {
    inferred(
        &["> S 0", "< S 100", "> S. 0 101", "< S. 100 1", "> . 1 101", "< . 101 1"],
        &[SynSent, SynReceived, Established],
        &[SynSent, SynReceived, Established],
    );
}

#[test]
fn a_socket_connected_to_itself_has_one_end() {
    let mut all = segments(&["> S 0", "> S. 0 1", "> . 1 1"]);
    for segment in &mut all {
        segment.to = segment.from;
    }
    let expected = [SynSent, SynReceived, Established].map(|state| (state, Basis::Inferred));
    assert_eq!(states(&[], &all, 0), expected);
    assert!(only(&Timeline::merge(&[], &[], &all)).is_to_itself());
}

#[test]
fn a_refused_connection_ends_in_closed_and_the_other_end_never_had_a_state() {
    inferred(&["> S 0", "< R. 0 1"], &[SynSent, Closed], &[]);
}

#[test]
fn an_abort_closes_both_ends_at_once() {
    inferred(
        &after_handshake(&["> R. 1 101"]),
        &[SynSent, Established, Closed],
        &[SynReceived, Established, Closed],
    );
}

#[test]
fn a_reset_out_of_sequence_closes_its_sender_only() {
    inferred(
        &after_handshake(&["> R. 50 101"]),
        &[SynSent, Established, Closed],
        &[SynReceived, Established],
    );
}

#[test]
fn a_syn_without_answer_leaves_the_listener_without_a_state() {
    inferred(&["> S 0", "> S 0"], &[SynSent], &[]);
}

#[test]
fn a_fin_that_arrives_before_its_data_does_not_count_yet() {
    inferred(
        &after_handshake(&["> F. 6 101"]),
        &[SynSent, Established, FinWait1],
        &[SynReceived, Established],
    );
}

#[test]
fn sequence_numbers_wrap() {
    inferred(
        &["> S 4294967295", "< S. 4294967290 0", "> . 0 4294967291", "> F. 0 4294967291", "< . 4294967291 1"],
        &[SynSent, Established, FinWait1, FinWait2],
        &[SynReceived, Established, CloseWait],
    );
}

#[test]
fn the_same_four_tuple_may_live_twice() {
    let texts =
        after_handshake(&["> F. 1 101", "< F. 101 2", "> . 2 102", "> S 900", "< S. 700 901", "> . 901 701"]);
    inferred(
        &texts,
        &[SynSent, Established, FinWait1, TimeWait, SynSent, Established],
        &[SynReceived, Established, CloseWait, LastAck, Closed, SynReceived, Established],
    );
    let timeline = Timeline::merge(&[], &[], &segments(&texts));
    let last = only(&timeline).entries.iter().rev().find_map(|entry| match entry.what {
        What::Segment(passed) => Some((passed.sequence, passed.acknowledgement)),
        _ => None,
    });
    assert_eq!(last, Some((1, Some(1))), "numbers are relative to the second SYN");
}

#[test]
fn a_sample_confirms_the_state_where_its_segment_led_to_it() {
    let samples = [sample(5, ">", Established), sample(6, "<", Established)];
    let expected = [(SynSent, Basis::Inferred), (Established, Basis::Sampled)];
    assert_eq!(states(&samples, &segments(&HANDSHAKE), 0), expected);
    let timeline = Timeline::merge(&[], &samples, &segments(&HANDSHAKE));
    let last = &only(&timeline).entries.last().unwrap();
    assert_eq!(last.time, Duration::from_millis(3), "the state stands at its segment, not at the sample");
}

#[test]
fn a_sample_taken_just_before_its_segment_counts_once() {
    let samples = [sample(1, ">", SynSent), sample(4, ">", FinWait1), sample(9, ">", TimeWait)];
    let mut all = segments(&after_handshake(&["> F. 1 101", "< . 101 2", "< F. 101 2", "> . 2 102"]));
    for late in &mut all[3..] {
        late.time += Duration::from_millis(1);
    }
    let expected = [
        (SynSent, Basis::Sampled),
        (Established, Basis::Inferred),
        (FinWait1, Basis::Sampled),
        (FinWait2, Basis::Inferred),
        (TimeWait, Basis::Sampled),
    ];
    assert_eq!(states(&samples, &all, 0), expected);
}

#[test]
fn a_sample_that_was_overtaken_by_a_segment_confirms_the_earlier_state() {
    let all = segments(&after_handshake(&["> F. 1 101", "< . 101 2"]));
    let samples = [sample(6, ">", FinWait1), sample(7, ">", FinWait2)];
    let last: Vec<_> = states(&samples, &all, 0).split_off(2);
    assert_eq!(last, [(FinWait1, Basis::Sampled), (FinWait2, Basis::Sampled)]);
}

#[test]
fn a_sample_stamped_before_the_segment_that_led_to_its_state_confirms_it_there() {
    let mut all = segments(&after_handshake(&["> F. 1 101", "< F. 101 2"]));
    all[3].time = Duration::from_millis(50);
    all[4].time = Duration::from_millis(60);
    let samples = [sample(3, ">", Established), sample(55, ">", TimeWait)];
    let expected = [
        (SynSent, Basis::Inferred),
        (Established, Basis::Sampled),
        (FinWait1, Basis::Inferred),
        (TimeWait, Basis::Sampled),
    ];
    assert_eq!(states(&samples, &all, 0), expected);
    let timeline = Timeline::merge(&[], &samples, &all);
    let of_client = |entry: &&Entry| matches!(entry.what, What::State(change) if change.state == TimeWait);
    let entry = only(&timeline).entries.iter().find(of_client).unwrap();
    assert_eq!(entry.time, Duration::from_millis(60));
}

#[test]
fn a_socket_that_goes_on_after_a_reset_never_received_it() {
    // A filter hides the RST from the client's socket until the other end opens actively too.
    inferred(
        &["> S 0", "< R. 0 1", "< S 100", "> S. 0 101", "< . 101 1"],
        &[SynSent, SynReceived, Established],
        &[SynSent, Established],
    );
}

#[test]
fn without_segments_nothing_is_inferred() {
    let samples = [sample(1, ">", SynSent), sample(9, ">", TimeWait)];
    assert_eq!(states(&samples, &[], 0), [(SynSent, Basis::Sampled), (TimeWait, Basis::Sampled)]);
    assert_eq!(states(&samples, &[], 1), []);
}

#[test]
fn a_state_that_the_table_never_showed_for_long_is_not_inferred() {
    // The acknowledgement of the FIN was hidden from the client's socket, which stays in FIN-WAIT-1.
    let all = segments(&after_handshake(&["> F. 1 101", "< . 101 2"]));
    let samples = [sample(2, ">", Established), sample(5, ">", FinWait1), sample(2000, ">", Closed)];
    let expected = [
        (SynSent, Basis::Inferred),
        (Established, Basis::Sampled),
        (FinWait1, Basis::Sampled),
        (Closed, Basis::Sampled),
    ];
    assert_eq!(states(&samples, &all, 0), expected);
}

#[test]
fn a_state_from_which_the_next_sample_cannot_be_reached_is_not_inferred() {
    // The remote FIN was hidden from the client's socket, which then closed first as far as it knows.
    let all = segments(&after_handshake(&["< F. 101 1"]));
    let samples = [sample(3, ">", Established), sample(20, ">", FinWait1)];
    let expected = [(SynSent, Basis::Inferred), (Established, Basis::Sampled), (FinWait1, Basis::Sampled)];
    assert_eq!(states(&samples, &all, 0), expected);
}

#[test]
fn a_state_seen_in_passing_stands_before_the_one_it_led_to() {
    // One segment acknowledges the client's FIN and is the server's: FIN-WAIT-2 lasts for an instant.
    let all = segments(&after_handshake(&["> F. 1 101", "< F. 101 2", "> . 2 102"]));
    let samples = [sample(3, ">", Established), sample(8, ">", FinWait2), sample(9, ">", TimeWait)];
    let expected = [
        (SynSent, Basis::Inferred),
        (Established, Basis::Sampled),
        (FinWait1, Basis::Inferred),
        (FinWait2, Basis::Sampled),
        (TimeWait, Basis::Sampled),
    ];
    assert_eq!(states(&samples, &all, 0), expected);
}

#[test]
fn the_end_that_opens_actively_comes_first() {
    let first = |samples: &[Sample], segments: &[Segment]| {
        only(&Timeline::merge(&[], samples, segments)).ends[0].to_string()
    };
    assert_eq!(first(&[], &segments(&HANDSHAKE)), CLIENT);
    assert_eq!(first(&[sample(1, ">", Established)], &[]), SERVER, "nothing tells: the lower address");
    let listener = Sample { remote: address("0.0.0.0:0"), ..sample(0, "<", Listen) };
    assert_eq!(first(&[listener, sample(1, ">", Established)], &[]), CLIENT);
}

fn event(time: u64, local: &str, remote: Option<&str>, failure: Option<&str>) -> ProgramEvent {
    ProgramEvent {
        time: Duration::from_millis(time),
        program: "twin".into(),
        event: "failed".into(),
        local: Some(address(local)),
        remote: remote.map(address),
        call: failure.map(|errno| ProgramCall {
            name: "connect".into(),
            subject: local.into(),
            result: None,
            failure: Some(errno.into()),
        }),
    }
}

fn calls(connection: &ConnectionHistory) -> usize {
    connection.entries.iter().filter(|entry| matches!(entry.what, What::Call { .. })).count()
}

#[test]
fn a_failed_connect_stands_in_the_connection_that_has_its_four_tuple() {
    let events = [event(9, CLIENT, Some(SERVER), Some("EADDRNOTAVAIL"))];
    assert_eq!(calls(only(&Timeline::merge(&events, &[], &segments(&HANDSHAKE)))), 1);
}

#[test]
fn a_failed_bind_stands_where_its_address_is_held() {
    let events = [event(9, CLIENT, None, Some("EADDRINUSE"))];
    assert_eq!(calls(only(&Timeline::merge(&events, &[], &segments(&HANDSHAKE)))), 1);
}

#[test]
fn a_failed_call_without_a_connection_stands_alone() {
    let events = [event(9, CLIENT, None, Some("EADDRINUSE"))];
    let timeline = Timeline::merge(&events, &[], &[]);
    assert!(only(&timeline).unopened && !only(&timeline).is_to_itself());
}

#[test]
fn the_owners_are_the_program_that_says_so_and_the_process_that_was_seen() {
    let events = [ProgramEvent { event: "established".into(), ..event(4, CLIENT, Some(SERVER), None) }];
    let timeline = Timeline::merge(&events, &[sample(4, ">", Established)], &segments(&HANDSHAKE));
    let owners: Vec<String> = only(&timeline).owners[0].iter().map(Owner::to_string).collect();
    assert_eq!(owners, ["twin", "program (pid 7)"]);
}

#[test]
fn an_owner_that_is_told_of_twice_stands_once() {
    let told = || ProgramEvent { event: "established".into(), ..event(4, CLIENT, Some(SERVER), None) };
    let samples = [sample(4, ">", Established), sample(9, ">", FinWait1)];
    let timeline = Timeline::merge(&[told(), told()], &samples, &segments(&HANDSHAKE));
    assert_eq!(only(&timeline).owners[0].len(), 2);
}

#[test]
fn a_program_whose_call_failed_owns_nothing() {
    let events = [event(9, CLIENT, Some(SERVER), Some("EADDRNOTAVAIL"))];
    let timeline = Timeline::merge(&events, &[], &segments(&HANDSHAKE));
    assert_eq!(only(&timeline).owners, [Vec::new(), Vec::new()]);
}

#[test]
fn what_is_sent_again_is_a_retransmission() {
    let all = segments(&after_handshake(&["> P. 1 101 5", "> P. 1 101 5", "> . 6 101"]));
    let timeline = Timeline::merge(&[], &[], &all);
    let again = only(&timeline).entries.iter().filter_map(|entry| match entry.what {
        What::Segment(passed) => Some(passed.retransmission),
        _ => None,
    });
    assert_eq!(again.collect::<Vec<_>>(), [false, false, false, false, true, false]);
}

/// Segments half a second apart, between which the sampler could have looked a hundred times, but had to wait.
fn slow_segments(texts: &[&str]) -> Vec<Segment> {
    texts.iter().zip(1..).map(|(text, turn)| segment(500 * turn, text)).collect()
}

const CLIENT_CLOSES: [&str; 6] =
    ["> P. 1 101 5", "< . 101 6", "> F. 6 101", "< . 101 7", "< F. 101 7", "> . 7 102"];

#[test]
fn a_state_that_the_segments_prove_is_inferred_however_long_the_sampler_had_to_wait() {
    let all = slow_segments(&after_handshake(&CLIENT_CLOSES));
    let samples = [sample(400, ">", SynSent), sample(6000, ">", TimeWait), sample(6000, "<", Closed)];
    let names = |end| states(&samples, &all, end).into_iter().map(|(state, _)| state).collect::<Vec<_>>();
    assert_eq!(names(0), [SynSent, Established, FinWait1, FinWait2, TimeWait]);
    assert_eq!(names(1), [SynReceived, Established, CloseWait, LastAck, Closed]);
}

#[test]
fn a_sample_of_a_sampler_that_had_to_wait_stands_before_what_the_segments_prove_since() {
    let all = segments(&after_handshake(&["> F. 1 101", "< F. 101 2", "> . 2 102"]));
    // The table was read between two segments, and the time taken when the processor was free again.
    let samples = [sample(3, ">", Established), sample(900, ">", FinWait2), sample(905, ">", TimeWait)];
    let last = states(&samples, &all, 0).split_off(2);
    assert_eq!(last, [(FinWait1, Basis::Inferred), (FinWait2, Basis::Sampled), (TimeWait, Basis::Sampled)]);
}

#[test]
fn an_acknowledgement_that_a_full_queue_dropped_proves_nothing() {
    // The server sends its SYN again and stays in SYN-RECEIVED, whatever the client sends.
    let all = slow_segments(&after_handshake(&["> P. 1 101 5", "< S. 100 1", "> . 6 101"]));
    let samples = [sample(1001, "<", SynReceived), sample(6000, "<", SynReceived)];
    assert_eq!(states(&samples, &all, 1), [(SynReceived, Basis::Sampled)]);
}

#[test]
fn what_a_later_connection_of_the_same_four_tuple_acknowledges_proves_nothing_of_the_earlier() {
    // The FIN was hidden from the server's socket, which was then killed without a word.
    let again = ["> F. 1 101", "> S 900", "< S. 700 901", "> . 901 701", "> P. 901 701 5", "< . 701 906"];
    let all = slow_segments(&after_handshake(&again));
    let samples = [sample(1500, "<", Established), sample(2400, "<", Closed), sample(3100, "<", Established)];
    assert!(!states(&samples, &all, 1).contains(&(CloseWait, Basis::Inferred)));
}

#[test]
fn a_socket_that_is_gone_without_a_segment_ends_the_states_that_were_proven() {
    let samples = [sample(3, ">", Established), sample(900, ">", Closed)];
    let expected = [(SynSent, Basis::Inferred), (Established, Basis::Sampled), (Closed, Basis::Sampled)];
    assert_eq!(states(&samples, &segments(&HANDSHAKE), 0), expected);
    let late = [sample(900, ">", Closed)];
    let expected = [(SynSent, Basis::Inferred), (Established, Basis::Inferred), (Closed, Basis::Sampled)];
    assert_eq!(states(&late, &segments(&HANDSHAKE), 0), expected);
}
