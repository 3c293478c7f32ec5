//! Another static library in Rust, of the same compiler: with a standard library of its own, and with a function whose
//! name a dependency of needle has too.

use std::ffi::c_char;
use std::panic::{catch_unwind, resume_unwind};
use std::ptr::null;

/// NULL if unwinding does not work.
#[unsafe(no_mangle)]
pub extern "C" fn llg_get_version() -> *const c_char {
    let caught: Result<(), _> = catch_unwind(|| resume_unwind(Box::new(())));
    if caught.is_err() { c"neighbour".as_ptr() } else { null() }
}
