//! Compiled tools, and decisions over them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use napi::bindgen_prelude::{AsyncTask, FnArgs};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi_derive::napi;
use needle_core::{Catalogue, Event, Hooks, Options, Result, Sessions};
use serde_json::to_string;

use crate::border::{Thrown, Work, guarded, json, promise};

/// Kind, index of the call, text.
type EventArguments = FnArgs<(String, u32, String)>;
type Listener = ThreadsafeFunction<EventArguments, (), EventArguments, napi::Status, false>;

/// A flag that ends decisions that are under way.
#[napi]
#[derive(Default)]
pub struct Cancel(Arc<AtomicBool>);

#[napi]
impl Cancel {
    /// A flag that is not set.
    #[napi(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets it, for ever.
    #[napi]
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Compiled tools; any number of decisions may be under way at once.
#[napi]
pub struct Toolset(Arc<Shared>);

struct Shared {
    catalogue: Arc<Catalogue>,
    sessions: Sessions,
}

impl Toolset {
    pub(crate) fn new(catalogue: Arc<Catalogue>, threads: usize) -> Result<Self> {
        let sessions = Sessions::new(catalogue.model(), threads)?;
        Ok(Self(Arc::new(Shared { catalogue, sessions })))
    }
}

impl Shared {
    fn decide(&self, query: &str, options: &str, hooks: Hooks<'_>) -> Result<String> {
        let options = Options::from_json(options)?;
        let outcome =
            self.sessions.with(|session| session.decide_with(&self.catalogue, query, &options, hooks))?;
        json(to_string(&outcome.decision))
    }

    fn decide_batch(&self, queries: &[String], options: &str) -> Result<Vec<String>> {
        let options = Options::from_json(options)?;
        let queries: Vec<&str> = queries.iter().map(String::as_str).collect();
        let decisions =
            self.sessions.with(|session| session.decide_batch(&self.catalogue, &queries, &options))?;
        decisions.iter().map(|decision| json(to_string(decision))).collect()
    }
}

#[napi]
impl Toolset {
    /// Decides one query; options and the decision are JSON.
    #[napi(ts_return_type = "Promise<string>")]
    pub fn decide(&self, query: String, options: String, cancel: Option<&Cancel>) -> AsyncTask<Work<String>> {
        let (shared, cancel) = (Arc::clone(&self.0), flag(cancel));
        promise(move || shared.decide(&query, &options, Hooks { cancel, on_event: None }))
    }

    /// As `decide`, at once.
    #[napi]
    pub fn decide_sync(
        &self,
        query: String,
        options: String,
        cancel: Option<&Cancel>,
    ) -> Result<String, Thrown> {
        guarded(|| self.0.decide(&query, &options, Hooks { cancel: flag(cancel), on_event: None }))
    }

    /// Decides queries one after the other.
    #[napi(ts_return_type = "Promise<Array<string>>")]
    pub fn decide_batch(&self, queries: Vec<String>, options: String) -> AsyncTask<Work<Vec<String>>> {
        let shared = Arc::clone(&self.0);
        promise(move || shared.decide_batch(&queries, &options))
    }

    /// As `decideBatch`, at once.
    #[napi]
    pub fn decide_batch_sync(&self, queries: Vec<String>, options: String) -> Result<Vec<String>, Thrown> {
        guarded(|| self.0.decide_batch(&queries, &options))
    }

    /// Decides one query and calls `onEvent(kind, call, text)` for every event; the last is the decision's JSON.
    ///
    /// The promise may be fulfilled before the last events have arrived, and is rejected if there is no decision.
    #[napi(
        ts_args_type = "query: string, options: string, cancel: Cancel, onEvent: (kind: string, call: number, text: string) => void",
        ts_return_type = "Promise<boolean>"
    )]
    pub fn stream(
        &self,
        query: String,
        options: String,
        cancel: &Cancel,
        on_event: Listener,
    ) -> AsyncTask<Work<bool>> {
        let (shared, cancel) = (Arc::clone(&self.0), Some(Arc::clone(&cancel.0)));
        promise(move || {
            let send = |kind: &str, call: usize, text: &str| {
                let call = u32::try_from(call).unwrap_or(u32::MAX);
                // Fails only when Node is shutting down, where nobody listens.
                on_event.call(
                    (kind.to_owned(), call, text.to_owned()).into(),
                    ThreadsafeFunctionCallMode::NonBlocking,
                );
            };
            let mut listener = |event: Event<'_>| match event {
                Event::Text(text) => send("text", 0, text),
                Event::ToolName { call, name } => send("tool_name", call, name),
                Event::CallFinished { call } => send("call_finished", call, ""),
                Event::Done => send("done", 0, ""),
            };
            let decision =
                shared.decide(&query, &options, Hooks { cancel, on_event: Some(&mut listener) })?;
            send("decision", 0, &decision);
            Ok(true)
        })
    }

    /// Names of the tools, as the caller spelled them.
    #[napi(getter)]
    pub fn names(&self) -> Vec<String> {
        self.0.catalogue.tools().iter().map(|tool| tool.spec().name.clone()).collect()
    }
}

pub(crate) fn flag(cancel: Option<&Cancel>) -> Option<Arc<AtomicBool>> {
    cancel.map(|cancel| Arc::clone(&cancel.0))
}
