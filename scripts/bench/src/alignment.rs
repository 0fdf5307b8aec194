//! Whether it matters on this machine where a buffer begins that the kernel copies into.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};

use crate::error::{Error, Result};
use crate::statistics::Spread;

const PAGE: usize = 4096;
/// What is copied at once: it fits into a socket's buffer, and into any L2.
const SIZE: usize = 64 * 1024;
const ROUNDS: usize = 1000;
/// Where malloc(3) puts a block that it maps, behind a page.
const BEHIND: usize = 16;
/// From this ratio on it matters.
const MATTERS: f64 = 1.25;

/// What a read costs 16 bytes behind a page, for each nanosecond that it costs at a page.
pub fn cost() -> Result<f64> {
    let (mut from, mut to) = UnixStream::pair()?;
    from.set_nonblocking(true)?;
    let mut memory = vec![0; PAGE + BEHIND + SIZE];
    let page = memory.as_ptr().align_offset(PAGE);
    let data = vec![b'x'; SIZE];
    let mut read_at = |offset: usize| -> Result<f64> {
        let buffer = memory.get_mut(page + offset..).ok_or_else(|| Error::unable("no page"))?;
        // What the socket takes at once, and all of it.
        let sent = from.write(&data)?;
        let buffer = buffer.get_mut(..sent).ok_or_else(|| Error::unable("more sent than there is"))?;
        let begin = processor_time()?;
        to.read_exact(buffer)?;
        Ok((processor_time()? - begin) / sent as f64)
    };
    let pair = |_| {
        let at_page = read_at(0)?;
        Ok(read_at(BEHIND)? / at_page)
    };
    let ratios = (0..ROUNDS).map(pair).collect::<Result<Vec<f64>>>()?;
    Spread::of(ratios).map(|ratio| ratio.median).ok_or_else(|| Error::unable("nothing was read"))
}

/// What `cost` means.
pub fn words(cost: f64) -> String {
    let matters = if cost < MATTERS { "costs next to nothing" } else { "**costs**" };
    format!(
        "A read into a buffer {BEHIND} bytes behind a page takes {cost:.2} × the time of one into a page: \
         misalignment {matters} here."
    )
}

fn processor_time() -> Result<f64> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.num_nanoseconds() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_is_timed_at_a_page_and_behind_it() {
        let cost = cost().unwrap();
        assert!((0.2..5.0).contains(&cost), "{cost}");
    }

    #[test]
    fn twice_the_time_is_called_a_cost_and_a_few_percent_are_not() {
        assert!(
            words(1.04)
                .ends_with("1.04 × the time of one into a page: misalignment costs next to nothing here.")
        );
        assert!(words(2.0).ends_with("misalignment **costs** here."));
    }
}
