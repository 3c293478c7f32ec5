//! Compiled tools, and decisions over them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use needle_core::{Catalogue, Event, Hooks, Options, Result, Sessions};
use pyo3::prelude::*;
use serde_json::to_string;

use crate::border::{detached, json};

/// A flag that ends decisions from another thread.
#[pyclass(frozen, module = "needle_rs._native")]
#[derive(Default)]
pub(crate) struct Cancel(Arc<AtomicBool>);

impl Cancel {
    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

#[pymethods]
impl Cancel {
    /// A flag that is not set.
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Sets it, for ever.
    fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Compiled tools; any number of threads may decide at once.
#[pyclass(frozen, module = "needle_rs._native")]
pub(crate) struct Toolset {
    catalogue: Arc<Catalogue>,
    sessions: Sessions,
}

impl Toolset {
    pub(crate) fn new(catalogue: Arc<Catalogue>, threads: usize) -> Result<Self> {
        let sessions = Sessions::new(catalogue.model(), threads)?;
        Ok(Self { catalogue, sessions })
    }

    fn decide_with(
        &self,
        query: &str,
        options: &str,
        cancel: Option<&Cancel>,
        on_event: Option<&mut dyn FnMut(Event<'_>)>,
    ) -> Result<String> {
        let options = Options::from_json(options)?;
        let hooks = Hooks { cancel: cancel.map(Cancel::flag), on_event };
        let outcome =
            self.sessions.with(|session| session.decide_with(&self.catalogue, query, &options, hooks))?;
        json(to_string(&outcome.decision))
    }
}

#[pymethods]
impl Toolset {
    /// Decides one query; options and the decision are JSON.
    #[pyo3(signature = (query, options, cancel=None))]
    fn decide(
        &self,
        py: Python<'_>,
        query: &str,
        options: &str,
        cancel: Option<&Cancel>,
    ) -> PyResult<String> {
        detached(py, || self.decide_with(query, options, cancel, None))
    }

    /// Decides queries one after the other.
    #[allow(clippy::needless_pass_by_value, reason = "pyo3 hands over owned lists")]
    fn decide_batch(&self, py: Python<'_>, queries: Vec<String>, options: &str) -> PyResult<Vec<String>> {
        detached(py, || {
            let options = Options::from_json(options)?;
            let queries: Vec<&str> = queries.iter().map(String::as_str).collect();
            let decisions =
                self.sessions.with(|session| session.decide_batch(&self.catalogue, &queries, &options))?;
            decisions.iter().map(|decision| json(to_string(decision))).collect()
        })
    }

    /// Decides one query and calls `on_event(kind, call, text)` for every event; an exception in it ends the decision
    /// and is raised.
    #[allow(clippy::needless_pass_by_value, reason = "pyo3 hands over owned objects")]
    fn stream(
        &self,
        py: Python<'_>,
        query: &str,
        options: &str,
        cancel: &Cancel,
        on_event: Py<PyAny>,
    ) -> PyResult<String> {
        let mut raised = None;
        let mut listener = |event: Event<'_>| {
            if raised.is_some() {
                return;
            }
            let (kind, call, text) = match event {
                Event::Text(text) => ("text", 0, text),
                Event::ToolName { call, name } => ("tool_name", call, name),
                Event::CallFinished { call } => ("call_finished", call, ""),
                Event::Done => ("done", 0, ""),
            };
            if let Err(error) = Python::attach(|py| on_event.call1(py, (kind, call, text))) {
                cancel.cancel();
                raised = Some(error);
            }
        };
        let decided = detached(py, || self.decide_with(query, options, Some(cancel), Some(&mut listener)));
        raised.map_or(decided, Err)
    }

    /// The retrieval embedding of a query.
    fn embed(&self, py: Python<'_>, query: &str) -> PyResult<Vec<f32>> {
        detached(py, || self.sessions.with(|session| session.embed(query)))
    }

    /// Names of the tools, as the caller spelled them.
    fn names(&self) -> Vec<&str> {
        self.catalogue.tools().iter().map(|tool| tool.spec().name.as_str()).collect()
    }
}
