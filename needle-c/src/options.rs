//! Options of one decision.

use std::ffi::c_char;

use needle_core::{Grounding, Options};

use crate::error::{Failure, ndl_error, ndl_status};
use crate::guard::guarded;
use crate::text::text;

/// In ndl_options: the model's own threshold.
pub const NDL_MODEL_THRESHOLD: f32 = -1.0;
/// In ndl_options: no deadline.
pub const NDL_NO_DEADLINE: u64 = u64::MAX;

/// What to do with arguments that the query does not contain.
#[repr(i32)]
#[derive(Clone, Copy)]
pub enum ndl_grounding {
    /// Nothing.
    NDL_GROUNDING_OFF = 0,
    /// List them in the decision's JSON.
    NDL_GROUNDING_REPORT = 1,
    /// Hand off.
    NDL_GROUNDING_ENFORCE = 2,
}

use ndl_grounding as CGrounding;

/// Settings of one decision. Fill it with ndl_options_init, then change what you need; later versions add fields at the
/// end.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ndl_options {
    /// sizeof(ndl_options); ndl_options_init sets it.
    pub struct_size: usize,
    /// Confidence below which a call becomes a hand-off, 0 to 1; NDL_MODEL_THRESHOLD for the model's own.
    pub threshold: f32,
    /// Most calls in one answer, 1 to 64; more is a hand-off.
    pub max_calls: u32,
    /// Longest answer in tokens, 1 to 8192; more is a hand-off.
    pub max_output_tokens: u32,
    /// Most tools that take part in one decision, 1 to 1024; of more, this many are retrieved.
    pub max_candidates: u32,
    /// Time for one decision in milliseconds, looked at between steps; NDL_NO_DEADLINE for none.
    pub deadline_ms: u64,
    /// One of ndl_grounding.
    pub grounding: i32,
}

/// Fills options with the defaults.
///
/// Errors: NDL_ERROR_INVALID_ARGUMENT if options is NULL.
/// Thread safety: any thread; the struct is the caller's.
///
/// # Safety
/// `options` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ndl_options_init(options: *mut ndl_options) -> ndl_status {
    // SAFETY: the header demands a writable struct.
    match unsafe { options.as_mut() } {
        None => ndl_status::NDL_ERROR_INVALID_ARGUMENT,
        Some(options) => {
            *options = from_core(&Options::default());
            ndl_status::NDL_OK
        }
    }
}

/// Reads options from a JSON object (schemas/options.schema.json); what it leaves out takes its default.
///
/// Errors: NDL_ERROR_OPTION for unknown fields, wrong types and values out of range; NDL_ERROR_UTF8;
/// NDL_ERROR_INVALID_ARGUMENT.
/// Thread safety: any thread; the struct is the caller's.
///
/// # Safety
/// `json` points to `json_size` bytes, `options` and `error` are NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ndl_options_from_json(
    json: *const c_char,
    json_size: usize,
    options: *mut ndl_options,
    error: *mut ndl_error,
) -> ndl_status {
    let work = || {
        // SAFETY: the header demands readable text.
        let read = Options::from_json(unsafe { text(json, json_size, "the options' JSON") }?)?;
        // SAFETY: the header demands a writable struct.
        let options = unsafe { options.as_mut() }.ok_or_else(|| Failure::null("options"))?;
        *options = from_core(&read);
        Ok(())
    };
    // SAFETY: the header demands that error may be written.
    unsafe { guarded(error, work) }
}

fn from_core(options: &Options) -> ndl_options {
    // The engine's largest values are far below 2^32.
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let grounding = match options.grounding {
        Grounding::Off => CGrounding::NDL_GROUNDING_OFF,
        Grounding::Report => CGrounding::NDL_GROUNDING_REPORT,
        Grounding::Enforce => CGrounding::NDL_GROUNDING_ENFORCE,
    };
    ndl_options {
        struct_size: size_of::<ndl_options>(),
        threshold: options.threshold.unwrap_or(NDL_MODEL_THRESHOLD),
        max_calls: count(options.max_calls),
        max_output_tokens: count(options.max_output_tokens),
        max_candidates: count(options.max_candidates),
        deadline_ms: options.deadline_ms.unwrap_or(NDL_NO_DEADLINE),
        grounding: grounding as i32,
    }
}

/// The engine's options; the defaults for NULL.
///
/// # Safety
/// `options` is NULL or points to a struct whose `struct_size` says how large it is.
pub(crate) unsafe fn to_core(options: *const ndl_options) -> Result<Options, Failure> {
    let wrong = |message| Err(Failure::new(ndl_status::NDL_ERROR_INVALID_ARGUMENT, message));
    if options.is_null() {
        return Ok(Options::default());
    }
    // SAFETY: every version of the struct begins with its size.
    let size = unsafe { (*options).struct_size };
    if size < size_of::<ndl_options>() {
        return wrong(format!("options.struct_size is {size}; fill the struct with ndl_options_init"));
    }
    // SAFETY: it is at least as large as this version.
    let given = unsafe { *options };
    let grounding = match given.grounding {
        0 => Grounding::Off,
        1 => Grounding::Report,
        2 => Grounding::Enforce,
        other => return wrong(format!("options.grounding is {other}; must be one of ndl_grounding")),
    };
    let own = given.threshold.to_bits() == NDL_MODEL_THRESHOLD.to_bits();
    Ok(Options {
        threshold: (!own).then_some(given.threshold),
        max_calls: given.max_calls as usize,
        max_output_tokens: given.max_output_tokens as usize,
        max_candidates: given.max_candidates as usize,
        deadline_ms: (given.deadline_ms != NDL_NO_DEADLINE).then_some(given.deadline_ms),
        grounding,
    })
}
