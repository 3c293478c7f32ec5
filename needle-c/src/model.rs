//! Models: read once, shared by everything compiled for them.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use needle_core::Model;
use needle_core::checkpoint::Checkpoint;

use crate::error::{Failure, ndl_error, ndl_status};
use crate::guard::{clear, free, guarded, hand_over};
use crate::text::{bytes, text};

/// A network with its tokenizer and calibration; immutable.
pub struct ndl_model(pub(crate) Arc<Model>);

/// Reads a model through the host's own file system, such as an asset of a package.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ndl_reader {
    /// sizeof(ndl_reader)
    pub struct_size: usize,
    /// Bytes of the bundle.
    pub total_size: u64,
    /// Reads `size` bytes at `offset` into `buffer`; returns 0 if it read all of them. It must not throw or longjmp.
    pub read:
        Option<unsafe extern "C" fn(user: *mut c_void, offset: u64, buffer: *mut u8, size: usize) -> i32>,
    /// Handed to `read`.
    pub user: *mut c_void,
}

/// Opens a model: a bundle directory or a bundle in one file. `path` is UTF-8.
///
/// Errors: NDL_ERROR_IO, NDL_ERROR_CHECKPOINT, NDL_ERROR_CONFIG, NDL_ERROR_TOKENIZER, NDL_ERROR_UTF8,
/// NDL_ERROR_INVALID_ARGUMENT.
/// Thread safety: any thread. Free the model with ndl_model_free.
///
/// # Safety
/// `path` points to `path_size` bytes; `model` may be written; `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ndl_model_open(
    path: *const c_char,
    path_size: usize,
    model: *mut *mut ndl_model,
    error: *mut ndl_error,
) -> ndl_status {
    // SAFETY: the header demands readable text.
    let load = || Ok(Model::open(unsafe { text(path, path_size, "the path") }?)?);
    // SAFETY: the header demands that model and error may be written.
    unsafe { create(model, error, load) }
}

/// Opens a bundle in one file that is already in memory. The bytes are copied: they need not outlive the call.
///
/// Errors: as ndl_model_open, without NDL_ERROR_IO.
/// Thread safety: any thread. Free the model with ndl_model_free.
///
/// # Safety
/// `data` points to `size` bytes; `model` may be written; `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ndl_model_from_buffer(
    data: *const u8,
    size: usize,
    model: *mut *mut ndl_model,
    error: *mut ndl_error,
) -> ndl_status {
    let load = || {
        // SAFETY: the header demands readable bytes.
        let bytes = unsafe { bytes(data, size, "the model's buffer") }?;
        Ok(Model::from_checkpoint(&Checkpoint::from_bundle_bytes(bytes.to_vec())?)?)
    };
    // SAFETY: the header demands that model and error may be written.
    unsafe { create(model, error, load) }
}

/// Opens a bundle in one file that the host reads.
///
/// Errors: NDL_ERROR_IO if `read` fails; else as ndl_model_from_buffer.
/// Thread safety: any thread; `read` is called on it, before the function returns. Free the model with ndl_model_free.
///
/// # Safety
/// `reader` is NULL or a struct as documented; `model` may be written; `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ndl_model_read(
    reader: *const ndl_reader,
    model: *mut *mut ndl_model,
    error: *mut ndl_error,
) -> ndl_status {
    let load = || {
        // SAFETY: the header demands a readable struct.
        let reader = unsafe { reader.as_ref() }.ok_or_else(|| Failure::null("the reader"))?;
        // SAFETY: the header describes `read`.
        let bytes = unsafe { read_all(reader) }?;
        Ok(Model::from_checkpoint(&Checkpoint::from_bundle_bytes(bytes)?)?)
    };
    // SAFETY: the header demands that model and error may be written.
    unsafe { create(model, error, load) }
}

/// The model that is compiled into the library.
///
/// Errors: NDL_ERROR_UNAVAILABLE if the library was built without the feature embedded-model.
/// Thread safety: any thread. Free the model with ndl_model_free.
///
/// # Safety
/// `model` may be written; `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ndl_model_embedded(model: *mut *mut ndl_model, error: *mut ndl_error) -> ndl_status {
    #[cfg(feature = "embedded-model")]
    let load = || Ok(Model::embedded()?);
    #[cfg(not(feature = "embedded-model"))]
    let load = || {
        let message =
            "this library has no model inside: build it with --features embedded-model, or open one";
        Err(Failure::new(ndl_status::NDL_ERROR_UNAVAILABLE, message))
    };
    // SAFETY: the header demands that model and error may be written.
    unsafe { create(model, error, load) }
}

/// Frees a model. Catalogues and sessions of it go on working. NULL is fine.
///
/// Thread safety: once, when no other thread uses this handle.
///
/// # Safety
/// `model` is NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ndl_model_free(model: *mut ndl_model) {
    // SAFETY: the header demands a live handle or NULL.
    unsafe { free(model) }
}

/// # Safety
/// `model` and `error` may be written.
unsafe fn create(
    model: *mut *mut ndl_model,
    error: *mut ndl_error,
    load: impl FnOnce() -> Result<Arc<Model>, Failure>,
) -> ndl_status {
    let work = || {
        // SAFETY: as above.
        unsafe { clear(model) }?;
        let loaded = load()?;
        // SAFETY: `clear` has written it.
        unsafe { hand_over(model, ndl_model(loaded)) };
        Ok(())
    };
    // SAFETY: as above.
    unsafe { guarded(error, work) }
}

/// # Safety
/// `reader.read` does as documented.
unsafe fn read_all(reader: &ndl_reader) -> Result<Vec<u8>, Failure> {
    /// One read of the host.
    const CHUNK: usize = 1 << 20;
    let wrong = |message: &'static str| Failure::new(ndl_status::NDL_ERROR_INVALID_ARGUMENT, message);
    let read = reader.read.ok_or_else(|| Failure::null("reader.read"))?;
    if reader.struct_size < size_of::<ndl_reader>() {
        return Err(wrong("reader.struct_size is too small; set it to sizeof(ndl_reader)"));
    }
    let total = usize::try_from(reader.total_size).map_err(|_| wrong("reader.total_size is too large"))?;
    let mut data = Vec::new();
    while data.len() < total {
        let start = data.len();
        // Grown as it is read, so that a wrong total costs no memory.
        data.resize(total.min(start + CHUNK), 0);
        let chunk = &mut data[start..];
        // SAFETY: the chunk is as long as said.
        let result = unsafe { read(reader.user, start as u64, chunk.as_mut_ptr(), chunk.len()) };
        if result != 0 {
            let message = format!("the reader returned {result} at offset {start}");
            return Err(Failure::new(ndl_status::NDL_ERROR_IO, message));
        }
    }
    Ok(data)
}
