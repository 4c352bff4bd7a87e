//! The memory allocator of plugins.
//!
//! Each call of a plugin gets a fresh instance, so memory need never be freed: a bump allocator is the fastest one
//! possible. The first 512 KiB are static, so most calls never grow the memory, which would be their slowest operation.
//! Larger calls grow it up to the server's limit.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::{Cell, UnsafeCell};

const STATIC_BYTES: usize = 512 * 1024;
const PAGE_BYTES: usize = 64 * 1024;

/// A bump allocator for a WebAssembly instance that makes one call.
pub struct Arena {
    memory: UnsafeCell<[u8; STATIC_BYTES]>,
    /// First free address, and end of the current area; both 0 before the first allocation.
    next: Cell<usize>,
    end: Cell<usize>,
}

// SAFETY: a component instance has one thread.
unsafe impl Sync for Arena {}

impl Arena {
    /// An arena that has allocated nothing yet.
    pub const fn new() -> Self {
        Self {
            memory: UnsafeCell::new([0; STATIC_BYTES]),
            next: Cell::new(0),
            end: Cell::new(0),
        }
    }

    fn allocate(&self, layout: Layout) -> Option<usize> {
        if self.end.get() == 0 {
            self.next.set(self.memory.get() as usize);
            self.end.set(self.memory.get() as usize + STATIC_BYTES);
        }
        let start = self.next.get().checked_next_multiple_of(layout.align())?;
        let end = start.checked_add(layout.size())?;
        if end <= self.end.get() {
            self.next.set(end);
            return Some(start);
        }
        // The rest of the current area is lost, unless the new area follows it directly.
        let pages = (layout.size() + layout.align()).div_ceil(PAGE_BYTES).max(8);
        let grown = grow(pages)?;
        if grown != self.end.get() {
            self.next.set(grown);
        }
        self.end.set(grown + pages * PAGE_BYTES);
        self.allocate(layout)
    }
}

impl Default for Arena {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(target_arch = "wasm32")]
fn grow(pages: usize) -> Option<usize> {
    match core::arch::wasm32::memory_grow(0, pages) {
        usize::MAX => None,
        previous => Some(previous * PAGE_BYTES),
    }
}

/// On the host, where only tests run, the static part is all the memory.
#[cfg(not(target_arch = "wasm32"))]
fn grow(_pages: usize) -> Option<usize> {
    None
}

// SAFETY: allocations do not overlap, are aligned, and are in memory that lives as long as the instance.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.allocate(layout)
            .map_or(std::ptr::null_mut(), |address| address as *mut u8)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // The newest allocation can be freed, so that a temporary string costs nothing.
        if pointer as usize + layout.size() == self.next.get() {
            self.next.set(pointer as usize);
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // The newest allocation grows in place.
        let end = (pointer as usize).checked_add(new_size);
        if pointer as usize + layout.size() == self.next.get()
            && let Some(end) = end
            && end <= self.end.get()
        {
            self.next.set(end);
            return pointer;
        }
        // SAFETY: the caller guarantees a valid layout, as for any allocator.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(new_size, layout.align()));
            if !new.is_null() {
                std::ptr::copy_nonoverlapping(pointer, new, layout.size().min(new_size));
            }
            new
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocations_are_aligned_and_apart_and_the_newest_grows_in_place() {
        let arena = Box::new(Arena::new());
        let layout = |size, align| Layout::from_size_align(size, align).unwrap();
        unsafe {
            let one = arena.alloc(layout(3, 1));
            let two = arena.alloc(layout(8, 8));
            assert!((two as usize).is_multiple_of(8) && two as usize >= one as usize + 3);
            assert_eq!(arena.realloc(two, layout(8, 8), 100), two);
            let moved = arena.realloc(one, layout(3, 1), 10);
            assert!(moved as usize >= two as usize + 100);
            assert!(arena.alloc(layout(STATIC_BYTES, 1)).is_null());
        }
    }
}
