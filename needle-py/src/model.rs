//! Models: read once, shared by everything compiled for them.

use std::path::PathBuf;
use std::sync::Arc;

use needle_core::{Catalogue, tool};
use pyo3::prelude::*;

use crate::errors::exception;
use crate::toolset::Toolset;

#[pyclass(frozen, module = "needle_rs._native")]
pub(crate) struct Model(Arc<needle_core::Model>);

#[pymethods]
impl Model {
    #[staticmethod]
    fn default(py: Python<'_>) -> PyResult<Self> {
        let model = py.detach(needle_core::Model::embedded);
        model.map(Self).map_err(|error| exception(py, &error))
    }

    #[staticmethod]
    #[allow(clippy::needless_pass_by_value, reason = "pyo3 hands over owned paths")]
    fn open(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let model = py.detach(|| needle_core::Model::open(&path));
        model.map(Self).map_err(|error| exception(py, &error))
    }

    fn compile(&self, py: Python<'_>, tools: &str, threads: usize) -> PyResult<Toolset> {
        let compiled = py.detach(|| {
            let catalogue = Catalogue::compile(&self.0, tool::parse(tools)?)?;
            Toolset::new(catalogue, threads)
        });
        compiled.map_err(|error| exception(py, &error))
    }

    fn config(&self) -> PyResult<String> {
        serde_json::to_string(self.0.config())
            .map_err(|error| pyo3::exceptions::PyRuntimeError::new_err(error.to_string()))
    }

    #[getter]
    fn is_calibrated(&self) -> bool {
        self.0.calibration().is_some()
    }
}
