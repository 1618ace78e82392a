//! io_uring for datagram sockets: multishot receives into provided buffers, batched sends.
//!
//! The kernel is given the addresses of buffers and headers. All of them are owned by [`Ring`] and
//! [`BufferPool`], or borrowed for a call that does not return before the kernel is done.
#![expect(unsafe_code, reason = "entries of the submission queue carry raw pointers")]

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use io_uring::{IoUring, cqueue, opcode, squeue, types};

use crate::sys::address::{RAW_ADDRESS_BYTES, RawAddress};
use crate::sys::mmsg::Message;

mod pool;
mod probe;

use pool::Block;
pub use pool::{BufferPool, Lent, PoolPlan};
pub use probe::{Unavailable, probe};
use probe::{because, build, check_operations};

/// Tries to hand queued entries to a kernel that says it is busy.
const SUBMIT_TRIES: u32 = 64;

// An entry's mark: its kind, the pool that it receives into, and the caller's token.
const KIND_SHIFT: u32 = 56;
const POOL_SHIFT: u32 = 48;
const KIND_RECEIVE: u64 = 1;
const KIND_WATCH: u64 = 2;
const KIND_SEND: u64 = 3;
const KIND_CANCEL: u64 = 4;

/// Something that the kernel reports.
#[derive(Debug)]
pub enum Event {
    /// A receive brought a datagram or ended, or both.
    Receive {
        /// Mark given with [`Ring::receive`].
        token: u64,
        /// The datagram.
        lent: Option<Lent>,
        /// Whether the receive has ended and must be asked for anew.
        is_ended: bool,
        /// Whether it ended for want of buffers.
        is_starved: bool,
    },
    /// A watched descriptor is readable.
    Readable {
        /// Mark given with [`Ring::watch`].
        token: u64,
        /// Whether the watch has ended and must be asked for anew.
        is_ended: bool,
    },
    /// A datagram was refused.
    SendFailed,
}

/// One thread's ring. It may be built anywhere; the first [`Ring::enter`] ties it to its thread.
pub struct Ring {
    ring: IoUring,
    /// Pools by their group. The kernel writes into them for as long as a receive is armed.
    blocks: Vec<Arc<Block>>,
    receive_header: Box<libc::msghdr>,
    names: Box<[RawAddress]>,
    vectors: Box<[libc::iovec]>,
    headers: Box<[libc::msghdr]>,
    /// Receives that the kernel still holds.
    armed: usize,
    is_enabled: bool,
    /// Set once entries could not be submitted: they may point at memory that is gone, so the ring
    /// must never be entered again.
    is_broken: bool,
}

// SAFETY: the raw pointers in the headers point into boxes beside them, or are written anew before
// each submission; the ring itself may be used from any one thread.
unsafe impl Send for Ring {}

impl Ring {
    /// A ring with the given pools, which come back in the same order.
    pub fn new(plans: &[PoolPlan], burst: usize) -> Result<(Self, Vec<BufferPool>), Unavailable> {
        let ring = build()?;
        check_operations(&ring)?;
        let mut blocks = Vec::new();
        let mut pools = Vec::new();
        for (group, plan) in (0u16..).zip(plans) {
            let block = Block::new(*plan);
            pools.push(BufferPool::new(Arc::clone(&block)));
            let (address, entries) = (block.address(), block.buffers());
            // SAFETY: the block is page-aligned, begins with `entries` entries, and lives in
            // `blocks` for as long as the ring does.
            unsafe { ring.submitter().register_buf_ring_with_flags(address, entries, group, 0) }
                .map_err(|error| because("provided buffer rings", &error))?;
            blocks.push(block);
        }
        // SAFETY: a message header is made of integers and pointers, for which zero is a value.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        let vector = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        let headers = vec![header; burst].into();
        header.msg_namelen = RAW_ADDRESS_BYTES;
        let ring = Self {
            ring,
            blocks,
            receive_header: Box::new(header),
            names: vec![RawAddress::empty(); burst].into(),
            vectors: vec![vector; burst].into(),
            headers,
            armed: 0,
            is_enabled: false,
            is_broken: false,
        };
        Ok((ring, pools))
    }

    /// Receives datagrams from `socket` into the `pool`th pool until cancelled. Events bear
    /// `token`, which is below 2^48. `false`: the ring is broken.
    pub fn receive(&mut self, socket: BorrowedFd<'_>, pool: u8, token: u64) -> bool {
        assert!(usize::from(pool) < self.blocks.len());
        let header: *const libc::msghdr = &raw const *self.receive_header;
        let fd = types::Fd(socket.as_raw_fd());
        let entry = opcode::RecvMsgMulti::new(fd, header, u16::from(pool)).build().user_data(mark(
            KIND_RECEIVE,
            pool,
            token,
        ));
        let is_pushed = self.push(&entry);
        self.armed += usize::from(is_pushed);
        is_pushed
    }

    /// Ends the receive into `pool` that bears `token`. Events under way still arrive.
    pub fn cancel(&mut self, pool: u8, token: u64) {
        let entry = opcode::AsyncCancel::new(mark(KIND_RECEIVE, pool, token))
            .build()
            .user_data(mark(KIND_CANCEL, 0, 0))
            .flags(squeue::Flags::SKIP_SUCCESS);
        self.push(&entry);
    }

    /// Reports `descriptor` whenever it becomes readable.
    pub fn watch(&mut self, descriptor: BorrowedFd<'_>, token: u64) -> bool {
        let readable = libc::POLLIN.cast_unsigned();
        let fd = types::Fd(descriptor.as_raw_fd());
        let entry = opcode::PollAdd::new(fd, u32::from(readable))
            .multi(true)
            .build()
            .user_data(mark(KIND_WATCH, 0, token));
        self.push(&entry)
    }

    /// Sends all messages without waiting. Those that the kernel refuses show up as
    /// [`Event::SendFailed`]; the result counts those that did not even get to the kernel.
    pub fn send(&mut self, messages: &[Message<'_>]) -> usize {
        let mut lost = 0;
        for part in messages.chunks(self.headers.len()) {
            for (index, message) in part.iter().enumerate() {
                let entry = self.send_entry(index, message);
                lost += usize::from(!self.push(&entry));
            }
            // The entries point at `messages`, so the kernel must take them before we return. It
            // is done with them then too: MSG_DONTWAIT makes it send at once or fail at once.
            self.submit_all();
        }
        lost
    }

    /// Hands over what is queued and runs what the kernel has put off for this thread. Waits for an
    /// event for as long as `wait` says (`None`: no limit), if none is there.
    pub fn enter(&mut self, wait: Option<Duration>) -> io::Result<()> {
        if !self.is_enabled {
            self.ring.submitter().register_enable_rings()?;
            self.is_enabled = true;
        }
        self.submit_all();
        if self.is_broken {
            return Err(io::Error::other("io_uring takes no more entries"));
        }
        let submissions = self.ring.submission();
        let has_work = submissions.taskrun() || submissions.cq_overflow();
        drop(submissions);
        let result = if wait == Some(Duration::ZERO) || self.has_events() {
            // Without work put off there is nothing to ask the kernel for.
            if has_work { self.ring.submitter().submit() } else { Ok(0) }
        } else if let Some(wait) = wait {
            let time = types::Timespec::from(wait);
            let arguments = types::SubmitArgs::new().timespec(&time);
            self.ring.submitter().submit_with_args(1, &arguments)
        } else {
            self.ring.submitter().submit_and_wait(1)
        };
        match result {
            Err(error) if !is_passing(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether [`Ring::event`] would give something.
    pub fn has_events(&mut self) -> bool {
        !self.ring.completion().is_empty()
    }

    /// The next event that is here already.
    pub fn event(&mut self) -> Option<Event> {
        loop {
            let completion = self.ring.completion().next()?;
            if let Some(event) = self.read(&completion) {
                return Some(event);
            }
        }
    }

    fn read(&mut self, completion: &cqueue::Entry) -> Option<Event> {
        let token = completion.user_data() & ((1 << POOL_SHIFT) - 1);
        let is_ended = !cqueue::more(completion.flags());
        match completion.user_data() >> KIND_SHIFT {
            KIND_RECEIVE => {
                self.armed -= usize::from(is_ended);
                let result = completion.result();
                let pool = completion.user_data() >> POOL_SHIFT & 0xff;
                let index = cqueue::buffer_select(completion.flags());
                let lent = index.map(|index| {
                    let written = usize::try_from(result).unwrap_or(0);
                    self.blocks[usize::try_from(pool).unwrap_or(0)].read(index, written)
                });
                let is_starved = result == -libc::ENOBUFS;
                Some(Event::Receive { token, lent, is_ended, is_starved })
            }
            KIND_WATCH => Some(Event::Readable { token, is_ended }),
            KIND_SEND => (completion.result() < 0).then_some(Event::SendFailed),
            _ => None,
        }
    }

    fn send_entry(&mut self, index: usize, message: &Message<'_>) -> squeue::Entry {
        let (name, vector) = (&mut self.names[index], &mut self.vectors[index]);
        let header = &mut self.headers[index];
        header.msg_namelen = name.set(message.to);
        vector.iov_base = message.bytes.as_ptr().cast_mut().cast();
        vector.iov_len = message.bytes.len();
        header.msg_name = std::ptr::from_mut(name).cast();
        header.msg_iov = vector;
        header.msg_iovlen = 1;
        let flags = (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL).cast_unsigned();
        opcode::SendMsg::new(types::Fd(message.socket.as_raw_fd()), header)
            .flags(flags)
            .build()
            .user_data(mark(KIND_SEND, 0, 0))
            .flags(squeue::Flags::SKIP_SUCCESS)
    }

    /// Queues an entry; makes room by submitting where there is none.
    fn push(&mut self, entry: &squeue::Entry) -> bool {
        if self.is_broken {
            return false;
        }
        if self.ring.submission().is_full() {
            self.submit_all();
        }
        // SAFETY: what the entry points at is owned by `self` and stays in place, or is borrowed
        // by `send`, which submits before it returns; a ring that fails to submit is never entered
        // again. Descriptors are open now, and the kernel refuses closed ones.
        unsafe { self.ring.submission().push(entry) }.is_ok()
    }

    /// Hands all queued entries to the kernel.
    fn submit_all(&mut self) {
        if !self.is_enabled && !self.ring.submission().is_empty() {
            self.is_broken = self.ring.submitter().register_enable_rings().is_err();
            self.is_enabled = true;
        }
        for _ in 0..SUBMIT_TRIES {
            if self.is_broken || self.ring.submission().is_empty() {
                return;
            }
            match self.ring.submitter().submit() {
                Err(error) if !is_passing(&error) => break,
                _ => {}
            }
        }
        self.is_broken = true;
    }

    /// Takes back what the kernel still holds, so that the pools may be freed.
    fn disarm(&mut self) -> bool {
        if !self.is_enabled {
            // Nothing was ever submitted.
            return true;
        }
        let entry = opcode::AsyncCancel2::new(types::CancelBuilder::any().all())
            .build()
            .user_data(mark(KIND_CANCEL, 0, 0));
        self.push(&entry);
        for _ in 0..SUBMIT_TRIES {
            if self.enter(Some(Duration::from_millis(5))).is_err() {
                return false;
            }
            while self.event().is_some() {}
            if self.armed == 0 {
                return true;
            }
        }
        false
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if !self.disarm() {
            // The kernel may still write into the pools: better to lose the memory than to share
            // it. This happens only to a ring that broke, or is dropped on a foreign thread.
            for block in self.blocks.drain(..) {
                std::mem::forget(block);
            }
        }
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (armed, is_broken) = (self.armed, self.is_broken);
        f.debug_struct("Ring").field("armed", &armed).field("is_broken", &is_broken).finish()
    }
}

/// Errors of an enter that pass by themselves: an interruption, the end of a wait, a kernel short
/// of memory or with completions to be read first.
fn is_passing(error: &io::Error) -> bool {
    let passing = [libc::EINTR, libc::ETIME, libc::EAGAIN, libc::EBUSY];
    error.raw_os_error().is_some_and(|code| passing.contains(&code))
}

fn mark(kind: u64, pool: u8, token: u64) -> u64 {
    assert!(token >> POOL_SHIFT == 0, "a token of more than 48 bits");
    kind << KIND_SHIFT | u64::from(pool) << POOL_SHIFT | token
}

#[cfg(test)]
mod tests;
