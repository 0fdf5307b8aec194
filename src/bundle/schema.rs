//! The JSON files of a bundle: `write` makes them of these types, and `page` reads them into the same.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version of everything that stands in a bundle.
pub(super) const SCHEMA: u32 = 1;

/// `manifest.json`: where and how an experiment ran. What the file does not say is empty.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct Manifest {
    /// The version of the file.
    pub schema: u32,
    /// The experiment's name, such as `01-two-listener-addresses`.
    pub experiment: String,
    /// What it is called.
    pub title: String,
    /// The kernel's release, as uname(2) gives it.
    pub kernel: String,
    /// The machine, such as `x86_64`.
    pub architecture: String,
    /// The settings of the network; where one was changed on the way, every value it had.
    pub sysctls: BTreeMap<String, String>,
    /// Each program and its version.
    pub programs: BTreeMap<String, String>,
    /// The command that repeats it.
    pub command: String,
    /// `own` for a network namespace of its own, `host` for the caller's network.
    pub namespace: String,
    /// When it began, in microseconds since the Unix epoch.
    pub started_us: u64,
    /// How long it took, in microseconds.
    pub duration_us: u64,
}

/// `verdict.json`: the question, each check, and whether all of them held. What the file does not say is empty.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct ExperimentVerdict {
    /// The version of the file.
    pub schema: u32,
    /// The experiment's name.
    pub experiment: String,
    /// What it asks.
    pub question: String,
    /// The sockets in question, drawn in text.
    pub picture: String,
    /// What the kernel answers.
    pub answer: String,
    /// Whether no check failed, and one was made.
    pub holds: bool,
    /// When it ended, in microseconds since the Unix epoch.
    pub finished_us: u64,
    /// The checks, in their order.
    pub checks: Vec<Check>,
    /// The questions put to the reader, in their order.
    pub predictions: Vec<Prediction>,
}

/// A fact that was expected.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct Check {
    /// Its number, from 1 on.
    pub number: u64,
    /// What was expected, for a reader.
    pub text: String,
    /// What was expected, as it would have been found.
    pub expected: String,
    /// What was found.
    pub seen: String,
    /// Whether it did not fail.
    pub ok: bool,
    /// Whether this machine could not make it.
    pub skipped: bool,
    /// When it was made, in microseconds since the Unix epoch.
    pub time_us: u64,
}

/// A question that the reader answered before the kernel did.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct Prediction {
    /// What was asked.
    pub question: String,
    /// What there was to choose from.
    pub choices: Vec<String>,
    /// What the reader chose; null where nobody was asked.
    pub predicted: Option<String>,
    /// What the kernel did; null where it did not do what the experiment says.
    pub answer: Option<String>,
    /// Whether both are the same.
    pub right: bool,
}

/// The schema of each file that is one object, by its name.
pub(crate) fn files() -> [(&'static str, Value); 2] {
    let generator = || SchemaSettings::draft2020_12().for_serialize().into_generator();
    [
        ("manifest.json", generator().into_root_schema_for::<Manifest>().to_value()),
        ("verdict.json", generator().into_root_schema_for::<ExperimentVerdict>().to_value()),
    ]
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
