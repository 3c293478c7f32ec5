//! Text in both directions: a pointer and a length in bytes, UTF-8.

use std::ffi::c_char;

use crate::error::{Failure, ndl_status};

/// Bytes of the caller. NULL is fine for none.
///
/// # Safety
/// `data` points to `size` bytes that are not written while they are used, or `size` is 0.
pub(crate) unsafe fn bytes<'a>(data: *const u8, size: usize, what: &str) -> Result<&'a [u8], Failure> {
    if size == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(Failure::null(what));
    }
    if size > isize::MAX.cast_unsigned() {
        return Err(Failure::new(
            ndl_status::NDL_ERROR_INVALID_ARGUMENT,
            format!("the size of {what} is {size}"),
        ));
    }
    // SAFETY: not NULL, of a possible size, and the caller vouches for the rest.
    Ok(unsafe { std::slice::from_raw_parts(data, size) })
}

/// Text of the caller.
///
/// # Safety
/// As `bytes`.
pub(crate) unsafe fn text<'a>(data: *const c_char, size: usize, what: &str) -> Result<&'a str, Failure> {
    // SAFETY: the caller vouches for the pointer.
    let bytes = unsafe { bytes(data.cast(), size, what) }?;
    std::str::from_utf8(bytes)
        .map_err(|error| Failure::new(ndl_status::NDL_ERROR_UTF8, format!("{what} is not UTF-8: {error}")))
}

/// Text to lend: with a NUL behind it, for those who forget the size.
pub(crate) struct Text(String);

impl Text {
    pub(crate) fn new(mut text: String) -> Self {
        text.push('\0');
        Self(text)
    }
}

/// Lends text to the caller; NULL and 0 if there is none.
///
/// # Safety
/// `size` is NULL or may be written.
pub(crate) unsafe fn lend(text: Option<&Text>, size: *mut usize) -> *const c_char {
    // SAFETY: the caller vouches for the pointer.
    if let Some(size) = unsafe { size.as_mut() } {
        *size = text.map_or(0, |text| text.0.len() - 1);
    }
    text.map_or(std::ptr::null(), |text| text.0.as_ptr().cast())
}
