//! A global allocator that counts, so that a test can prove that a thread does not allocate.
//!
//! Install it in a test or bench binary:
//! ```
//! use carrick::sys::alloc::{CountingAllocator, counted};
//! #[global_allocator]
//! static ALLOCATOR: CountingAllocator = CountingAllocator;
//! let (sum, allocations) = counted(|| 1 + 1);
//! assert_eq!((sum, allocations), (2, 0));
//! ```
#![expect(unsafe_code, reason = "GlobalAlloc is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    // Const and without a destructor, so that touching it never allocates.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static RELEASES: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, with a count of allocations and releases per thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct CountingAllocator;

// SAFETY: every call is passed on unchanged to the system's allocator, which keeps the contract;
// the counter is a thread-local integer and allocates nothing.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps `alloc_zeroed`'s contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps `realloc`'s contract.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // During thread teardown the counter may be gone; those releases are nobody's.
        let _ = RELEASES.try_with(|n| n.set(n.get() + 1));
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { System.dealloc(block, layout) }
    }
}

/// Allocations (growths included) that the calling thread has made so far. Always zero where
/// [`CountingAllocator`] is not the global allocator.
pub fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

/// Blocks that the calling thread has freed so far (growths not included). Always zero where
/// [`CountingAllocator`] is not the global allocator.
pub fn releases() -> u64 {
    RELEASES.with(Cell::get)
}

/// Runs `work` and says how often it allocated on this thread.
///
/// # Panics
/// If the counting allocator is not installed: a proof that cannot fail would be worthless.
pub fn counted<R>(work: impl FnOnce() -> R) -> (R, u64) {
    let before = allocations();
    drop(std::hint::black_box(Box::new(0u8)));
    assert_eq!(allocations(), before + 1, "CountingAllocator is not the global allocator");
    let start = allocations();
    let result = work();
    (result, allocations() - start)
}

/// A point after which the calling thread should not allocate. Dropping it says nothing; ask it.
#[derive(Debug)]
pub struct Freeze {
    start: u64,
}

impl Freeze {
    /// Starts to watch the calling thread.
    pub fn begin() -> Self {
        Self { start: allocations() }
    }

    /// Allocations on this thread since then.
    pub fn allocations(&self) -> u64 {
        allocations() - self.start
    }
}

fn count() {
    // During thread teardown the counter may be gone; those allocations are nobody's.
    let _ = ALLOCATIONS.try_with(|n| n.set(n.get() + 1));
}
