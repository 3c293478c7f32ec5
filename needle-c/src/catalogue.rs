//! Compiled tools.

use std::ffi::c_char;
use std::sync::Arc;

use needle_core::{Catalogue, tool};

use crate::error::{ndl_error, ndl_status};
use crate::guard::{alive, clear, free, guarded, hand_over};
use crate::model::ndl_model;
use crate::text::{Text, lend, text};

/// Compiled tools; immutable.
pub struct ndl_catalogue {
    pub(crate) compiled: Arc<Catalogue>,
    names: Vec<Text>,
}

/// Compiles tools, once for any number of decisions. `tools` is JSON: a list of definitions of any common format.
///
/// Errors: NDL_ERROR_TOOL, NDL_ERROR_PROVIDER_TOOL, NDL_ERROR_UTF8, NDL_ERROR_INVALID_ARGUMENT.
/// Thread safety: any thread; many may compile for one model at once. Free it with ndl_catalogue_free.
///
/// # Safety
/// `model` is a live handle, `tools` points to `tools_size` bytes, `catalogue` may be written, `error` is NULL or may be
/// written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ndl_catalogue_compile(
    model: *const ndl_model,
    tools: *const c_char,
    tools_size: usize,
    catalogue: *mut *mut ndl_catalogue,
    error: *mut ndl_error,
) -> ndl_status {
    let work = || {
        // SAFETY: the header demands a writable pointer, a live handle and readable text.
        let (model, tools) = unsafe {
            clear(catalogue)?;
            (alive(model, "the model")?, text(tools, tools_size, "the tools' JSON")?)
        };
        let compiled = Catalogue::compile(&model.0, tool::parse(tools)?)?;
        let names = compiled.tools().iter().map(|tool| Text::new(tool.spec().name.clone())).collect();
        // SAFETY: `clear` has written it.
        unsafe { hand_over(catalogue, ndl_catalogue { compiled, names }) };
        Ok(())
    };
    // SAFETY: the header demands that error may be written.
    unsafe { guarded(error, work) }
}

/// How many tools there are; 0 for NULL.
///
/// Thread safety: any thread.
///
/// # Safety
/// `catalogue` is NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ndl_catalogue_size(catalogue: *const ndl_catalogue) -> usize {
    // SAFETY: the header demands a live handle or NULL.
    unsafe { catalogue.as_ref() }.map_or(0, |catalogue| catalogue.names.len())
}

/// The name of a tool as it was given; NULL if there is no such tool. Lives as long as the catalogue.
///
/// Thread safety: any thread.
///
/// # Safety
/// `catalogue` is NULL or a live handle; `size` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ndl_catalogue_name(
    catalogue: *const ndl_catalogue,
    index: usize,
    size: *mut usize,
) -> *const c_char {
    // SAFETY: the header demands a live handle or NULL.
    let name = unsafe { catalogue.as_ref() }.and_then(|catalogue| catalogue.names.get(index));
    // SAFETY: the header demands a writable size or NULL.
    unsafe { lend(name, size) }
}

/// Frees a catalogue. NULL is fine.
///
/// Thread safety: once, when no other thread uses this handle.
///
/// # Safety
/// `catalogue` is NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ndl_catalogue_free(catalogue: *mut ndl_catalogue) {
    // SAFETY: the header demands a live handle or NULL.
    unsafe { free(catalogue) }
}
