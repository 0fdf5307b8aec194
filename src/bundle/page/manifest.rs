//! `manifest.json`: where and how an experiment ran.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What the file says; what it does not say is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Manifest {
    pub experiment: String,
    pub title: String,
    pub kernel: String,
    pub architecture: String,
    pub sysctls: BTreeMap<String, String>,
    pub programs: BTreeMap<String, String>,
    pub command: String,
    pub namespace: String,
    pub started_us: u64,
    pub duration_us: u64,
}
