//! Errors of the engine as the exceptions of `needle_rs`.

use needle_core::Error;
use pyo3::prelude::*;

/// The exception for an error; its class is chosen by the error's code in `needle_rs._errors`.
pub(crate) fn exception(py: Python<'_>, error: &Error) -> PyErr {
    let made = py
        .import("needle_rs._errors")
        .and_then(|module| module.call_method1("from_code", (error.code().name(), error.to_string())));
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(problem) => problem,
    }
}
