//! Where the library's memory comes from: the system, or the host.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::c_void;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Failure, ndl_error, ndl_status};
use crate::guard::guarded;

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

// SAFETY: all memory is the host's, or all is the system's: the host is set before there is any.
unsafe impl GlobalAlloc for Chosen {
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
        // SAFETY: as above; the caller promises that the new layout is one.
        unsafe {
            if HOST.get().is_none() {
                return System.realloc(memory, layout, size);
            }
            let larger = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !larger.is_null() {
                memory.copy_to_nonoverlapping(larger, layout.size().min(size));
                self.dealloc(memory, layout);
            }
            larger
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above; new memory of the host is written before it is handed on.
        unsafe {
            if HOST.get().is_some() {
                let memory = self.alloc(layout);
                if !memory.is_null() {
                    memory.write_bytes(0, layout.size());
                }
                return memory;
            }
            USED.store(true, Ordering::Relaxed);
            System.alloc_zeroed(layout)
        }
    }
}
