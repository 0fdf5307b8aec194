//! The index: a table of all experiments that left a bundle, linking their pages.

use std::fs;
use std::path::{Path, PathBuf};

use maud::{Markup, html};

use super::bundle::Bundle;
use super::html::document;
use super::words::{Count, Harmless, Short, harmless_lines, moment};
use crate::error::{Error, Result};
use crate::text::Setting;

/// The index of the bundles in `directory`, as the text of an HTML file.
///
/// # Errors
///
/// Those of opendir(3), or that there is no bundle in it.
pub fn index(directory: &Path) -> Result<String> {
    let entries = fs::read_dir(directory).map_err(|error| Error::new("open", directory.display(), error))?;
    let mut paths: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| is_whole(path)).collect();
    paths.sort();
    let bundles: Vec<(PathBuf, Bundle)> =
        paths.into_iter().filter_map(|path| Bundle::read(&path).ok().map(|bundle| (path, bundle))).collect();
    if bundles.is_empty() {
        let error = std::io::Error::other("no bundle in it");
        return Err(Error::new("report", directory.display(), error)
            .hint(format_args!("run an experiment first: {}", Setting::Experiment)));
    }
    Ok(document("fourtuple: experiments", body(&bundles)))
}

/// A bundle under way has a name that begins with a dot.
fn is_whole(path: &Path) -> bool {
    path.is_dir() && path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.'))
}

fn body(bundles: &[(PathBuf, Bundle)]) -> Markup {
    let held =
        bundles.iter().filter(|(_, bundle)| bundle.verdict.as_ref().is_some_and(|verdict| verdict.holds()));
    html! {
        header {
            p .experiment { "fourtuple" }
            h1 { "Experiments" }
            p { (held.count()) " of " (Count(bundles.len(), "experiment")) " hold." }
        }
        main {
            table {
                thead { tr {
                    th scope="col" { "experiment" } th scope="col" { "question" } th scope="col" { "verdict" }
                    th scope="col" { "checks" } th scope="col" { "ran" } th scope="col" { "took" } th scope="col" { "kernel" }
                } }
                tbody { @for (path, bundle) in bundles { (row(path, bundle)) } }
            }
        }
    }
}

fn row(path: &Path, bundle: &Bundle) -> Markup {
    let (manifest, verdict) = (&bundle.manifest, bundle.verdict.as_ref());
    let checks = verdict.map_or(0, |verdict| verdict.checks.len());
    let failed = verdict.map_or(0, |verdict| verdict.failed().count());
    html! {
        tr {
            th scope="row" {
                @if path.join("report.html").exists() {
                    a href=(format!("{}/report.html", encoded(path))) { (Harmless(&bundle.name)) }
                } @else {
                    (Harmless(&bundle.name)) " (no page)"
                }
            }
            td data-label="question" { (harmless_lines(verdict.map_or("", |verdict| &verdict.question))) }
            td data-label="verdict" { (outcome(verdict.map(crate::bundle::schema::ExperimentVerdict::holds))) }
            td .short data-label="checks" { (checks - failed) " of " (checks) }
            td .short data-label="ran" { @if manifest.started_us > 0 { (moment(manifest.started_us)) } }
            td .short data-label="took" { (Short(std::time::Duration::from_micros(manifest.duration_us))) }
            td data-label="kernel" { (Harmless(&manifest.kernel)) }
        }
    }
}

fn outcome(holds: Option<bool>) -> Markup {
    html! {
        @match holds {
            Some(true) => span .mark.good { "✓ holds" },
            Some(false) => span .mark.bad { "✗ does not hold" },
            None => span .mark { "– no verdict" },
        }
    }
}

/// A directory's name as part of a link (RFC 3986 §2.1).
fn encoded(path: &Path) -> String {
    let byte = |byte: &u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(*byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    path.file_name().unwrap_or_default().as_encoded_bytes().iter().map(byte).collect()
}
