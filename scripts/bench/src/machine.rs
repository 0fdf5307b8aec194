//! On what it was measured.

use std::fmt::{self, Display};
use std::fs;
use std::time::SystemTime;

use nix::sys::utsname::uname;
use serde::Serialize;

use crate::alignment;
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
    /// Of the first processor, as the kernel writes it: `512K`.
    pub l2: String,
    /// What a read costs 16 bytes behind a page, against one at a page.
    pub misaligned_read: f64,
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
        let misaligned_read = alignment::cost()?;
        Ok(Self { date, kernel, processor, processors: cpus.count(), l2: l2(), misaligned_read })
    }
}

impl Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { date, kernel, processor, processors, l2, misaligned_read } = self;
        writeln!(f, "{date}, {kernel}, {processors} × {processor}, L2 {l2} each.\n")?;
        f.write_str(&alignment::words(*misaligned_read))
    }
}

/// The size of the first processor's L2, where the kernel knows it.
fn l2() -> String {
    let read = |index: usize, file: &str| {
        fs::read_to_string(format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{file}"))
    };
    let is_second = |index: &usize| read(*index, "level").is_ok_and(|level| level.trim() == "2");
    let size = (0..8).find(is_second).and_then(|index| read(index, "size").ok());
    size.map_or("unknown".to_owned(), |size| size.trim().to_owned())
}
