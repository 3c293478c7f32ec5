//! The border: nothing unwinds into C.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Failure, ndl_error, ndl_status};

/// Works, and reports how it ended; `error` may be NULL.
///
/// # Safety
/// `error` is NULL or points to a struct that the caller may write, whose `struct_size` says how large it is.
pub(crate) unsafe fn guarded(
    error: *mut ndl_error,
    work: impl FnOnce() -> Result<(), Failure>,
) -> ndl_status {
    // What a panic leaves half done is never seen: results are handed over last, and a session starts anew each time.
    let result = catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(Failure::new(ndl_status::NDL_ERROR_INTERNAL, message(panic.as_ref()))));
    // SAFETY: the caller vouches for the pointer; a smaller struct, of a header this library does not know, is left alone.
    if let Some(error) = unsafe { error.as_mut() }
        && error.struct_size >= size_of::<ndl_error>()
    {
        error.set(result.as_ref().err());
    }
    result.map_or_else(|failure| failure.status, |()| ndl_status::NDL_OK)
}

/// Hands a new handle to the caller, who frees it.
///
/// # Safety
/// `out` points to a pointer that the caller may write.
pub(crate) unsafe fn hand_over<T>(out: *mut *mut T, value: T) {
    // SAFETY: the caller vouches for the pointer.
    unsafe { out.write(Box::into_raw(Box::new(value))) }
}

/// Checks a pointer to a result before any work, and clears it.
///
/// # Safety
/// `out` is NULL or points to a pointer that the caller may write.
pub(crate) unsafe fn clear<T>(out: *mut *mut T) -> Result<(), Failure> {
    // SAFETY: the caller vouches for the pointer.
    let out = unsafe { out.as_mut() }.ok_or_else(|| Failure::null("the pointer to the result"))?;
    *out = std::ptr::null_mut();
    Ok(())
}

/// Frees a handle; NULL is fine.
///
/// # Safety
/// `handle` is NULL or was handed over by this library and not freed yet.
pub(crate) unsafe fn free<T>(handle: *mut T) {
    if !handle.is_null() {
        // SAFETY: it came from `Box::into_raw`, and the caller frees it once.
        let owned = unsafe { Box::from_raw(handle) };
        // A panic while dropping must not reach C either; there is nobody to tell.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(owned)));
    }
}

/// A handle that is not NULL.
///
/// # Safety
/// `handle` is NULL or a live handle of this library.
pub(crate) unsafe fn alive<'a, T>(handle: *const T, what: &str) -> Result<&'a T, Failure> {
    // SAFETY: the caller vouches for the handle.
    unsafe { handle.as_ref() }.ok_or_else(|| Failure::null(what))
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("panic").to_owned()
}
