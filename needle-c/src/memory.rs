//! A block of the host's memory that the library works in, so that a warm call asks nobody for more.
//!
//! The block is cut up by TLSF (Masmano et al., 2004): giving and taking a piece costs the same few steps each time.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rlsf::{GRANULARITY, Tlsf};

use crate::allocator::elsewhere;
use crate::error::{Failure, ndl_error, ndl_status};
use crate::guard::guarded;

/// What was taken from the block of ndl_use_memory, in bytes, what they cost in bookkeeping included.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ndl_memory {
    /// sizeof(ndl_memory)
    pub struct_size: usize,
    /// Now.
    pub used: usize,
    /// At most so far.
    pub most_used: usize,
    /// How many pieces had no room in the block so far and came from the host's allocator, or the system.
    pub elsewhere: u64,
}

/// Makes the library work in this block: while it has room, neither the system nor the host's allocator is asked for
/// memory. What has no room comes from there, so a block that is too small costs nothing but that; ndl_memory_used
/// tells. Call it once, before the first model is opened.
///
/// Errors: NDL_ERROR_INVALID_ARGUMENT if memory is NULL, if no block has this size, if it is too small for anything, or if
/// there is a block already.
/// Thread safety: while no other thread calls it.
///
/// # Safety
/// `memory` points to `size` bytes that nobody else uses for as long as the library is loaded; `error` is NULL or may be
/// written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ndl_use_memory(
    memory: *mut c_void,
    size: usize,
    error: *mut ndl_error,
) -> ndl_status {
    // SAFETY: the header demands as much of both pointers.
    unsafe {
        guarded(error, || {
            let start = NonNull::new(memory).ok_or_else(|| Failure::argument("memory is NULL"))?;
            if size > isize::MAX.cast_unsigned() {
                return Err(Failure::argument("no block has this size"));
            }
            let twice = || Failure::argument("there is a block already");
            if BLOCK.get().is_some() {
                return Err(twice());
            }
            let mut pieces = Tlsf::new();
            let block = NonNull::slice_from_raw_parts(start.cast(), size);
            pieces.insert_free_block_ptr(block).ok_or_else(|| Failure::argument("the block is too small"))?;
            let inside = UnsafeCell::new(Inside { pieces, used: 0, most_used: 0, elsewhere: 0 });
            let bytes = start.addr().get()..start.addr().get() + size;
            BLOCK.set(Block { bytes, locked: AtomicBool::new(false), inside }).map_err(|_| twice())
        })
    }
}

/// How much of the block is in use: the number by which to choose its size. All zeros while there is none.
///
/// Errors: NDL_ERROR_INVALID_ARGUMENT if out is NULL or its size is unknown.
/// Thread safety: any thread, any time.
///
/// # Safety
/// `out` is NULL or points to a struct with its size set; `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ndl_memory_used(out: *mut ndl_memory, error: *mut ndl_error) -> ndl_status {
    // SAFETY: the header demands as much of both pointers.
    unsafe {
        guarded(error, || {
            let out = out.as_mut().ok_or_else(|| Failure::argument("out is NULL"))?;
            let struct_size = size_of::<ndl_memory>();
            if out.struct_size != struct_size {
                return Err(Failure::argument("struct_size is not sizeof(ndl_memory) of this version"));
            }
            let empty = ndl_memory { struct_size, used: 0, most_used: 0, elsewhere: 0 };
            *out = BLOCK.get().map_or(empty, |block| {
                block.locked(|&mut Inside { used, most_used, elsewhere, .. }| ndl_memory {
                    struct_size,
                    used,
                    most_used,
                    elsewhere,
                })
            });
            Ok(())
        })
    }
}

pub(crate) static BLOCK: OnceLock<Block> = OnceLock::new();

/// The host's block.
pub(crate) struct Block {
    /// Its addresses.
    bytes: Range<usize>,
    locked: AtomicBool,
    inside: UnsafeCell<Inside>,
}

struct Inside {
    /// Pieces of up to 4 GiB, each at most a sixteenth larger than asked for.
    pieces: Tlsf<'static, u32, u16, 27, 16>,
    used: usize,
    most_used: usize,
    elsewhere: u64,
}

// SAFETY: `inside` is reached through `locked` alone, one thread at a time.
unsafe impl Sync for Block {}

impl Block {
    /// Runs `work` while no other thread does. A mutex of the standard library may allocate, which would come back here.
    fn locked<T>(&self, work: impl FnOnce(&mut Inside) -> T) -> T {
        while self.locked.compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            std::hint::spin_loop();
        }
        // SAFETY: the lock is held, and `work` neither panics nor comes back here.
        let result = work(unsafe { &mut *self.inside.get() });
        self.locked.store(false, Ordering::Release);
        result
    }
}

// SAFETY: a piece is the block's by its address, and goes back to where it came from.
unsafe impl GlobalAlloc for Block {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let piece = self.locked(|all| {
            let piece = all.pieces.allocate(layout);
            if piece.is_some() {
                all.used += cost(layout);
                all.most_used = all.most_used.max(all.used);
            } else {
                all.elsewhere += 1;
            }
            piece
        });
        // SAFETY: the caller's promises.
        piece.map_or_else(|| unsafe { elsewhere().alloc(layout) }, NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        let own = NonNull::new(memory).filter(|piece| self.bytes.contains(&piece.addr().get()));
        let Some(piece) = own else {
            // SAFETY: the caller's promises; the memory is not the block's.
            return unsafe { elsewhere().dealloc(memory, layout) };
        };
        self.locked(|all| {
            all.used -= cost(layout);
            // SAFETY: the piece is in use and has this layout, as the caller promises.
            unsafe { all.pieces.deallocate(piece, layout.align()) };
        });
    }
}

/// What a piece takes of the block: itself, its size and a pointer to its neighbour, in whole steps.
fn cost(layout: Layout) -> usize {
    (layout.size() + 2 * size_of::<usize>()).next_multiple_of(GRANULARITY)
}
