//! `verdict.json`: the question, and what became of it.

use serde::Deserialize;

/// What the file says; what it does not say is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ExperimentVerdict {
    pub experiment: String,
    pub question: String,
    pub picture: String,
    pub answer: String,
    pub holds: bool,
    pub finished_us: u64,
    pub checks: Vec<Check>,
    pub predictions: Vec<Prediction>,
}

/// A fact that was expected.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Check {
    pub number: u64,
    pub text: String,
    pub expected: String,
    pub seen: String,
    pub ok: bool,
    pub skipped: bool,
    pub time_us: u64,
}

/// A question that the reader answered before the kernel did.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Prediction {
    pub question: String,
    pub choices: Vec<String>,
    pub predicted: Option<String>,
    pub answer: String,
    pub right: bool,
}

impl ExperimentVerdict {
    /// Whether the file says that all held, and no check says otherwise.
    pub fn holds(&self) -> bool {
        self.holds && self.failed().next().is_none()
    }

    /// The checks that did not hold.
    pub fn failed(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| !check.ok)
    }
}
