//! Buffers that the kernel picks from by itself: an io_uring provided-buffer ring.
#![expect(unsafe_code, reason = "the kernel and we write into the same memory by turns")]

use std::alloc::{self, Layout};
use std::net::SocketAddr;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use io_uring::types::BufRingEntry;

use crate::sys::address::{RAW_ADDRESS_BYTES, RawAddress};

static IDS: AtomicU64 = AtomicU64::new(0);

const PAGE_BYTES: usize = 4096;
/// What the kernel writes before a datagram of a multishot recvmsg: four numbers, then the
/// sender's address.
const HEADER_BYTES: usize = 16;
const PREFIX_BYTES: usize = HEADER_BYTES + RAW_ADDRESS_BYTES as usize;

/// How many buffers a pool has and what fits into one.
#[derive(Clone, Copy, Debug)]
pub struct PoolPlan {
    /// Buffers; a power of two of at most 32768.
    pub buffers: u16,
    /// Bytes of the longest datagram; more is cut.
    pub datagram_bytes: usize,
    /// Bytes behind a datagram that stay free.
    pub room_bytes: usize,
}

impl PoolPlan {
    fn stride(self) -> usize {
        (PREFIX_BYTES + self.datagram_bytes + self.room_bytes).next_multiple_of(64)
    }

    fn ring_bytes(self) -> usize {
        (usize::from(self.buffers) * size_of::<BufRingEntry>()).next_multiple_of(PAGE_BYTES)
    }

    fn layout(self) -> Layout {
        let bytes = self.ring_bytes() + usize::from(self.buffers) * self.stride();
        Layout::from_size_align(bytes, PAGE_BYTES).expect("pools are megabytes, not exabytes")
    }
}

/// The memory of one pool: the ring that the kernel reads, then the buffers. Shared by the pool and
/// the [`super::Ring`] that the kernel knows it from, so that it outlives both.
#[derive(Debug)]
pub(super) struct Block {
    start: NonNull<u8>,
    plan: PoolPlan,
    /// Unlike any other block's of this process.
    id: u64,
}

// SAFETY: the block is plain memory. Who may touch which part of it is settled by `BufferPool`
// (the ring and its tail, from one owner) and `Lent` (one buffer each).
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

impl Block {
    pub(super) fn new(plan: PoolPlan) -> Arc<Self> {
        assert!(plan.buffers.is_power_of_two() && plan.buffers <= 1 << 15);
        let layout = plan.layout();
        // SAFETY: the layout is not empty, because there is at least one buffer.
        let start = unsafe { alloc::alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start) else { alloc::handle_alloc_error(layout) };
        let id = IDS.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self { start, plan, id })
    }

    pub(super) fn address(&self) -> u64 {
        self.start.as_ptr() as u64
    }

    pub(super) fn buffers(&self) -> u16 {
        self.plan.buffers
    }

    fn buffer(&self, index: u16) -> NonNull<u8> {
        assert!(index < self.plan.buffers);
        let offset = self.plan.ring_bytes() + usize::from(index) * self.plan.stride();
        // SAFETY: `index` is below the number of buffers, so the offset is inside the block.
        unsafe { self.start.add(offset) }
    }

    /// What the kernel has put into buffer `index`, of which it wrote `written` bytes.
    pub(super) fn read(&self, index: u16, written: usize) -> Lent {
        let mut prefix = [0u8; PREFIX_BYTES];
        // SAFETY: a buffer begins with PREFIX_BYTES initialized bytes, and the kernel gave it to
        // us with the completion that the caller has just taken, so it does not write any more.
        unsafe {
            let from = self.buffer(index).as_ptr();
            std::ptr::copy_nonoverlapping(from, prefix.as_mut_ptr(), PREFIX_BYTES);
        }
        let number = |at: usize| {
            u32::from_ne_bytes([prefix[at], prefix[at + 1], prefix[at + 2], prefix[at + 3]])
        };
        let flags = number(12).cast_signed();
        let name: &[u8; RAW_ADDRESS_BYTES as usize] =
            prefix[HEADER_BYTES..].try_into().expect("the prefix ends with the address");
        Lent {
            block: self.id,
            index,
            source: RawAddress::from_bytes(name).get(),
            length: written.saturating_sub(PREFIX_BYTES).min(self.plan.datagram_bytes),
            is_cut: flags & libc::MSG_TRUNC != 0,
        }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with the same layout; nobody holds the block any more.
        unsafe { alloc::dealloc(self.start.as_ptr(), self.plan.layout()) };
    }
}

/// A received datagram: the right to one buffer until [`BufferPool::recycle`].
#[derive(Debug)]
pub struct Lent {
    block: u64,
    index: u16,
    /// Who sent it; `None` for a family that is neither IPv4 nor IPv6.
    pub source: Option<SocketAddr>,
    /// Bytes of the datagram.
    pub length: usize,
    /// Whether the datagram was longer than the pool's plan allows and lost its end.
    pub is_cut: bool,
}

/// The buffers of one size, and our end of the ring through which the kernel gets them.
#[derive(Debug)]
pub struct BufferPool {
    block: Arc<Block>,
    tail: u16,
}

impl BufferPool {
    /// The pool's own end; all buffers are given to the kernel.
    pub(super) fn new(block: Arc<Block>) -> Self {
        let mut pool = Self { block, tail: 0 };
        for index in 0..pool.block.plan.buffers {
            pool.offer(index);
        }
        pool.publish();
        pool
    }

    /// The buffer of a datagram: the datagram, and room behind it.
    pub fn bytes<'a>(&'a self, lent: &'a mut Lent) -> &'a mut [u8] {
        assert!(self.owns(lent), "a buffer of another pool");
        let length = self.block.plan.datagram_bytes + self.block.plan.room_bytes;
        // SAFETY: the bytes are inside the buffer `lent.index` and were initialized (zeroed) with
        // the block. There is one `Lent` for each buffer that the kernel has given up, it is
        // borrowed mutably, and so is nobody else's.
        unsafe {
            let start = self.block.buffer(lent.index).add(PREFIX_BYTES);
            std::slice::from_raw_parts_mut(start.as_ptr(), length)
        }
    }

    /// Gives a buffer back to the kernel.
    #[expect(clippy::needless_pass_by_value, reason = "the right to the buffer ends here")]
    pub fn recycle(&mut self, lent: Lent) {
        assert!(self.owns(&lent), "a buffer of another pool");
        self.offer(lent.index);
        self.publish();
    }

    /// Whether a datagram lies in this pool.
    pub fn owns(&self, lent: &Lent) -> bool {
        lent.block == self.block.id
    }

    fn offer(&mut self, index: u16) {
        let block = &self.block;
        let slot = usize::from(self.tail & (block.plan.buffers - 1));
        let length = PREFIX_BYTES + block.plan.datagram_bytes;
        // SAFETY: `slot` is below the number of entries, which lie zeroed at the block's start; the
        // kernel reads an entry only after its tail has passed, so this one is ours to write. The
        // tail itself overlays the first entry's reserved field, which is not written here.
        let entry = unsafe { &mut *block.start.cast::<BufRingEntry>().add(slot).as_ptr() };
        entry.set_addr(block.buffer(index).as_ptr() as u64);
        entry.set_len(u32::try_from(length).expect("a datagram is below 64 KiB"));
        entry.set_bid(index);
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish(&self) {
        let ring = self.block.start.cast::<BufRingEntry>().as_ptr();
        // SAFETY: `ring` is the page-aligned start of the ring; its tail is a u16 that only this
        // pool writes and the kernel reads, so that an atomic store is what both sides expect.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(ring).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}
