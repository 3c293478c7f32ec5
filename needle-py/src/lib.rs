//! `needle_rs._native`: the engine for Python.
//!
//! Definitions, options and decisions cross the border as JSON text, which both sides read and write exactly;
//! `needle_rs` gives them their Python form. The interpreter is released while the engine works.

mod border;
mod fork;
mod model;
mod router;
mod toolset;

use pyo3::prelude::*;

/// The engine; see `needle_rs` for its Python form.
#[pymodule(gil_used = false)]
mod _native {
    #[pymodule_export]
    use super::fork::{after_fork, before_fork};
    #[pymodule_export]
    use super::model::Model;
    #[pymodule_export]
    use super::router::Router;
    #[pymodule_export]
    use super::toolset::{Cancel, Toolset};

    use needle_core::ErrorCode;
    use pyo3::prelude::*;

    /// Runs the `needle` command with these arguments, the program's name first; returns its exit code.
    #[pyfunction]
    fn command(py: Python<'_>, arguments: Vec<std::ffi::OsString>) -> u8 {
        py.detach(|| needle_cli::run(arguments))
    }

    /// The code of every error that the engine knows.
    #[pyfunction]
    fn error_codes() -> Vec<&'static str> {
        ErrorCode::ALL.map(ErrorCode::name).to_vec()
    }

    /// Every reason of a hand-off.
    #[pyfunction]
    fn reasons() -> Vec<&'static str> {
        needle_core::HandoffReason::ALL.map(needle_core::HandoffReason::name).to_vec()
    }
}
