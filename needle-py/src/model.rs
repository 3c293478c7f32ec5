//! Models: read once, shared by everything compiled for them.

use std::path::PathBuf;
use std::sync::Arc;

use needle_core::{Catalogue, tool};
use pyo3::prelude::*;

use crate::border::{detached, json};
use crate::toolset::Toolset;

/// A network with its tokenizer and calibration.
#[pyclass(frozen, module = "needle_rs._native")]
pub(crate) struct Model(Arc<needle_core::Model>);

impl Model {
    pub(crate) fn core(&self) -> &Arc<needle_core::Model> {
        &self.0
    }
}

#[pymethods]
impl Model {
    /// The model that is compiled into the module.
    #[staticmethod]
    fn default(py: Python<'_>) -> PyResult<Self> {
        detached(py, || Ok(Self(needle_core::Model::embedded()?)))
    }

    /// A model from a bundle directory or file.
    #[staticmethod]
    fn open(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        detached(py, || Ok(Self(needle_core::Model::open(path)?)))
    }

    /// Compiles a JSON list of tools; that and each decision over them share their work among so many threads.
    fn compile(&self, py: Python<'_>, tools: &str, threads: usize) -> PyResult<Toolset> {
        detached(py, || {
            Toolset::new(Catalogue::compile_with_threads(&self.0, tool::parse(tools)?, threads)?, threads)
        })
    }

    /// Sizes and options of the network as JSON.
    fn config(&self, py: Python<'_>) -> PyResult<String> {
        detached(py, || json(serde_json::to_string(self.0.config())))
    }

    /// Whether decisions have a confidence.
    #[getter]
    fn is_calibrated(&self) -> bool {
        self.0.calibration().is_some()
    }
}
