//! Memory given back to the kernel when it is free: what a crowd of slow readers cost must not stay with us.
//!
//! With other C libraries than glibc both calls do nothing.

/// From this many bytes on, a block of memory has a mapping of its own, and goes with it.
const OWN_MAPPING: usize = 8 * 1024;

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "mallopt(3) and malloc_trim(3) have no safe wrapper")]
mod glibc {
    use nix::libc::{M_MMAP_THRESHOLD, M_TOP_PAD, malloc_trim, mallopt};

    /// Tells malloc to map large blocks one by one, so that each is given back when it is freed.
    ///
    /// By default glibc raises its threshold to the largest block freed so far, after which one small
    /// block at the end of the heap holds back all that was freed below it. Free memory at that end
    /// would serve large blocks first, threshold or not: hence no padding there.
    pub(crate) fn map_large_blocks() {
        // SAFETY: mallopt takes no pointers, and any value of these parameters is sound.
        unsafe {
            mallopt(M_MMAP_THRESHOLD, super::OWN_MAPPING as i32);
            mallopt(M_TOP_PAD, 0);
        }
        give_back_free_pages();
    }

    /// Gives back every page of the heap that holds nothing.
    pub(crate) fn give_back_free_pages() {
        // SAFETY: malloc_trim releases free pages alone, whatever the padding asked for.
        unsafe {
            malloc_trim(0);
        }
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
mod glibc {
    pub fn map_large_blocks() {}
    pub fn give_back_free_pages() {}
}

pub(crate) use glibc::{give_back_free_pages, map_large_blocks};
