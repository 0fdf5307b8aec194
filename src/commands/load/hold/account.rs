//! What the connections cost in memory.

use crate::error::Result;
use crate::kernel::memory::{KernelMemory, of_process};
use crate::report::{Event, LoadEvent, Reporter};

/// What was used before they were opened.
pub(super) struct Account {
    kernel: KernelMemory,
    listeners: Vec<(u32, u64)>,
}

impl Account {
    /// Looks at the kernel and at the listeners of these numbers.
    pub(super) fn open(listeners: Vec<u32>) -> Result<Self> {
        let listeners = listeners.into_iter().map(|pid| (pid, of_process(pid).unwrap_or_default())).collect();
        Ok(Self { kernel: KernelMemory::now()?, listeners })
    }

    /// Tells what has been added since.
    pub(super) fn tell(&self, reporter: &Reporter, holders: &[u32], connections: usize) -> Result<()> {
        let now = KernelMemory::now()?;
        let tell = |of, bytes| reporter.report(&Event::Load(LoadEvent::Memory { of, bytes, connections }));
        tell("kernel", now.slab.saturating_sub(self.kernel.slab));
        tell("kernel-buffers", now.buffers.saturating_sub(self.kernel.buffers));
        let used = |pid| of_process(pid).unwrap_or_default();
        if !self.listeners.is_empty() {
            let more = self.listeners.iter().map(|&(pid, before)| used(pid).saturating_sub(before));
            tell("listeners", more.sum());
        }
        tell("holders", holders.iter().map(|&pid| used(pid)).sum());
        Ok(())
    }
}
