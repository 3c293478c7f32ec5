//! Requests to a large model, and decisions about them.

use needle_core::{Hooks, Policy};
use pyo3::prelude::*;
use serde_json::to_string;

use crate::border::{detached, json};
use crate::model::Model;
use crate::toolset::Cancel;

/// Decides requests; any number of threads may use it at once.
#[pyclass(frozen, module = "needle_rs._native")]
pub(crate) struct Router(needle_core::Router);

#[pymethods]
impl Router {
    /// A router with a policy, which is JSON; each decision shares its work among so many threads.
    #[new]
    fn new(py: Python<'_>, model: &Model, policy: &str, threads: usize) -> PyResult<Self> {
        detached(py, || {
            Ok(Self(needle_core::Router::new(model.core(), Policy::from_json(policy)?, threads)?))
        })
    }

    /// Decides the JSON body of a request for `api`; the decision is JSON.
    #[pyo3(signature = (api, body, cancel=None))]
    fn decide(&self, py: Python<'_>, api: &str, body: &str, cancel: Option<&Cancel>) -> PyResult<String> {
        detached(py, || {
            let hooks = Hooks { cancel: cancel.map(Cancel::flag), on_event: None };
            json(to_string(&self.0.decide(api.parse()?, body, hooks)?))
        })
    }

    /// Names and cosines of the tools nearest to a request's ask, best first.
    fn nearest(&self, py: Python<'_>, api: &str, body: &str, count: usize) -> PyResult<Vec<(String, f32)>> {
        detached(py, || self.0.nearest(api.parse()?, body, count))
    }
}
