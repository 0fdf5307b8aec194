//! On what it was measured.

use std::fmt::{self, Display};
use std::fs;
use std::time::SystemTime;

use nix::sys::utsname::uname;
use serde::Serialize;

use crate::cpus::Cpus;
use crate::error::Result;

/// Where and when.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// UTC.
    pub date: String,
    pub kernel: String,
    pub processor: String,
    pub processors: usize,
}

impl Machine {
    /// This one, now.
    pub fn this(cpus: &Cpus) -> Result<Self> {
        let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let system = uname()?;
        let kernel = format!("{} {}", system.sysname().to_string_lossy(), system.release().to_string_lossy());
        let processor = fs::read_to_string("/proc/cpuinfo")?
            .lines()
            .find_map(|line| Some(line.strip_prefix("model name")?.split_once(": ")?.1.to_owned()))
            .unwrap_or_else(|| "unknown".to_owned());
        Ok(Self { date, kernel, processor, processors: cpus.count() })
    }
}

impl Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { date, kernel, processor, processors } = self;
        write!(f, "{date}, {kernel}, {processors} × {processor}.")
    }
}
