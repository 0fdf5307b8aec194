//! The Windows Subsystem for Linux: programs of Windows have ports that no table here shows.

use std::fs;

use super::{Answer, Goal, PlannedCall, Reason, Verdict};

/// What that means for an answer that is given without them.
pub(super) fn remark(question: &PlannedCall, answer: &Answer) -> Option<String> {
    let is_server = matches!(question.goal, Goal::Bind(_) | Goal::Listen(_));
    let is_open =
        matches!(answer.verdict, Verdict::Works | Verdict::Fails { reason: Reason::Unexplained, .. });
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    (is_server && is_open && is_wsl(&release)).then(|| {
        "this is WSL, and what programs of Windows have is not seen from here: with networkingMode=mirrored one of them \
         may keep bind from this port; `netstat -ano` there shows it"
            .to_owned()
    })
}

/// Whether Microsoft built this kernel: `5.15.167.4-microsoft-standard-WSL2`.
fn is_wsl(release: &str) -> bool {
    let release = release.to_ascii_lowercase();
    release.contains("microsoft") || release.contains("wsl")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wsl_is_known_by_its_kernels() {
        for release in ["4.4.0-19041-Microsoft", "5.15.167.4-microsoft-standard-WSL2", "6.6.1-WSL2-custom+"] {
            assert!(is_wsl(release), "{release}");
        }
        assert!(!is_wsl("6.12.57+deb13-amd64"));
    }
}
