//! The tables of a page: checks, connections, predictions, environment.

use maud::{Markup, html};

use super::beside::Beside;
use super::bundle::Bundle;
use super::words::{Count, Harmless, Short, harmless_lines, moment};
use crate::bundle::schema::Manifest;
use crate::bundle::schema::{Check, ExperimentVerdict, Prediction};
use crate::bundle::timeline::{Basis, ConnectionHistory, Owner};
use crate::net::TcpState;

/// More connections than this are counted, not listed.
const MOST_LISTED: usize = 200;

/// Every check, expected beside seen.
pub(super) fn checks(verdict: &ExperimentVerdict, besides: &[Beside]) -> Markup {
    html! {
        section #checks {
            h2 { "Checks" }
            ol .checks {
                @for check in &verdict.checks {
                    (self::check(check, besides.iter().find(|beside| beside.check == check.number)))
                }
            }
            @if verdict.checks.is_empty() { p { "Nothing was checked." } }
        }
    }
}

fn check(check: &Check, beside: Option<&Beside>) -> Markup {
    let (class, sign, word) = match (check.ok, check.skipped) {
        (false, _) => ("bad", "✗", "not so"),
        (true, true) => ("skipped", "–", "left out"),
        (true, false) => ("good", "✓", "holds"),
    };
    html! {
        li .(class) id=(format!("check-{}", check.number)) value=(check.number) {
            p { span .mark { span aria-hidden="true" { (sign) } " " (word) } " " (Harmless(&check.text)) }
            @if !check.expected.is_empty() || !check.seen.is_empty() {
                dl {
                    div { dt { "expected" } dd { (harmless_lines(&check.expected)) } }
                    div .seen { dt { "seen" } dd { (harmless_lines(&check.seen)) } }
                    @if let Some(beside) = beside {
                        div .beside { dt { "meanwhile" } dd { a href=(format!("#check-{}-here", check.number)) { (Harmless(&beside.words)) } } }
                    }
                }
            }
        }
    }
}

/// The four-tuples and who owns each end.
pub(super) fn connections(bundle: &Bundle, drawn: usize) -> Markup {
    let all: Vec<(usize, &ConnectionHistory)> = bundle.timeline.connections.iter().enumerate().collect();
    let listed: Vec<_> = all.iter().filter(|(_, connection)| !connection.unopened).collect();
    let more = listed.len().saturating_sub(MOST_LISTED);
    html! {
        section #connections {
            h2 { "Four-tuples" }
            @if listed.is_empty() { p { "No connection was seen." } } @else {
                table {
                    thead { tr {
                        th scope="col" { "#" }
                        th scope="col" { "active end" } th scope="col" { "its owner" }
                        th scope="col" { "other end" } th scope="col" { "its owner" }
                        th scope="col" { "last states" } th scope="col" { "segments" }
                    } }
                    tbody {
                        @for (index, connection) in listed.iter().take(MOST_LISTED) {
                            (row(*index, connection, *index < drawn))
                        }
                    }
                }
                @if more > 0 { p { (Count(more, "more connection")) " left out." } }
            }
        }
    }
}

fn row(index: usize, connection: &ConnectionHistory, drawn: bool) -> Markup {
    let [one, other] = connection.ends;
    let number = index + 1;
    html! {
        tr {
            th scope="row" {
                @if drawn { a href=(format!("#connection-{number}")) { (number) } } @else { (number) }
            }
            td data-label="active end" { code { (one) } }
            td data-label="its owner" { (owners(connection, 0)) }
            td data-label="other end" { code { (other) } }
            td data-label="its owner" { (owners(connection, usize::from(!connection.is_to_itself()))) }
            td data-label="last states" { (last_states(connection)) }
            td data-label="segments" { (connection.segments()) }
        }
    }
}

fn owners(connection: &ConnectionHistory, end: usize) -> Markup {
    let owners = connection.owners.get(end).map(Vec::as_slice).unwrap_or_default();
    html! {
        @if owners.is_empty() { "no owner seen" }
        @for (index, owner) in owners.iter().enumerate() {
            @if index > 0 { ", " }
            @match owner {
                Owner::Program(name) => b { (Harmless(name)) },
                Owner::Process(name, pid) => { (Harmless(name)) " (pid " (pid) ")" },
            }
        }
    }
}

fn last_states(connection: &ConnectionHistory) -> Markup {
    let ends: &[usize] = if connection.is_to_itself() { &[0] } else { &[0, 1] };
    html! {
        @for (index, end) in ends.iter().enumerate() {
            @if index > 0 { " | " }
            @match connection.states(*end).last() {
                Some(change) => {
                    (change.state.name())
                    @if change.basis == Basis::Inferred && change.state != TcpState::Closed { " (inferred)" }
                },
                None => "none",
            }
        }
    }
}

/// What the reader had answered, and the score.
pub(super) fn predictions(predictions: &[Prediction]) -> Markup {
    let made = predictions.iter().filter(|prediction| prediction.predicted.is_some());
    let right = made.clone().filter(|prediction| prediction.right).count();
    html! {
        @if !predictions.is_empty() {
            section #predictions {
                h2 { "Predictions" }
                @if made.clone().count() > 0 {
                    p { "Score: " (right) " of " (Count(made.count(), "prediction")) " right." }
                }
                ul { @for prediction in predictions { (self::prediction(prediction)) } }
            }
        }
    }
}

fn prediction(prediction: &Prediction) -> Markup {
    let answer = html! {
        @match &prediction.answer {
            Some(answer) => { "says " b { (Harmless(answer)) } },
            None => "did none of it",
        }
    };
    html! {
        li {
            (Harmless(&prediction.question)) " "
            span .choices { "(" (Harmless(&prediction.choices.join(", "))) ")" }
            br;
            @match &prediction.predicted {
                Some(predicted) => {
                    "predicted " b { (Harmless(predicted)) } ", the kernel " (answer) ": "
                    @if prediction.right { span .mark.good { "✓ right" } } @else { span .mark.bad { "✗ wrong" } }
                },
                None => { "nothing was predicted; the kernel " (answer) },
            }
        }
    }
}

/// Where and how it ran.
pub(super) fn environment(manifest: &Manifest) -> Markup {
    let namespace = match manifest.namespace.as_str() {
        "own" => "a network namespace of its own",
        "host" => "the caller's own network",
        other => other,
    };
    let programs: Vec<String> =
        manifest.programs.iter().map(|(name, version)| format!("{name} {version}")).collect();
    let facts = [
        ("command", manifest.command.clone()),
        ("kernel", format!("{} {}", manifest.kernel, manifest.architecture)),
        ("network", namespace.to_owned()),
        ("programs", programs.join(", ")),
        ("started", if manifest.started_us > 0 { moment(manifest.started_us) } else { String::new() }),
        ("duration", Short(std::time::Duration::from_micros(manifest.duration_us)).to_string()),
    ];
    html! {
        section #environment {
            h2 { "Environment" }
            dl .facts {
                @for (name, value) in facts.iter().filter(|(_, value)| !value.trim().is_empty()) {
                    div { dt { (name) } dd { (Harmless(value)) } }
                }
            }
            @if !manifest.sysctls.is_empty() {
                h3 { "Sysctls" }
                dl .facts.sysctls {
                    @for (name, value) in &manifest.sysctls {
                        div { dt { (Harmless(name)) } dd { (Harmless(value)) } }
                    }
                }
            }
        }
    }
}
