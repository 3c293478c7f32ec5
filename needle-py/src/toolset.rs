//! Compiled tools, and decisions over them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use needle_core::{Catalogue, Decision, Event, Hooks, Options, Result, Session};
use pyo3::prelude::*;

use crate::errors::exception;

/// A flag that ends decisions from another thread.
#[pyclass(frozen, module = "needle_rs._native")]
#[derive(Default)]
pub(crate) struct Cancel(Arc<AtomicBool>);

#[pymethods]
impl Cancel {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[pyclass(frozen, module = "needle_rs._native")]
pub(crate) struct Toolset {
    catalogue: Arc<Catalogue>,
    threads: usize,
    /// Sessions between two decisions; as many are made as threads decide at once.
    idle: Mutex<Vec<Session>>,
}

impl Toolset {
    pub(crate) fn new(catalogue: Arc<Catalogue>, threads: usize) -> Result<Self> {
        let first = Session::with_threads(catalogue.model(), threads)?;
        Ok(Self { catalogue, threads, idle: Mutex::new(vec![first]) })
    }

    fn with_session<T>(&self, work: impl FnOnce(&mut Session) -> Result<T>) -> Result<T> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = idle().pop();
        let mut session = match waiting {
            Some(session) => session,
            None => Session::with_threads(self.catalogue.model(), self.threads)?,
        };
        let result = work(&mut session);
        idle().push(session);
        result
    }

    fn decide_with(
        &self,
        query: &str,
        options: &str,
        cancel: Option<&Cancel>,
        on_event: Option<&mut dyn FnMut(Event<'_>)>,
    ) -> Result<String> {
        let options = Options::from_json(options)?;
        let hooks = Hooks { cancel: cancel.map(|cancel| Arc::clone(&cancel.0)), on_event };
        let outcome =
            self.with_session(|session| session.decide_with(&self.catalogue, query, &options, hooks))?;
        text(&outcome.decision)
    }
}

#[pymethods]
impl Toolset {
    #[pyo3(signature = (query, options, cancel=None))]
    fn decide(
        &self,
        py: Python<'_>,
        query: &str,
        options: &str,
        cancel: Option<&Cancel>,
    ) -> PyResult<String> {
        py.detach(|| self.decide_with(query, options, cancel, None)).map_err(|error| exception(py, &error))
    }

    #[allow(clippy::needless_pass_by_value, reason = "pyo3 hands over owned lists")]
    fn decide_batch(&self, py: Python<'_>, queries: Vec<String>, options: &str) -> PyResult<Vec<String>> {
        let decided: Result<Vec<String>> = py.detach(|| {
            let options = Options::from_json(options)?;
            let queries: Vec<&str> = queries.iter().map(String::as_str).collect();
            let decisions =
                self.with_session(|session| session.decide_batch(&self.catalogue, &queries, &options))?;
            decisions.iter().map(text).collect()
        });
        decided.map_err(|error| exception(py, &error))
    }

    /// Calls `on_event(kind, call, text)` for every event; an exception in it ends the decision and is raised.
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
        let decided = py.detach(|| self.decide_with(query, options, Some(cancel), Some(&mut listener)));
        match raised {
            Some(error) => Err(error),
            None => decided.map_err(|error| exception(py, &error)),
        }
    }

    /// Names of the tools, as the caller spelled them.
    fn names(&self) -> Vec<&str> {
        self.catalogue.tools().iter().map(|tool| tool.spec().name.as_str()).collect()
    }

    /// Decides as well as the same tools compiled in a process that was forked: threads do not survive a fork.
    fn after_fork(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        for session in idle.drain(..) {
            // Its threads are gone, so waiting for them on drop would never end.
            std::mem::forget(session);
        }
    }
}

fn text(decision: &Decision) -> Result<String> {
    serde_json::to_string(decision).map_err(|error| needle_core::Error::Internal(error.to_string()))
}
