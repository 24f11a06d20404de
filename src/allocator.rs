//! Memory for the whole program: mimalloc, asked in the way that costs least.

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::c_void;

use libmimalloc_sys::{
    mi_free, mi_malloc, mi_malloc_aligned, mi_realloc, mi_realloc_aligned, mi_zalloc, mi_zalloc_aligned,
};

/// What mimalloc aligns blocks to without being told, if they are at least as large (`MI_MAX_ALIGN_SIZE`); smaller ones have
/// the alignment of a word.
const NATURAL: usize = 16;
const WORD: usize = size_of::<usize>();

/// mimalloc as the program's allocator.
///
/// The crate `mimalloc` has one, too, which says for each block how it is to be aligned. mimalloc then gives blocks of more than 1 KiB
/// that are no power of two from larger ones, and looks for where each begins when it is freed. That alignment is nearly always one
/// which it has anyhow: here it is told of others only.
pub struct Allocator;

impl Allocator {
    /// Whether a block of this size is aligned so without being asked for.
    const fn is_natural(align: usize, size: usize) -> bool {
        align <= WORD || (align <= NATURAL && size >= NATURAL)
    }
}

#[allow(unsafe_code, reason = "an allocator is unsafe by its trait; this is the one that the program has")]
// SAFETY: mimalloc is an allocator; a block that it gives is as large and as aligned as was asked for, whichever function
// was asked, or null, and it may be freed and grown by any of them, from any thread.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: any size may be asked for, and an alignment is a power of two.
        let block =
            unsafe { if Self::is_natural(align, size) { mi_malloc(size) } else { mi_malloc_aligned(size, align) } };
        block.cast()
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: as above.
        let block =
            unsafe { if Self::is_natural(align, size) { mi_zalloc(size) } else { mi_zalloc_aligned(size, align) } };
        block.cast()
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the caller says that the block is one of ours.
        unsafe { mi_free(block.cast::<c_void>()) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let (block, align) = (block.cast::<c_void>(), layout.align());
        // SAFETY: the caller says that the block is one of ours.
        let block = unsafe {
            if Self::is_natural(align, size) { mi_realloc(block, size) } else { mi_realloc_aligned(block, size, align) }
        };
        block.cast()
    }
}

#[cfg(test)]
#[allow(unsafe_code, reason = "so are the calls that test it")]
mod tests {
    use super::*;

    const SIZES: [usize; 16] =
        [1, 2, 7, 8, 9, 15, 16, 17, 24, 100, 1_023, 1_025, 5_000, 70_000, 1 << 20, (20 << 20) + 1];

    /// Blocks of all sizes and alignments are where they should be, hold what is written, and keep it when they grow or shrink.
    #[test]
    fn blocks_are_aligned_and_keep_what_they_hold() {
        for align in (0..=12).map(|bits| 1 << bits) {
            let mut blocks: Vec<_> = SIZES.iter().flat_map(|size| [(*size, false), (*size, true)]).collect();
            // Many of a size, so that they come from all places of a page.
            blocks.extend([(48, false); 200]);
            let kept: Vec<_> = blocks.iter().map(|(size, zeroed)| check(*size, align, *zeroed)).collect();
            for (block, layout) in kept {
                // SAFETY: it was given for this layout.
                unsafe { Allocator.dealloc(block, layout) };
            }
        }
    }

    fn check(size: usize, align: usize, zeroed: bool) -> (*mut u8, Layout) {
        let layout = Layout::from_size_align(size, align).expect("a power of two");
        let grown = Layout::from_size_align(size * 2 + 1, align).expect("a power of two");
        // SAFETY: no size is zero, and blocks are used within their bounds.
        unsafe {
            let block = if zeroed { Allocator.alloc_zeroed(layout) } else { Allocator.alloc(layout) };
            assert!(!block.is_null() && block.addr().is_multiple_of(align), "{size} bytes, aligned to {align}");
            assert!(!zeroed || std::slice::from_raw_parts(block, size) == vec![0; size]);
            block.write_bytes(0xa5, size);
            let block = Allocator.realloc(block, layout, grown.size());
            assert!(!block.is_null() && block.addr().is_multiple_of(align), "{size} bytes grown, aligned to {align}");
            let block = Allocator.realloc(block, grown, size);
            assert!(block.addr().is_multiple_of(align), "{size} bytes shrunk, aligned to {align}");
            assert!(std::slice::from_raw_parts(block, size) == vec![0xa5; size]);
            (block, layout)
        }
    }
}
