//! `manifest.json`: where and with what an experiment ran.

use std::collections::BTreeMap;

use super::notes::Notes;
use crate::bundle::schema::{Manifest, SCHEMA};
use crate::kernel::sysctl::setting;
use crate::sandbox::namespace::PINNED;

/// What else decides how connections begin and end.
const RELEVANT: [&str; 13] = [
    "net.core.somaxconn",
    "net.ipv4.ip_nonlocal_bind",
    "net.ipv4.tcp_abort_on_overflow",
    "net.ipv4.tcp_autocorking",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_max_tw_buckets",
    "net.ipv4.tcp_sack",
    "net.ipv4.tcp_synack_retries",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_tw_reuse_delay",
    "net.ipv4.tcp_window_scaling",
    "net.ipv6.bindv6only",
];

/// What was noted, and what this network's settings are now.
pub(super) fn manifest(notes: &Notes) -> Manifest {
    Manifest {
        schema: SCHEMA,
        experiment: notes.experiment.clone(),
        title: notes.title.clone(),
        kernel: setting("kernel.osrelease").unwrap_or_default(),
        architecture: std::env::consts::ARCH.to_owned(),
        sysctls: sysctls(notes),
        programs: notes.versions.iter().cloned().collect(),
        command: notes.command.clone(),
        namespace: notes.namespace.clone(),
        started_us: notes.started_us,
        duration_us: notes.finished_us.saturating_sub(notes.started_us),
    }
}

/// The settings that this kernel has; where one was changed on the way, every value it had.
fn sysctls(notes: &Notes) -> BTreeMap<String, String> {
    let keys = PINNED.iter().map(|(key, _)| *key).chain(RELEVANT);
    let had = |key: &str| {
        let before =
            notes.changed.iter().filter(|(changed, _)| changed == key).map(|(_, value)| value.clone());
        before.chain(setting(key)).collect::<Vec<_>>().join(", then ")
    };
    keys.map(|key| (key.to_owned(), had(key))).filter(|(_, value)| !value.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_was_changed_has_every_value_it_had() {
        let changed = vec![("net.ipv4.tcp_sack".to_owned(), "7".to_owned())];
        let notes = Notes { changed, ..Notes::default() };
        let value = &manifest(&notes).sysctls["net.ipv4.tcp_sack"];
        assert!(value.starts_with("7, then "), "{value}");
    }

    #[test]
    fn names_the_kernel_and_its_settings() {
        let notes = Notes { started_us: 5, finished_us: 7, ..Notes::default() };
        let manifest = manifest(&notes);
        assert_eq!(manifest.duration_us, 2);
        assert!(manifest.kernel.contains('.'), "{}", manifest.kernel);
        let range = &manifest.sysctls["net.ipv4.ip_local_port_range"];
        assert_eq!(range.split(' ').count(), 2, "{range}");
    }
}
