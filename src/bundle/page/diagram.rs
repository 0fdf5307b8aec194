//! The sequence diagram of a connection in SVG: lifelines, arrows, and the states of both ends beside them.
//!
//! It is 400 units wide, so that its words can be read on a phone; a page may draw it larger.

use std::time::Duration;

use maud::{Markup, html};

use super::beside::Beside;
use super::rows::{Body, Row, end_name, flag_names, numbers, rows, sent_nothing, told_call};
use super::words::{Count, Short, Since, cut};
use crate::bundle::timeline::{Basis, ConnectionHistory, Passed};
use crate::net::TcpState;

const WIDTH: i32 = 400;
/// Where the lifelines are.
const LIFELINES: [i32; 2] = [104, WIDTH - 104];
const MIDDLE: i32 = WIDTH / 2;
const HEAD: i32 = 46;
const FOOT: i32 = 14;
/// Half the width of the bar that a state draws on its lifeline.
const BAR: i32 = 4;
/// About how wide a character of a label is, and one of a name; what would be too long is squeezed.
const CHARACTER: i32 = 6;
const LARGE_CHARACTER: i32 = 8;
/// A name of more characters is cut, and a call.
const LONGEST_NAME: usize = 28;
const LONGEST_CALL: usize = 32;

/// What is the same for all diagrams of a page.
pub(super) struct Context<'a> {
    /// When the page's time begins.
    pub zero: Duration,
    /// Whether packets were captured, so that their absence tells something.
    pub captured: bool,
    /// What stands beside checks that did not hold.
    pub besides: &'a [Beside],
}

/// Draws a connection, the `index`th of its timeline.
pub(super) fn diagram(index: usize, connection: &ConnectionHistory, context: &Context) -> Markup {
    let rows = rows(connection);
    let whole = HEAD + rows.iter().map(height).sum::<i32>() + FOOT;
    let lifelines = lifelines(connection);
    let tops = || {
        rows.iter().scan(HEAD, |y, row| {
            let top = *y;
            *y += height(row);
            Some((top, row))
        })
    };
    let number = index + 1;
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {whole}")) role="img" aria-labelledby=(format!("d{number}")) {
            title id=(format!("d{number}")) { (describe(connection)) }
            @for (y, row) in tops() { (mark(y, row, index, context.besides)) }
            @for &(end, x) in &lifelines {
                (head(connection, end, x))
                line .lifeline x1=(x) y1=(HEAD) x2=(x) y2=(whole - FOOT) {}
                (bars(&bar_spans(&rows, end, whole - FOOT), x))
            }
            @for (y, row) in tops() { (draw(y, row, connection, context)) }
        }
    }
}

/// The ends that have a lifeline of their own, and where it is.
fn lifelines(connection: &ConnectionHistory) -> Vec<(usize, i32)> {
    let [left, right] = LIFELINES;
    let [one, other] = connection.ends;
    if one == other { vec![(0, left)] } else { vec![(0, left), (1, right)] }
}

fn describe(connection: &ConnectionHistory) -> String {
    let [one, other] = connection.ends;
    let what = Count(connection.segments(), "segment");
    if one == other { format!("{one}: {what}") } else { format!("{one} and {other}: {what}") }
}

fn height(row: &Row) -> i32 {
    match row.body {
        Body::Segment(_) => 42,
        Body::Call { call, .. } if sent_nothing(call) => 36,
        Body::Call { .. } => 24,
        Body::States => 28,
        Body::Pause(_) => 26,
        Body::LeftOut(_) => 34,
    }
}

fn head(connection: &ConnectionHistory, end: usize, x: i32) -> Markup {
    let address = connection.ends.get(end).map(ToString::to_string).unwrap_or_default();
    let name = end_name(connection, end).map(|name| cut(name, LONGEST_NAME));
    html! {
        @if let Some(name) = name {
            text .name x=(x) y="15" textLength=[squeezed(&name, LARGE_CHARACTER, 184)] { (name) }
        }
        text .address x=(x) y="31" textLength=[squeezed(&address, CHARACTER, 190)] { (address) }
    }
}

/// The width to squeeze a label to, where it would be wider.
fn squeezed(text: &str, character: i32, room: i32) -> Option<i32> {
    let length = i32::try_from(text.chars().count()).unwrap_or(i32::MAX);
    (length.saturating_mul(character) > room).then_some(room)
}

/// A state on a lifeline, from one height to another.
struct Span {
    state: TcpState,
    basis: Basis,
    top: i32,
    bottom: i32,
}

fn bar_spans(rows: &[Row], end: usize, bottom: i32) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut y = HEAD;
    for row in rows {
        if let Some((state, basis)) = row.states.get(end).copied().flatten() {
            let top = y + anchor(row, end);
            if let Some(last) = spans.last_mut() {
                last.bottom = top;
            }
            spans.push(Span { state, basis, top, bottom });
        }
        y += height(row);
    }
    spans
}

/// How far below its row's top a state begins: where the arrow leaves or arrives.
fn anchor(row: &Row, end: usize) -> i32 {
    match row.body {
        Body::Segment(passed) if passed.from == end => 18,
        Body::Segment(_) => 26,
        _ => height(row) / 2,
    }
}

fn bars(spans: &[Span], x: i32) -> Markup {
    let left = x < MIDDLE;
    let label = if left { x - 10 } else { x + 10 };
    let side = if left { "left" } else { "right" };
    html! {
        @for span in spans {
            @if span.state == TcpState::Closed {
                path .closed d=(format!("M{} {}h8", x - BAR, span.top)) {}
            } @else {
                rect .bar.(kind(span.state)).inferred[span.basis == Basis::Inferred]
                    x=(x - BAR) y=(span.top) width=(2 * BAR) height=(span.bottom - span.top) rx="2" {}
            }
            text .state.(side).(kind(span.state)) x=(label) y=(span.top + 4) { (span.state.name()) }
            @if span.basis == Basis::Inferred {
                text .basis.(side) x=(label) y=(span.top + 13) { "inferred" }
            }
        }
    }
}

/// The part of a connection's life that a state belongs to; it decides the colour.
fn kind(state: TcpState) -> &'static str {
    match state {
        TcpState::Established => "open",
        TcpState::SynSent | TcpState::SynReceived | TcpState::NewSynReceived => "opening",
        TcpState::TimeWait => "waiting",
        TcpState::Closed | TcpState::Listen | TcpState::BoundInactive => "none",
        _ => "closing",
    }
}

/// Marks the row that stood beside a check which did not hold.
fn mark(y: i32, row: &Row, index: usize, besides: &[Beside]) -> Markup {
    let here = |beside: &&Beside| (beside.connection, beside.entry) == (index, row.entry);
    let besides: Vec<&Beside> = besides.iter().filter(here).collect();
    let checks: Vec<String> = besides.iter().map(|beside| beside.check.to_string()).collect();
    html! {
        @if !besides.is_empty() && !matches!(row.body, Body::Pause(_)) {
            @for beside in &besides { g id=(format!("check-{}-here", beside.check)) {} }
            rect .wrong x="1" y=(y + 1) width=(WIDTH - 2) height=(height(row) - 2) rx="4" {}
            text .wrong-label x=(WIDTH - 6) y=(y + height(row) - 5) { "✗ check " (checks.join(", ")) }
        }
    }
}

fn draw(y: i32, row: &Row, connection: &ConnectionHistory, context: &Context) -> Markup {
    let since = row.time.saturating_sub(context.zero);
    match &row.body {
        Body::Segment(passed) => segment(y, passed, connection.is_to_itself(), since),
        Body::Call { end, program, call } => {
            let words = told_call(connection, *end, program, call, LONGEST_CALL);
            draw_call(y, *end, &words, call.failure.is_some(), context.captured && sent_nothing(call))
        }
        Body::States => html! {},
        Body::Pause(pause) => band(y, "pause", &format!("{} later", Short(*pause))),
        Body::LeftOut(segments) => band(y, "left-out", &format!("{} left out", Count(*segments, "segment"))),
    }
}

fn segment(y: i32, passed: &Passed, loops: bool, since: Duration) -> Markup {
    let [left, right] = LIFELINES;
    let (tail, head) = if passed.from == 0 { (left, right) } else { (right, left) };
    let step = if passed.from == 0 { BAR } else { -BAR };
    let (from, to) = if loops { (left + BAR, left + BAR) } else { (tail + step, head - step) };
    let path = if loops {
        format!("M{from} {}h40v8h-34", y + 18)
    } else {
        format!("M{from} {}L{} {}", y + 18, to - step, y + 26)
    };
    let point = if loops {
        format!("{to},{} {},{} {},{}", y + 26, to + 8, y + 22, to + 8, y + 30)
    } else {
        format!("{to},{} {},{} {},{}", y + 26, to - 2 * step, y + 21, to - 2 * step, y + 30)
    };
    let x = if loops { left + 56 } else { MIDDLE };
    let length =
        if passed.length > 0 { format!(" · {}", Count(passed.length, "byte")) } else { String::new() };
    let numbers = format!("{} · {}", numbers(passed), Since(since));
    html! {
        g .segment.reset[passed.flags.rst].again[passed.retransmission].loop[loops] {
            path d=(path) {}
            polygon points=(point) {}
            text x=(x) y=(y + 13) {
                tspan .flags { (flag_names(passed)) }
                (length)
                @if passed.retransmission { tspan .word { " · again" } }
            }
            text .numbers x=(x) y=(y + 38) textLength=[squeezed(&numbers, CHARACTER, 210)] { (numbers) }
        }
    }
}

fn draw_call(y: i32, end: usize, words: &str, failed: bool, silent: bool) -> Markup {
    let [left, right] = LIFELINES;
    let (x, text_x, side) = if end == 0 { (left, left + 12, "right") } else { (right, right - 12, "left") };
    html! {
        g .call.failed[failed] {
            @if failed {
                @for class in ["halo", "cross"] {
                    path class=(class) d=(format!("M{} {}l8 8m0 -8l-8 8", x - 4, y + 8)) {}
                }
            } @else {
                circle cx=(x) cy=(y + 12) r="3.5" {}
            }
            text .(side) x=(text_x) y=(y + 15) textLength=[squeezed(words, CHARACTER, 172)] { (words) }
            @if silent { text .(side).numbers x=(text_x) y=(y + 28) { "no packet" } }
        }
    }
}

/// A stretch that is not drawn to scale, across all lifelines.
fn band(y: i32, class: &str, words: &str) -> Markup {
    html! {
        g .band.(class) {
            rect x="60" y=(y + 5) width=(WIDTH - 120) height="16" rx="8" {}
            text x=(MIDDLE) y=(y + 17) { (words) }
        }
    }
}
