//! Where the library's memory comes from: the host's block, and else the system or the host's allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::c_void;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Failure, ndl_error, ndl_status};
use crate::guard::guarded;
use crate::memory::BLOCK;

/// The host's allocator. Both functions may be called by any thread that calls the library, and by a session's own.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ndl_allocator {
    /// sizeof(ndl_allocator)
    pub struct_size: usize,
    /// Passed to both functions.
    pub user: *mut c_void,
    /// Gives size bytes, never 0, at a multiple of alignment, a power of two. NULL ends the process, as it does when the
    /// system has no memory left: the library cannot go on without.
    pub allocate:
        Option<unsafe extern "C" fn(user: *mut c_void, size: usize, alignment: usize) -> *mut c_void>,
    /// Takes back what allocate gave for this size and alignment.
    pub release:
        Option<unsafe extern "C" fn(user: *mut c_void, memory: *mut c_void, size: usize, alignment: usize)>,
}

/// The host's functions, both present.
struct Host {
    user: *mut c_void,
    allocate: unsafe extern "C" fn(*mut c_void, usize, usize) -> *mut c_void,
    release: unsafe extern "C" fn(*mut c_void, *mut c_void, usize, usize),
}

// SAFETY: the header demands functions, and so a `user`, that any thread may use.
unsafe impl Send for Host {}
// SAFETY: as above.
unsafe impl Sync for Host {}

static HOST: OnceLock<Host> = OnceLock::new();

/// Whether the system has given memory already, which the host could not take back.
static USED: AtomicBool = AtomicBool::new(false);

/// Takes all memory of the library from the host from now on. Call it once, before any other function of the library but
/// ndl_abi_version and ndl_version; it is the only setting of the whole process.
///
/// Errors: NDL_ERROR_INVALID_ARGUMENT if the allocator or one of its functions is NULL, if its size is unknown, or if it is
/// too late.
/// Thread safety: while no other thread uses the library.
///
/// # Safety
/// `allocator` is NULL or points to a struct whose functions do what it says, for as long as the library is loaded; `error`
/// is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ndl_set_allocator(
    allocator: *const ndl_allocator,
    error: *mut ndl_error,
) -> ndl_status {
    // SAFETY: the header demands as much of both pointers.
    unsafe {
        guarded(error, || {
            // Static texts: a call that is refused must not use the system's memory, or the next one would be too late.
            let refuse =
                |problem: &'static str| Failure::new(ndl_status::NDL_ERROR_INVALID_ARGUMENT, problem);
            let given = allocator.as_ref().ok_or_else(|| refuse("the allocator is NULL"))?;
            if given.struct_size != size_of::<ndl_allocator>() {
                return Err(refuse("struct_size is not sizeof(ndl_allocator) of this version"));
            }
            let ndl_allocator { user, allocate: Some(allocate), release: Some(release), .. } = *given else {
                return Err(refuse("a function of the allocator is NULL; give both"));
            };
            let too_late = || refuse("too late: set the allocator once, before anything else is called");
            if USED.load(Ordering::Relaxed) {
                return Err(too_late());
            }
            HOST.set(Host { user, allocate, release }).map_err(|_| too_late())
        })
    }
}

/// What the library allocates with.
struct Chosen;

#[global_allocator]
static ALLOCATOR: Chosen = Chosen;

/// Memory that is not of the host's block.
struct Elsewhere;

// SAFETY: a piece goes back to where it came from, which its address tells.
unsafe impl GlobalAlloc for Chosen {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let piece = BLOCK.get().map_or(ptr::null_mut(), |block| block.allocate(layout));
        // SAFETY: the caller's promises.
        if piece.is_null() { unsafe { Elsewhere.alloc(layout) } } else { piece }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises.
        unsafe {
            match BLOCK.get() {
                Some(block) if block.holds(memory) => block.release(memory, layout),
                _ => Elsewhere.dealloc(memory, layout),
            }
        }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promises.
        unsafe {
            if BLOCK.get().is_some() {
                moved(self, memory, layout, size)
            } else {
                Elsewhere.realloc(memory, layout, size)
            }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises.
        unsafe { if BLOCK.get().is_some() { zeroed(self, layout) } else { Elsewhere.alloc_zeroed(layout) } }
    }
}

// SAFETY: all memory is the host's, or all is the system's: the host is set before there is any.
unsafe impl GlobalAlloc for Elsewhere {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that the host's function and the system's ask for.
        unsafe {
            if let Some(host) = HOST.get() {
                return (host.allocate)(host.user, layout.size(), layout.align()).cast();
            }
            USED.store(true, Ordering::Relaxed);
            System.alloc(layout)
        }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above; the memory came from the same of the two.
        unsafe {
            match HOST.get() {
                Some(host) => (host.release)(host.user, memory.cast(), layout.size(), layout.align()),
                None => System.dealloc(memory, layout),
            }
        }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        unsafe {
            if HOST.get().is_some() {
                moved(self, memory, layout, size)
            } else {
                System.realloc(memory, layout, size)
            }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe {
            if HOST.get().is_some() {
                return zeroed(self, layout);
            }
            USED.store(true, Ordering::Relaxed);
            System.alloc_zeroed(layout)
        }
    }
}

/// A piece of another size with the same beginning.
///
/// # Safety
/// As [`GlobalAlloc::realloc`].
unsafe fn moved(by: &impl GlobalAlloc, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
    // SAFETY: the caller promises that the new layout is one, and that the memory has the old one.
    unsafe {
        let new = by.alloc(Layout::from_size_align_unchecked(size, layout.align()));
        if !new.is_null() {
            memory.copy_to_nonoverlapping(new, layout.size().min(size));
            by.dealloc(memory, layout);
        }
        new
    }
}

/// A piece of zeros.
///
/// # Safety
/// As [`GlobalAlloc::alloc`].
unsafe fn zeroed(by: &impl GlobalAlloc, layout: Layout) -> *mut u8 {
    // SAFETY: the caller's promise; new memory is written before it is handed on.
    unsafe {
        let memory = by.alloc(layout);
        if !memory.is_null() {
            memory.write_bytes(0, layout.size());
        }
        memory
    }
}
