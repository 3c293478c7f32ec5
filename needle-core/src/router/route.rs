//! A router: requests to a large model in, decisions out. One for all bindings and the server.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use lru::LruCache;
use serde::Serialize;

use super::nullable::{fill_nulls, without_nulls};
use super::policy::{Policy, ProviderTools};
use super::request::{Api, Request};
use super::{Decision, HandoffReason, Timings};
use crate::call::ToolCall;
use crate::catalogue::Catalogue;
use crate::decode::Hooks;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::sessions::Sessions;
use crate::tool::{ToolSpec, Toolset};

/// A decision about a request, and what it was made of: never the text itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Routed {
    /// What to do.
    #[serde(flatten)]
    pub decision: Decision,
    /// What was looked at.
    pub seen: Seen,
}

/// What a router looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Seen {
    /// Index of the message that holds the ask; none if there is none.
    pub message: Option<usize>,
    /// How many tools could be called.
    pub tools: usize,
    /// Whether the tools were compiled already.
    pub cached: bool,
    /// Time for reading the request and compiling its tools, in milliseconds.
    pub prepare_ms: f64,
}

/// Decides requests; any number of threads may use it at once.
#[derive(Debug)]
pub struct Router {
    model: Arc<Model>,
    policy: Policy,
    sessions: Sessions,
    compiled: Mutex<LruCache<Key, Arc<Compiled>>>,
}

/// The tools' text, and the only one that may be called.
type Key = (String, Option<String>);

/// A request's tools, ready to decide over, or why nothing can be decided over them.
#[derive(Debug)]
struct Compiled {
    catalogue: Arc<Catalogue>,
    /// The tools as the caller gave them, nulls included, in the order of the catalogue.
    given: Vec<ToolSpec>,
    refused: Option<(HandoffReason, String)>,
}

impl Router {
    /// A router whose compiling of tools and whose decisions share their work among `threads` threads each.
    ///
    /// # Errors
    /// [`Error::Option`] for a policy out of range, thresholds without calibration, or an impossible number of threads.
    pub fn new(model: &Arc<Model>, policy: Policy, threads: usize) -> Result<Self> {
        policy.validate()?;
        if policy.wants_confidence() && model.calibration().is_none() {
            let problem = "needs a calibrated model; run `needle calibrate` or leave it out".into();
            return Err(Error::Option { name: "threshold", problem });
        }
        let capacity = NonZeroUsize::new(policy.cached_toolsets).unwrap_or(NonZeroUsize::MIN);
        Ok(Self {
            model: Arc::clone(model),
            policy,
            sessions: Sessions::new(model, threads)?,
            compiled: Mutex::new(LruCache::new(capacity)),
        })
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// What may be answered locally.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Decides the JSON body of a request. Whatever is wrong with it is a hand-off: the large model may know better.
    ///
    /// # Errors
    /// [`Error::Cancelled`]; [`Error::Checkpoint`] if the weights overflow.
    pub fn decide(&self, api: Api, body: &str, hooks: Hooks<'_>) -> Result<Routed> {
        let start = Instant::now();
        self.route(&Request::parse(api, body), start, hooks)
    }

    /// As [`Self::decide`], for a request that is read already.
    ///
    /// # Errors
    /// As [`Self::decide`].
    pub fn decide_request(&self, request: &Request, hooks: Hooks<'_>) -> Result<Routed> {
        self.route(request, Instant::now(), hooks)
    }

    /// The tools of a request that are nearest to its ask, with their cosines, best first: what to show the large model
    /// where there are too many. Empty if nothing can be said, such as without an ask or with tools of the provider.
    ///
    /// # Errors
    /// As [`Self::decide`].
    pub fn nearest(&self, api: Api, body: &str, count: usize) -> Result<Vec<(String, f32)>> {
        let request = Request::parse(api, body);
        if request.ask.is_empty() {
            return Ok(Vec::new());
        }
        let (compiled, _) = self.compile(&request)?;
        if compiled.refused.is_some() {
            return Ok(Vec::new());
        }
        let found = self.sessions.with(|session| session.nearest(&compiled.catalogue, &request.ask, count));
        match found {
            Err(Error::Limit { .. }) => Ok(Vec::new()),
            found => Ok(found?
                .into_iter()
                .map(|(index, cosine)| (compiled.given[index].name.clone(), cosine))
                .collect()),
        }
    }

    fn route(&self, request: &Request, start: Instant, hooks: Hooks<'_>) -> Result<Routed> {
        let mut seen = Seen { message: request.message, ..Seen::default() };
        let prepared = |seen: &mut Seen| seen.prepare_ms = start.elapsed().as_secs_f64() * 1e3;
        let hand_off = |reason: HandoffReason, detail: &str, seen: Seen| {
            let decision = Decision::unasked(
                reason,
                detail.to_owned(),
                Timings { total_ms: seen.prepare_ms, ..Timings::default() },
            );
            Ok(Routed { decision, seen })
        };
        if let Some((reason, detail)) = &request.obstacle {
            prepared(&mut seen);
            return hand_off(*reason, detail, seen);
        }
        let (compiled, cached) = self.compile(request)?;
        (seen.tools, seen.cached) = (compiled.given.len(), cached);
        prepared(&mut seen);
        if let Some((reason, detail)) = &compiled.refused {
            return hand_off(*reason, detail, seen);
        }
        let decision = self.sessions.with(|session| {
            // A call is weighed by the bar of its own tool, below.
            let threshold = self.model.calibration().map(|_| 0.0);
            let options = super::Options { threshold, ..self.policy.options(request.parallel) };
            let decided = session.decide_with(&compiled.catalogue, &request.ask, &options, hooks);
            Ok(decided?.decision)
        });
        match decision {
            Err(Error::DeadlineExceeded) => hand_off(HandoffReason::Deadline, "the deadline passed", seen),
            decision => Ok(Routed { decision: self.weigh(decision?, &compiled), seen }),
        }
    }

    /// Hands calls off that this policy does not allow, and gives the others the nulls that their schemas require.
    fn weigh(&self, decision: Decision, compiled: &Compiled) -> Decision {
        let Decision::Call { mut calls, confidence, ungrounded, timings } = decision else { return decision };
        for call in &mut calls {
            if let Some(tool) = compiled.tool(call) {
                fill_nulls(&mut call.arguments, &tool.parameters);
            }
        }
        let objection = calls
            .iter()
            .find_map(|call| self.objection(call, confidence.map(crate::Confidence::get), compiled));
        match objection {
            None => Decision::Call { calls, confidence, ungrounded, timings },
            Some((reason, detail)) => {
                Decision::Handoff { reason, detail, confidence, suppressed_calls: calls, ungrounded, timings }
            }
        }
    }

    fn objection(
        &self,
        call: &ToolCall,
        confidence: Option<f32>,
        compiled: &Compiled,
    ) -> Option<(HandoffReason, String)> {
        let name = &call.name;
        if self.policy.never.contains(name) {
            return Some((HandoffReason::DeniedTool, format!("{name} is never called locally")));
        }
        let (confidence, calibration) = (confidence?, self.model.calibration()?);
        #[allow(clippy::cast_possible_truncation, reason = "a threshold within 0 to 1 loses only digits")]
        let usual = calibration.threshold as f32;
        let annotations = compiled.tool(call).map(|tool| tool.annotations).unwrap_or_default();
        let bar = self.policy.bar(name, annotations, usual);
        (confidence < bar).then(|| {
            (
                HandoffReason::LowConfidence,
                format!("the confidence {confidence:.3} is below {bar:.3} for {name}"),
            )
        })
    }

    /// The request's tools, and whether they were compiled already.
    fn compile(&self, request: &Request) -> Result<(Arc<Compiled>, bool)> {
        let key = (request.tools.clone(), request.only.clone());
        let lock = || self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(compiled) = lock().get(&key) {
            return Ok((Arc::clone(compiled), true));
        }
        // Outside the lock: others go on; two that compile the same at once do it twice.
        let compiled = Arc::new(self.compile_anew(request)?);
        lock().put(key, Arc::clone(&compiled));
        Ok((compiled, false))
    }

    fn compile_anew(&self, request: &Request) -> Result<Compiled> {
        let (mut given, mut refused) = (Vec::new(), None);
        if request.tools.is_empty() {
            refused = Some((HandoffReason::NoMatchingTool, "there are no tools".into()));
        } else {
            match Toolset::parse(&request.tools) {
                Err(error) => refused = Some((HandoffReason::UnsupportedSchema, error.to_string())),
                Ok(set) => {
                    if let (Some(tool), ProviderTools::HandOff) =
                        (set.provider.first(), self.policy.provider_tools)
                    {
                        let detail = format!("{} ({}) is a tool of the provider", tool.tool, tool.kind);
                        refused = Some((HandoffReason::UnsupportedRequest, detail));
                    }
                    given = set.local;
                }
            }
        }
        if let Some(only) = &request.only {
            given.retain(|tool| tool.name == *only);
        }
        if given.is_empty() {
            refused.get_or_insert_with(|| (HandoffReason::NoMatchingTool, "there is no tool to call".into()));
        }
        let shown = if refused.is_none() { given.as_slice() } else { &[] };
        let shown = shown
            .iter()
            .map(|tool| ToolSpec { parameters: without_nulls(&tool.parameters), ..tool.clone() })
            .collect();
        let catalogue = Catalogue::compile_with_threads(&self.model, shown, self.sessions.threads())?;
        Ok(Compiled { catalogue, given, refused })
    }
}

impl Compiled {
    fn tool(&self, call: &ToolCall) -> Option<&ToolSpec> {
        self.given.iter().find(|tool| tool.name == call.name)
    }
}
