//! The memory that the kernel fills with packets: PACKET_RX_RING, which has no safe wrapper.
//!
//! A ring and not a queue of the socket, whose length `net.core.rmem_max` bounds for an ordinary user.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::libc::{
    self, AF_PACKET, ETH_P_ALL, PACKET_RX_RING, PACKET_STATISTICS, PACKET_VERSION, SOL_PACKET,
    TP_STATUS_KERNEL, TP_STATUS_USER, c_int, c_void, sockaddr_ll, socklen_t, tpacket_req3, tpacket_stats_v3,
    tpacket_versions,
};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use socket2::{Domain, SockFilter, Socket, Type};

use super::filter;
use crate::error::{Error, Result};

/// The kernel hands packets over by blocks. The largest packet of IPv4 fits in one.
const BLOCK: usize = 128 * 1024;
/// The smallest buffer that can be had, in bytes: two blocks, one to fill while the other is read.
pub const SMALLEST_BUFFER: usize = 2 * BLOCK;
/// How long the kernel keeps a block that is not full, in milliseconds.
const HOLD: u32 = 10;
/// What the kernel divides a block by to check the request; TPACKET_V3 packs packets more closely.
const FRAME: usize = 2048;
/// Where `block_status` stands in `struct tpacket_block_desc` (linux/if_packet.h).
const STATUS: usize = 8;

/// A packet socket and the memory it shares with the kernel.
pub(super) struct Ring {
    socket: Socket,
    memory: NonNull<c_void>,
    blocks: usize,
    /// The block that the kernel hands over next.
    next: usize,
}

/// What has passed the filter since the last count.
pub(super) struct Counts {
    /// Packets in the ring, read or not.
    pub(super) received: u64,
    /// Packets for which it had no room.
    pub(super) dropped: u64,
}

#[expect(
    unsafe_code,
    reason = "packet(7) is reached by setsockopt(2), bind(2) and mmap(2) on raw structures"
)]
impl Ring {
    /// Opens a ring of `bytes`, rounded up to whole blocks, that fills from now on.
    pub(super) fn open(bytes: usize) -> Result<Self> {
        let blocks = bytes.max(SMALLEST_BUFFER).div_ceil(BLOCK);
        // Without a protocol nothing arrives until bind(2) names one: filter and ring are in place before.
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, None)
            .map_err(|error| Error::new("socket", "AF_PACKET", error))?;
        attach(&socket, &filter::SEGMENTS)?;
        set(&socket, "PACKET_VERSION", PACKET_VERSION, &(tpacket_versions::TPACKET_V3 as c_int))?;
        set(&socket, "PACKET_RX_RING", PACKET_RX_RING, &request(blocks)?)?;
        let ring = Self { memory: map(&socket, blocks)?, socket, blocks, next: 0 };
        ring.bind()?;
        Ok(ring)
    }

    fn bind(&self) -> Result<()> {
        // SAFETY: all zeroes is a value of this structure of numbers.
        let mut address: sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = AF_PACKET as u16;
        address.sll_protocol = (ETH_P_ALL as u16).to_be();
        let length = size_of::<sockaddr_ll>() as socklen_t;
        // SAFETY: the address is a whole sockaddr_ll of `length` bytes that lives through the call.
        let outcome = unsafe { libc::bind(self.socket.as_raw_fd(), (&raw const address).cast(), length) };
        Errno::result(outcome).map_err(|errno| Error::new("bind", "AF_PACKET, all interfaces", errno))?;
        Ok(())
    }

    /// Reads the next block and gives it back to the kernel; `None` where the kernel has not handed it over.
    pub(super) fn block<T>(&mut self, read: &mut dyn FnMut(&[u8]) -> T) -> Option<T> {
        // SAFETY: `next` is less than `blocks`, and so many blocks are mapped.
        let block = unsafe { self.memory.cast::<u8>().add(self.next * BLOCK) };
        // SAFETY: a block begins at a page, so its status is aligned; the kernel and we touch it as a whole word.
        let status = unsafe { AtomicU32::from_ptr(block.add(STATUS).cast().as_ptr()) };
        if status.load(Ordering::Acquire) & TP_STATUS_USER == 0 {
            return None;
        }
        // SAFETY: the kernel does not write to a block that it has handed over, and the slice ends before it is
        // given back.
        let outcome = read(unsafe { std::slice::from_raw_parts(block.as_ptr(), BLOCK) });
        status.store(TP_STATUS_KERNEL, Ordering::Release);
        self.next = (self.next + 1) % self.blocks;
        Some(outcome)
    }

    /// Counts packets since the last call: PACKET_STATISTICS begins anew each time.
    pub(super) fn statistics(&self) -> Result<Counts> {
        let mut counts = tpacket_stats_v3 { tp_packets: 0, tp_drops: 0, tp_freeze_q_cnt: 0 };
        let mut length = size_of::<tpacket_stats_v3>() as socklen_t;
        // SAFETY: the kernel writes at most `length` bytes, which is what `counts` has.
        let outcome = unsafe {
            let (descriptor, value) = (self.socket.as_raw_fd(), (&raw mut counts).cast());
            libc::getsockopt(descriptor, SOL_PACKET, PACKET_STATISTICS, value, &raw mut length)
        };
        Errno::result(outcome).map_err(|errno| Error::new("getsockopt", "PACKET_STATISTICS", errno))?;
        // `tp_packets` includes those dropped.
        let received = counts.tp_packets.saturating_sub(counts.tp_drops);
        Ok(Counts { received: received.into(), dropped: counts.tp_drops.into() })
    }

    pub(super) fn attach(&self, filter: &[SockFilter]) -> Result<()> {
        attach(&self.socket, filter)
    }

    /// The socket's pending error, which is cleared.
    pub(super) fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket.take_error()
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[expect(unsafe_code, reason = "what was mapped has to be unmapped")]
impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: mapped by `map` with this length, and no slice of it outlives `block`.
        let _ = unsafe { munmap(self.memory, self.blocks * BLOCK) };
    }
}

fn attach(socket: &Socket, filter: &[SockFilter]) -> Result<()> {
    socket.attach_filter(filter).map_err(|error| Error::new("setsockopt", "SO_ATTACH_FILTER", error))
}

fn request(blocks: usize) -> Result<tpacket_req3> {
    let narrow = |number: usize| {
        u32::try_from(number).map_err(|_| Error::new("setsockopt", "PACKET_RX_RING", Errno::ENOMEM))
    };
    Ok(tpacket_req3 {
        tp_block_size: narrow(BLOCK)?,
        tp_block_nr: narrow(blocks)?,
        tp_frame_size: narrow(FRAME)?,
        tp_frame_nr: narrow(blocks * (BLOCK / FRAME))?,
        tp_retire_blk_tov: HOLD,
        tp_sizeof_priv: 0,
        tp_feature_req_word: 0,
    })
}

#[expect(unsafe_code, reason = "socket2 and nix have no options of packet(7)")]
fn set<T>(socket: &Socket, name: &'static str, option: c_int, value: &T) -> Result<()> {
    let length = size_of::<T>() as socklen_t;
    // SAFETY: the kernel reads `length` bytes, which is what `value` has; each T passed here is plain numbers.
    let outcome = unsafe {
        libc::setsockopt(socket.as_raw_fd(), SOL_PACKET, option, std::ptr::from_ref(value).cast(), length)
    };
    Errno::result(outcome).map_err(|errno| Error::new("setsockopt", name, errno))?;
    Ok(())
}

#[expect(unsafe_code, reason = "the ring is shared memory")]
fn map(socket: &Socket, blocks: usize) -> Result<NonNull<c_void>> {
    let failed = |errno| Error::new("mmap", "PACKET_RX_RING", errno);
    let length = NonZeroUsize::new(blocks * BLOCK).ok_or_else(|| failed(Errno::EINVAL))?;
    // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
    unsafe {
        mmap(None, length, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED, socket, 0)
    }
    .map_err(failed)
}
