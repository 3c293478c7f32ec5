//! The C interface; `include/needle_rs.h` is generated from it.
//!
//! Every function checks its pointers, catches panics and reports through a status and an optional error struct. There
//! is no global state but where memory comes from; handles are freed by their own function, which takes NULL.
#![allow(
    unsafe_code,
    reason = "C hands over raw pointers; every block says what the header demands of the caller"
)]
#![allow(non_camel_case_types, reason = "types have their C names")]
#![allow(clippy::doc_markdown, reason = "the documentation is the header's")]

pub mod allocator;
pub mod catalogue;
pub mod decision;
pub mod error;
mod guard;
pub mod memory;
pub mod model;
pub mod options;
pub mod session;
mod text;

/// The version of this interface: programs compiled for one version work with libraries of that version.
pub const NDL_ABI_VERSION: u32 = 1;

/// The version of the interface that the library has; compare it with NDL_ABI_VERSION of the header.
///
/// Thread safety: any thread, any time.
#[unsafe(no_mangle)]
pub extern "C" fn ndl_abi_version() -> u32 {
    NDL_ABI_VERSION
}

/// The version of the library, such as "0.1.0"; lives as long as the program.
///
/// Thread safety: any thread, any time.
#[unsafe(no_mangle)]
pub extern "C" fn ndl_version() -> *const std::ffi::c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
