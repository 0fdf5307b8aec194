//! The page: one HTML file that needs no network and no script.

use std::time::Duration;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::beside::{Beside, beside};
use super::bundle::{Bundle, Trouble};
use super::diagram::{Context, diagram};
use super::tables;
use super::words::{Count, Harmless, harmless_lines};
use crate::bundle::schema::ExperimentVerdict;
use crate::bundle::timeline::ConnectionHistory;

/// More connections than this are listed, not drawn.
const MOST_DRAWN: usize = 24;

/// The style sheet of all pages.
const STYLE: &str = include_str!("style.css");

/// The page of a bundle, as the text of an HTML file.
pub fn page(bundle: &Bundle) -> String {
    let title = Harmless(bundle.title()).to_string();
    let failed = bundle.verdict.iter().flat_map(ExperimentVerdict::failed);
    let besides: Vec<Beside> = failed.filter_map(|check| beside(check, &bundle.timeline)).collect();
    document(
        &title,
        html! {
            header {
                p .experiment { (Harmless(&bundle.name)) }
                h1 { (title) }
                (question(bundle))
            }
            main {
                (troubles(&bundle.troubles))
                (tables::connections(bundle, MOST_DRAWN))
                (diagrams(bundle, &besides))
                @if let Some(verdict) = &bundle.verdict {
                    (tables::checks(verdict, &besides))
                }
                @if let Some(verdict) = &bundle.verdict {
                    (tables::predictions(&verdict.predictions))
                }
                (tables::environment(&bundle.manifest))
            }
        },
    )
}

/// An HTML document with our style.
pub(super) fn document(title: &str, body: Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                // Without it a browser asks the server for /favicon.ico.
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    };
    page.into_string()
}

fn question(bundle: &Bundle) -> Markup {
    let Some(verdict) = &bundle.verdict else {
        return html! { p .verdict.unknown { "No verdict: the experiment left none." } };
    };
    html! {
        @if !verdict.question.is_empty() { p .question { (harmless_lines(&verdict.question)) } }
        @if !verdict.picture.is_empty() { pre .picture { (harmless_lines(&verdict.picture)) } }
        (self::verdict(verdict))
    }
}

fn verdict(verdict: &ExperimentVerdict) -> Markup {
    let failed = verdict.failed().count();
    let all = Count(verdict.checks.len(), "check");
    html! {
        @if verdict.holds() {
            div .verdict.good {
                p { span .mark { span aria-hidden="true" { "✓" } " It holds" } " · " (all) ", none failed" }
                @if !verdict.answer.is_empty() { p .answer { (harmless_lines(&verdict.answer)) } }
            }
        } @else {
            div .verdict.bad {
                p { span .mark { span aria-hidden="true" { "✗" } " It does not hold" } " · " (failed) " of " (all) " failed" }
                ul { @for check in verdict.failed() {
                    li { a href=(format!("#check-{}", check.number)) { "check " (check.number) } ": " (Harmless(&check.text)) }
                } }
                @if !verdict.answer.is_empty() { p .answer { "The answer expected was: " (harmless_lines(&verdict.answer)) } }
            }
        }
    }
}

fn troubles(troubles: &[Trouble]) -> Markup {
    html! {
        @if !troubles.is_empty() {
            section .troubles {
                h2 { "Incomplete evidence" }
                ul { @for trouble in troubles { li { (Harmless(&trouble.to_string())) } } }
            }
        }
    }
}

fn diagrams(bundle: &Bundle, besides: &[Beside]) -> Markup {
    let all = &bundle.timeline.connections;
    let context = Context {
        zero: bundle.timeline.begins().unwrap_or(Duration::ZERO),
        captured: bundle.captured,
        besides,
    };
    let more = all.len().saturating_sub(MOST_DRAWN);
    html! {
        @if !all.is_empty() {
            section #diagrams {
                h2 { "What happened" }
                (legend(bundle))
                div .diagrams {
                    @for (index, connection) in all.iter().take(MOST_DRAWN).enumerate() {
                        figure id=(format!("connection-{}", index + 1)) {
                            figcaption { (caption(index, connection)) }
                            (diagram(index, connection, &context))
                        }
                    }
                }
                @if more > 0 { p { (Count(more, "more connection")) " not drawn." } }
            }
        }
    }
}

fn caption(index: usize, connection: &ConnectionHistory) -> Markup {
    let [one, other] = connection.ends;
    html! {
        span .number { (index + 1) } " "
        @if connection.is_to_itself() { (one) " connected to itself" }
        @else if connection.unopened && one == other { (one) ": no connection" }
        @else if connection.unopened { (one) " → " (other) ": no connection" }
        @else { (one) " → " (other) }
    }
}

fn legend(bundle: &Bundle) -> Markup {
    html! {
        p .legend {
            span { svg viewBox="0 0 10 16" aria-hidden="true" { rect .bar.open x="1" y="1" width="8" height="14" rx="2" {} }
                " state sampled from the kernel’s socket table" }
            @if bundle.captured {
                span { svg viewBox="0 0 10 16" aria-hidden="true" { rect .bar.open.inferred x="1" y="1" width="8" height="14" rx="2" {} }
                    " inferred from the segments (RFC 9293 §3.10): too short to be sampled" }
            } @else {
                span { "No packets were captured: there are no arrows, and nothing is inferred." }
            }
            span { "Times are since the first entry; rows are in true order, not to scale. Sequence numbers are relative." }
        }
    }
}
