//! What a decision says.

use std::ffi::c_char;

use needle_core::{Decision, HandoffReason};

use crate::error::{Failure, ndl_status};
use crate::guard::free;
use crate::text::{Text, lend};

/// Calls to make, or a hand-off to a larger model; immutable.
pub struct ndl_decision {
    reason: ndl_reason,
    confidence: Option<f32>,
    total_ms: f64,
    /// Name and arguments of each call to make.
    calls: Vec<(Text, Text)>,
    detail: Text,
    json: Text,
}

/// Why a query is handed off. Numbers are never reused or changed.
#[repr(i32)]
#[derive(Clone, Copy)]
pub enum ndl_reason {
    /// It is not: there are calls to make.
    NDL_REASON_NONE = 0,
    /// The confidence is below the threshold.
    NDL_REASON_LOW_CONFIDENCE = 1,
    /// No tool fits, or there are none.
    NDL_REASON_NO_MATCHING_TOOL = 2,
    /// The answer needs more calls than allowed.
    NDL_REASON_MULTI_STEP = 3,
    /// The schema of the chosen tool cannot be enforced, or the answer does not validate.
    NDL_REASON_UNSUPPORTED_SCHEMA = 4,
    /// Query or tools do not fit the model's context.
    NDL_REASON_INPUT_TOO_LONG = 5,
    /// The query is empty.
    NDL_REASON_NOT_A_USER_TURN = 6,
    /// With NDL_GROUNDING_ENFORCE: an argument is not in the query.
    NDL_REASON_UNGROUNDED_ARGUMENTS = 7,
    /// The answer did not end within max_output_tokens.
    NDL_REASON_OUTPUT_LIMIT = 8,
    /// The answer obeys the grammar but is no usable value.
    NDL_REASON_INVALID_ARGUMENTS = 9,
    /// The request wants more than calls of its own tools.
    NDL_REASON_UNSUPPORTED_REQUEST = 10,
    /// The chosen tool is never called locally.
    NDL_REASON_DENIED_TOOL = 11,
    /// A router's deadline passed.
    NDL_REASON_DEADLINE = 12,
    /// A reason that this header does not know; the decision's JSON names it.
    NDL_REASON_OTHER = 1000,
}

use ndl_reason as Reason;

impl From<HandoffReason> for Reason {
    fn from(reason: HandoffReason) -> Self {
        match reason {
            HandoffReason::LowConfidence => Self::NDL_REASON_LOW_CONFIDENCE,
            HandoffReason::NoMatchingTool => Self::NDL_REASON_NO_MATCHING_TOOL,
            HandoffReason::MultiStep => Self::NDL_REASON_MULTI_STEP,
            HandoffReason::UnsupportedSchema => Self::NDL_REASON_UNSUPPORTED_SCHEMA,
            HandoffReason::InputTooLong => Self::NDL_REASON_INPUT_TOO_LONG,
            HandoffReason::NotAUserTurn => Self::NDL_REASON_NOT_A_USER_TURN,
            HandoffReason::UngroundedArguments => Self::NDL_REASON_UNGROUNDED_ARGUMENTS,
            HandoffReason::OutputLimit => Self::NDL_REASON_OUTPUT_LIMIT,
            HandoffReason::InvalidArguments => Self::NDL_REASON_INVALID_ARGUMENTS,
            HandoffReason::UnsupportedRequest => Self::NDL_REASON_UNSUPPORTED_REQUEST,
            HandoffReason::DeniedTool => Self::NDL_REASON_DENIED_TOOL,
            HandoffReason::Deadline => Self::NDL_REASON_DEADLINE,
            _ => Self::NDL_REASON_OTHER,
        }
    }
}

impl ndl_decision {
    pub(crate) fn new(decision: &Decision) -> Result<Self, Failure> {
        let written = |result: serde_json::Result<String>| {
            result
                .map(Text::new)
                .map_err(|error| Failure::new(ndl_status::NDL_ERROR_INTERNAL, error.to_string()))
        };
        let calls = decision.calls().iter();
        let detail = match decision {
            Decision::Call { .. } => String::new(),
            Decision::Handoff { detail, .. } => detail.clone(),
        };
        Ok(Self {
            reason: decision.reason().map_or(Reason::NDL_REASON_NONE, Into::into),
            confidence: decision.confidence().map(needle_core::Confidence::get),
            total_ms: decision.timings().total_ms,
            calls: calls
                .map(|call| {
                    Ok((Text::new(call.name.clone()), written(serde_json::to_string(&call.arguments))?))
                })
                .collect::<Result<_, Failure>>()?,
            detail: Text::new(detail),
            json: written(serde_json::to_string(decision))?,
        })
    }
}

/// How many calls to make; 0 for a hand-off and for NULL.
///
/// Thread safety: any thread, as all that reads a decision.
///
/// # Safety
/// `decision` is NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ndl_decision_call_count(decision: *const ndl_decision) -> usize {
    // SAFETY: the header demands a live handle or NULL.
    unsafe { decision.as_ref() }.map_or(0, |decision| decision.calls.len())
}

/// The tool of a call, as the caller named it; NULL if there is no such call. Lives as long as the
/// decision.
///
/// # Safety
/// `decision` is NULL or a live handle; `size` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ndl_decision_call_name(
    decision: *const ndl_decision,
    index: usize,
    size: *mut usize,
) -> *const c_char {
    // SAFETY: the header demands a live handle or NULL, and a writable size or NULL.
    unsafe { lend(decision.as_ref().and_then(|d| d.calls.get(index)).map(|call| &call.0), size) }
}

/// The arguments of a call as a JSON object, valid against the tool's schema; NULL if there is no
/// such call. Lives as long as the decision.
///
/// # Safety
/// `decision` is NULL or a live handle; `size` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ndl_decision_call_arguments(
    decision: *const ndl_decision,
    index: usize,
    size: *mut usize,
) -> *const c_char {
    // SAFETY: the header demands a live handle or NULL, and a writable size or NULL.
    unsafe { lend(decision.as_ref().and_then(|d| d.calls.get(index)).map(|call| &call.1), size) }
}

/// Why the query is handed off; NDL_REASON_NONE if there are calls to make, NDL_REASON_OTHER for NULL.
///
/// # Safety
/// `decision` is NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ndl_decision_reason(decision: *const ndl_decision) -> ndl_reason {
    // SAFETY: the header demands a live handle or NULL.
    unsafe { decision.as_ref() }.map_or(Reason::NDL_REASON_OTHER, |decision| decision.reason)
}

/// What exactly the reason is, in words for a log; empty if there are calls to make.
///
/// # Safety
/// `decision` is NULL or a live handle; `size` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ndl_decision_detail(
    decision: *const ndl_decision,
    size: *mut usize,
) -> *const c_char {
    // SAFETY: the header demands a live handle or NULL, and a writable size or NULL.
    unsafe { lend(decision.as_ref().map(|decision| &decision.detail), size) }
}

/// The probability that the answer is right, 0 to 1. Returns false, and writes nothing, if the model is not calibrated or
/// was not asked.
///
/// # Safety
/// `decision` is NULL or a live handle; `confidence` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ndl_decision_confidence(
    decision: *const ndl_decision,
    confidence: *mut f32,
) -> bool {
    // SAFETY: the header demands a live handle or NULL.
    let Some(known) = (unsafe { decision.as_ref() }).and_then(|decision| decision.confidence) else {
        return false;
    };
    // SAFETY: the header demands a writable float or NULL.
    if let Some(confidence) = unsafe { confidence.as_mut() } {
        *confidence = known;
    }
    true
}

/// How long the decision took, in milliseconds; 0 for NULL.
///
/// # Safety
/// `decision` is NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ndl_decision_total_ms(decision: *const ndl_decision) -> f64 {
    // SAFETY: the header demands a live handle or NULL.
    unsafe { decision.as_ref() }.map_or(0.0, |decision| decision.total_ms)
}

/// All of it as JSON (schemas/decision.schema.json). Lives as long as the decision.
///
/// # Safety
/// `decision` is NULL or a live handle; `size` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ndl_decision_json(decision: *const ndl_decision, size: *mut usize) -> *const c_char {
    // SAFETY: the header demands a live handle or NULL, and a writable size or NULL.
    unsafe { lend(decision.as_ref().map(|decision| &decision.json), size) }
}

/// Frees a decision and all text that it lent. NULL is fine.
///
/// Thread safety: once, when no other thread uses this handle.
///
/// # Safety
/// `decision` is NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ndl_decision_free(decision: *mut ndl_decision) {
    // SAFETY: the header demands a live handle or NULL.
    unsafe { free(decision) }
}
