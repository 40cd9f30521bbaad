//! The counting allocator: the system allocator with counters.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicI64, Ordering::Relaxed},
};

use super::{Event, count, is_counted_here, mark_counting_binary};

/// The system allocator with counters for allocations (a reallocation is one), their bytes, and the peak of the bytes
/// held since the window opened, in excess of those held at that moment.
pub struct CountingAllocator;

static HELD: AtomicI64 = AtomicI64::new(0);
static PEAK: AtomicI64 = AtomicI64::new(0);

pub(super) fn start_peak() {
    HELD.store(0, Relaxed);
    PEAK.store(0, Relaxed);
}

pub(super) fn peak_bytes() -> u64 {
    PEAK.load(Relaxed).max(0) as u64
}

fn note(allocated: Option<usize>, change: i64) {
    mark_counting_binary();
    if !is_counted_here() {
        return;
    }
    if let Some(bytes) = allocated {
        count(Event::Allocation, 1);
        count(Event::AllocatedBytes, bytes as u64);
    }
    change_held(change);
}

/// Counts `bytes` as held until the guard is dropped: memory that does not come from the allocator, such as the part of a
/// thread's stack that is in use.
pub fn hold(bytes: u64) -> Held {
    let is_counted = is_counted_here();
    if is_counted {
        change_held(bytes as i64);
    }
    Held { bytes: if is_counted { bytes } else { 0 } }
}

/// Memory that counts as held; see [`hold`].
#[must_use = "it is held until this is dropped"]
#[derive(Debug)]
pub struct Held {
    bytes: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.bytes > 0 && is_counted_here() {
            change_held(-(self.bytes as i64));
        }
    }
}

fn change_held(change: i64) {
    let held = HELD.fetch_add(change, Relaxed) + change;
    PEAK.fetch_max(held, Relaxed);
}

// SAFETY: every call is forwarded to `System` unchanged; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(Some(layout.size()), layout.size() as i64);
        // SAFETY: the caller upholds `GlobalAlloc::alloc`'s contract, which is `System`'s.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(Some(layout.size()), layout.size() as i64);
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        note(None, -(layout.size() as i64));
        // SAFETY: as in `alloc`; `block` came from `System` with this layout.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        note(Some(new_size), new_size as i64 - layout.size() as i64);
        // SAFETY: as in `alloc`; `block` came from `System` with this layout.
        unsafe { System.realloc(block, layout, new_size) }
    }
}
