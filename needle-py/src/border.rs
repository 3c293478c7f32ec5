//! The border: work runs without the interpreter, and what goes wrong comes back as an exception of `needle_rs`.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use needle_core::{Error, Result};
use pyo3::prelude::*;

/// Runs work with the interpreter released; an error, or a panic, becomes its exception.
pub(crate) fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> Result<T> + Send) -> PyResult<T> {
    // What a panic leaves half done is dropped with the work: a session goes back to its pool only on success.
    let guarded = || {
        let _working = crate::fork::working();
        catch_unwind(AssertUnwindSafe(work))
    };
    py.detach(guarded)
        .unwrap_or_else(|panic| Err(Error::Internal(message(panic.as_ref()))))
        .map_err(|error| exception(py, &error))
}

/// Data as it crosses; what the engine decides can always be written.
pub(crate) fn json(written: serde_json::Result<String>) -> Result<String> {
    written.map_err(|error| Error::Internal(error.to_string()))
}

/// The exception for an error; its class is chosen by the error's code in `needle_rs._errors`.
fn exception(py: Python<'_>, error: &Error) -> PyErr {
    let made = py
        .import("needle_rs._errors")
        .and_then(|module| module.call_method1("from_code", (error.code().name(), error.to_string())));
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(problem) => problem,
    }
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("panic").to_owned()
}
