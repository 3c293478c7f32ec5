//! Requests to a large model, and decisions about them.

use std::sync::Arc;

use napi::bindgen_prelude::AsyncTask;
use napi_derive::napi;
use needle_core::{Hooks, Policy};
use serde_json::to_string;

use crate::border::{Thrown, Work, guarded, json, promise};
use crate::model::Model;
use crate::toolset::{Cancel, flag};

/// Decides requests; any number of decisions may be under way at once.
#[napi]
pub struct Router(Arc<needle_core::Router>);

#[napi]
impl Router {
    /// A router with a policy, which is JSON; each decision shares its work among so many threads.
    #[napi(factory)]
    pub fn create(model: &Model, policy: String, threads: u32) -> Result<Router, Thrown> {
        guarded(|| {
            let policy = Policy::from_json(&policy)?;
            Ok(Self(Arc::new(needle_core::Router::new(model.core(), policy, threads as usize)?)))
        })
    }

    /// Decides the JSON body of a request for `api`; the decision is JSON.
    #[napi(ts_return_type = "Promise<string>")]
    pub fn decide(&self, api: String, body: String, cancel: Option<&Cancel>) -> AsyncTask<Work<String>> {
        let (router, cancel) = (Arc::clone(&self.0), flag(cancel));
        promise(move || {
            let hooks = Hooks { cancel, on_event: None };
            json(to_string(&router.decide(api.parse()?, &body, hooks)?))
        })
    }

    /// Names and cosines of the tools nearest to a request's ask, best first, as JSON.
    #[napi(ts_return_type = "Promise<string>")]
    pub fn nearest(&self, api: String, body: String, count: u32) -> AsyncTask<Work<String>> {
        let router = Arc::clone(&self.0);
        promise(move || json(to_string(&router.nearest(api.parse()?, &body, count as usize)?)))
    }
}
