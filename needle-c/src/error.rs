//! Statuses, and what they mean in words.

use std::borrow::Cow;
use std::ffi::c_char;

use needle_core::ErrorCode;

/// What a function returns: NDL_OK, or why there is no result. Numbers are never reused or changed.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ndl_status {
    /// There is a result.
    NDL_OK = 0,
    /// A file could not be read.
    NDL_ERROR_IO = 1,
    /// The model's weights are damaged, or not of the promised shape.
    NDL_ERROR_CHECKPOINT = 2,
    /// The model's config holds an impossible value.
    NDL_ERROR_CONFIG = 3,
    /// The model's tokenizer is damaged or of an unknown kind.
    NDL_ERROR_TOKENIZER = 4,
    /// A tool cannot be understood; the message names it, the place in it and the remedy.
    NDL_ERROR_TOOL = 5,
    /// An input is too large.
    NDL_ERROR_LIMIT = 6,
    /// An option is unknown or has an impossible value.
    NDL_ERROR_OPTION = 7,
    /// A row of a data file cannot be read.
    NDL_ERROR_ROW = 8,
    /// The decision was cancelled.
    NDL_ERROR_CANCELLED = 9,
    /// The deadline passed before the decision was finished.
    NDL_ERROR_DEADLINE_EXCEEDED = 10,
    /// A broken promise of the library, such as a panic that was caught; please report it.
    NDL_ERROR_INTERNAL = 11,
    /// A tool that only the large model's provider can run.
    NDL_ERROR_PROVIDER_TOOL = 12,
    /// A pointer is NULL that must not be, or a struct's size is unknown to the library.
    NDL_ERROR_INVALID_ARGUMENT = 101,
    /// A text is not UTF-8.
    NDL_ERROR_UTF8 = 102,
    /// The library was built without this feature.
    NDL_ERROR_UNAVAILABLE = 103,
}

use ndl_status as Status;

impl From<ErrorCode> for Status {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::Io => Self::NDL_ERROR_IO,
            ErrorCode::Checkpoint => Self::NDL_ERROR_CHECKPOINT,
            ErrorCode::Config => Self::NDL_ERROR_CONFIG,
            ErrorCode::Tokenizer => Self::NDL_ERROR_TOKENIZER,
            ErrorCode::Tool => Self::NDL_ERROR_TOOL,
            ErrorCode::Limit => Self::NDL_ERROR_LIMIT,
            ErrorCode::Option => Self::NDL_ERROR_OPTION,
            ErrorCode::Row => Self::NDL_ERROR_ROW,
            ErrorCode::Cancelled => Self::NDL_ERROR_CANCELLED,
            ErrorCode::DeadlineExceeded => Self::NDL_ERROR_DEADLINE_EXCEEDED,
            ErrorCode::ProviderTool => Self::NDL_ERROR_PROVIDER_TOOL,
            // Codes that this library does not know yet are its own fault.
            _ => Self::NDL_ERROR_INTERNAL,
        }
    }
}

/// Room for a message, its final NUL included.
pub const NDL_MESSAGE_SIZE: usize = 512;

/// What went wrong, in words; the caller's own memory. Set struct_size to sizeof(ndl_error).
#[repr(C)]
pub struct ndl_error {
    /// sizeof(ndl_error)
    pub struct_size: usize,
    /// NDL_OK after a success.
    pub status: ndl_status,
    /// What is wrong, where, and what to do; UTF-8 with a final NUL, cut at a character if it is too long.
    pub message: [c_char; NDL_MESSAGE_SIZE],
}

/// Why a function has no result.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    message: Cow<'static, str>,
}

impl Failure {
    pub(crate) fn new(status: Status, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, message: message.into() }
    }

    /// Takes no memory, so that the allocator's own functions may use it.
    pub(crate) fn argument(problem: &'static str) -> Self {
        Self::new(Status::NDL_ERROR_INVALID_ARGUMENT, problem)
    }

    pub(crate) fn null(what: &str) -> Self {
        Self::new(Status::NDL_ERROR_INVALID_ARGUMENT, format!("{what} is NULL"))
    }
}

impl From<needle_core::Error> for Failure {
    fn from(error: needle_core::Error) -> Self {
        Self::new(error.code().into(), error.to_string())
    }
}

impl ndl_error {
    /// Writes down how a function ended.
    pub(crate) fn set(&mut self, failure: Option<&Failure>) {
        self.status = failure.map_or(Status::NDL_OK, |failure| failure.status);
        let message = failure.map_or("", |failure| failure.message.as_ref());
        let mut end = message.len().min(NDL_MESSAGE_SIZE - 1);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        let bytes = message.as_bytes()[..end].iter().map(|byte| byte.cast_signed() as c_char);
        for (place, byte) in self.message.iter_mut().zip(bytes.chain([0])) {
            *place = byte;
        }
    }
}
