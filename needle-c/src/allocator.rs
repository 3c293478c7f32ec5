//! Where the library's memory comes from: the host's block, and else the system or the host's allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::c_void;
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

/// Takes all memory of the library from the host from now on, but for what has room in the block of ndl_use_memory. Call
/// it once, before any other function of the library but that, ndl_abi_version and ndl_version; it is for the whole process.
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
            // A call that is refused must not use the system's memory, or the next one would be too late.
            let given = allocator.as_ref().ok_or_else(|| Failure::argument("the allocator is NULL"))?;
            if given.struct_size != size_of::<ndl_allocator>() {
                return Err(Failure::argument("struct_size is not sizeof(ndl_allocator) of this version"));
            }
            let ndl_allocator { user, allocate: Some(allocate), release: Some(release), .. } = *given else {
                return Err(Failure::argument("a function of the allocator is NULL; give both"));
            };
            let too_late =
                || Failure::argument("too late: set the allocator once, before anything else is called");
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

fn chosen() -> &'static dyn GlobalAlloc {
    match BLOCK.get() {
        Some(block) => block,
        None => elsewhere(),
    }
}

/// Where memory comes from that is not in the block.
pub(crate) fn elsewhere() -> &'static dyn GlobalAlloc {
    if let Some(host) = HOST.get() {
        host
    } else {
        USED.store(true, Ordering::Relaxed);
        &System
    }
}

// SAFETY: a piece goes back to where it came from: the block knows its own, and of the host and the system only one ever
// gives any, as the host is set before the system has.
unsafe impl GlobalAlloc for Chosen {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises.
        unsafe { chosen().alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { chosen().dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        unsafe { chosen().realloc(memory, layout, size) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { chosen().alloc_zeroed(layout) }
    }
}

// SAFETY: the header demands of the host's functions what this trait does.
unsafe impl GlobalAlloc for Host {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the layout's size is not 0, as the caller promises.
        unsafe { (self.allocate)(self.user, layout.size(), layout.align()).cast() }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the memory was given for this layout, as the caller promises.
        unsafe { (self.release)(self.user, memory.cast(), layout.size(), layout.align()) }
    }
}
