//! `needle_rs._native`: the engine for Python.
//!
//! Definitions, options and decisions cross the border as JSON text, which both sides read and write exactly;
//! `needle_rs` gives them their Python form. The interpreter is released while the engine works.
#![allow(missing_docs, reason = "the module's documentation is in _native.pyi")]

mod errors;
mod model;
mod toolset;

use pyo3::prelude::*;

#[pymodule(gil_used = false)]
mod _native {
    #[pymodule_export]
    use super::model::Model;
    #[pymodule_export]
    use super::toolset::{Cancel, Toolset};

    use pyo3::prelude::*;

    /// Runs the `needle` command with these arguments, the program's name first; returns its exit code.
    #[pyfunction]
    fn command(py: Python<'_>, arguments: Vec<std::ffi::OsString>) -> u8 {
        py.detach(|| needle_cli::run(arguments))
    }
}
