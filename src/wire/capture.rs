//! TCP segments as they pass this network namespace's interfaces, through packet(7).

mod block;
mod filter;
mod packet;
mod ring;

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};

use crate::error::{Error, Result};
use crate::ready;
use crate::text::Setting;
use ring::Ring;

pub use packet::Packet;
pub use ring::SMALLEST_BUFFER;

/// How long the end waits for what the kernel has counted and not handed over, which takes it one timeout of a block.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is captured from [`open`](Self::open) on: TCP over IPv4 and IPv6 on every interface, each packet of lo once.
///
/// IPv4 fragments other than the first and whatever follows IPv6 extension headers pass too.
///
/// ```
/// let mut capture = match fourtuple::Capture::open(1 << 20) {
///     Ok(capture) => capture,
///     Err(error) => return assert!(error.to_string().starts_with("socket"), "without CAP_NET_RAW: {error}"),
/// };
/// let mut bytes = 0;
/// let dropped = capture.finish(&mut |packet| Ok(bytes += packet.wire_length)).unwrap();
/// assert_eq!(dropped, 0);
/// ```
pub struct Capture {
    ring: Ring,
    taken: u64,
    last: Duration,
}

impl Capture {
    /// Begins to capture, with `buffer` bytes between the kernel and us, rounded to whole blocks.
    ///
    /// # Errors
    ///
    /// `EPERM` from `socket` without CAP_NET_RAW in the user namespace that owns the network;
    /// `ENOMEM` from `setsockopt` where there is no room for the buffer. packet(7)
    pub fn open(buffer: usize) -> Result<Self> {
        Ok(Self { ring: Ring::open(buffer).map_err(explained)?, taken: 0, last: Duration::ZERO })
    }

    /// Waits until there is something to [`read`](Self::read) or `other` is readable; whether `other` is.
    ///
    /// # Errors
    ///
    /// `ENOMEM` from `poll`. An interface that goes down is no error: packets of the others still come.
    pub fn wait(&self, other: BorrowedFd) -> Result<bool> {
        let mut descriptors =
            [PollFd::new(self.ring.as_fd(), PollFlags::POLLIN), PollFd::new(other, PollFlags::POLLIN)];
        ready::wait(&mut descriptors).map_err(|errno| Error::new("poll", "AF_PACKET", errno))?;
        let [ring, other] = descriptors;
        if ring.revents().is_some_and(|events| events.contains(PollFlags::POLLERR)) {
            // An interface has gone down; reading the error clears it.
            let _ = self.ring.take_error();
        }
        Ok(other.any().unwrap_or(false))
    }

    /// Hands over, in the kernel's order, what it has ready. Times never go backwards.
    ///
    /// # Errors
    ///
    /// Those of `take`, after which the rest of a block is lost.
    pub fn read(&mut self, take: &mut dyn FnMut(Packet) -> Result<()>) -> Result<()> {
        loop {
            let (taken, last) = (&mut self.taken, &mut self.last);
            let mut read = |block: &[u8]| {
                block::packets(block).try_for_each(|packet| {
                    *taken += 1;
                    // The kernel looks at the clock before it queues, and on two processors at once.
                    *last = packet.time.max(*last);
                    take(Packet { time: *last, ..packet })
                })
            };
            match self.ring.block(&mut read) {
                Some(outcome) => outcome?,
                None => return Ok(()),
            }
        }
    }

    /// Ends the capture: hands over all that was captured until now, and tells how many packets the kernel had
    /// no room for.
    ///
    /// # Errors
    ///
    /// Those of `take`; `ETIMEDOUT` where the kernel does not hand over what it counted.
    pub fn finish(mut self, take: &mut dyn FnMut(Packet) -> Result<()>) -> Result<u64> {
        self.ring.attach(&filter::NOTHING)?;
        let counts = self.ring.statistics()?;
        let deadline = Instant::now() + PATIENCE;
        self.read(take)?;
        while self.taken < counts.received {
            if Instant::now() > deadline {
                return Err(Error::new("poll", "AF_PACKET", Errno::ETIMEDOUT));
            }
            let mut descriptor = [PollFd::new(self.ring.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut descriptor, 20_u8);
            self.read(take)?;
        }
        Ok(counts.dropped)
    }
}

fn explained(error: Error) -> Error {
    match (error.call(), error.errno()) {
        ("socket", Some(Errno::EPERM | Errno::EACCES)) => error
            .note("capturing needs CAP_NET_RAW in this network")
            .hint(format_args!("{}, where an ordinary user has it; or root", Setting::OwnNetwork)),
        ("socket", Some(Errno::EAFNOSUPPORT)) => error
            .note("this kernel cannot capture, or may not load the module for it")
            .hint("modprobe af_packet"),
        (_, Some(Errno::ENOMEM)) => error.hint(format_args!("a smaller {}", Setting::CaptureBuffer)),
        _ => error,
    }
}
