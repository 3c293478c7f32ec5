//! The way of one query: source → decoder → calls → validation → confidence → decision.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::decision::Timings;
use super::{Decision, Grounding, HandoffReason, Options};
use crate::calibration::Features;
use crate::call::{self, ToolCall};
use crate::catalogue::{Catalogue, CompiledTool};
use crate::confidence::{self, Circumstances, Confidence};
use crate::decode::{self, Answer, Hooks, Limits, Source};
use crate::error::{Error, Result};
use crate::grounding::{self, UngroundedArgument};
use crate::session::Session;
use crate::similarity::Similarity;
use crate::trace::{Stop, Trace};
use crate::unexplained::unexplained;

/// A decision with what led to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// What to do.
    pub decision: Decision,
    /// The model's text, with the prompt's spelling of names; empty if the model was not asked.
    pub text: String,
    /// How sure the decoder was; none if the model was not asked.
    pub trace: Option<Trace>,
    /// What the confidence was computed from; none if there is no whole answer.
    pub features: Option<Features>,
}

impl Session {
    /// Decides one query.
    ///
    /// # Errors
    /// [`Error::Option`] for options out of range, a threshold without calibration, or a catalogue of another
    /// model; [`Error::DeadlineExceeded`]; [`Error::Checkpoint`] if the weights overflow. Doubt is no error.
    pub fn decide(&mut self, catalogue: &Arc<Catalogue>, query: &str, options: &Options) -> Result<Decision> {
        Ok(self.decide_with(catalogue, query, options, Hooks::default())?.decision)
    }

    /// Decides several queries, in order; each as [`Self::decide`] would, the deadline counting for each.
    ///
    /// # Errors
    /// As [`Self::decide`], for the first query that fails.
    pub fn decide_batch(
        &mut self,
        catalogue: &Arc<Catalogue>,
        queries: &[&str],
        options: &Options,
    ) -> Result<Vec<Decision>> {
        queries.iter().map(|query| self.decide(catalogue, query, options)).collect()
    }

    /// The retrieval embedding of a query, of length 1: near to that of the tools which it is about.
    ///
    /// # Errors
    /// [`Error::Limit`] if the query is longer than the model's context.
    pub fn embed(&mut self, query: &str) -> Result<Vec<f32>> {
        let model = Arc::clone(self.model());
        decode::embed(self.start().0, &model, query)
    }

    /// The `count` tools nearest to a query by the model's retrieval head: index into the catalogue and cosine, best
    /// first.
    ///
    /// # Errors
    /// [`Error::Option`] for a catalogue of another model; [`Error::Limit`] if the query is longer than the model's context.
    pub fn nearest(
        &mut self,
        catalogue: &Arc<Catalogue>,
        query: &str,
        count: usize,
    ) -> Result<Vec<(usize, f32)>> {
        self.check(catalogue, &Options::default())?;
        decode::nearest(self.start().0, catalogue, query, count)
    }

    /// Decides one query with a listener and a flag to cancel it, and tells what led to the decision.
    ///
    /// # Errors
    /// As [`Self::decide`]; [`Error::Cancelled`].
    pub fn decide_with(
        &mut self,
        catalogue: &Arc<Catalogue>,
        query: &str,
        options: &Options,
        mut hooks: Hooks<'_>,
    ) -> Result<Outcome> {
        let start = Instant::now();
        self.check(catalogue, options)?;
        let mut judge = Judge { catalogue, query, options, start, encoded: None };
        if query.trim().is_empty() {
            return Ok(judge.unasked(HandoffReason::NotAUserTurn, "the query is empty"));
        }
        if catalogue.tools().is_empty() {
            return Ok(judge.unasked(HandoffReason::NoMatchingTool, "there are no tools"));
        }
        let deadline = options.deadline_ms.map(Duration::from_millis);
        hooks.check(start, deadline)?;
        let source = match Source::encode(self.start().0, catalogue, query, options.max_candidates) {
            Err(error @ Error::Limit { .. }) => {
                return Ok(judge.unasked(HandoffReason::InputTooLong, &error.to_string()));
            }
            source => source?,
        };
        judge.encoded = Some(Instant::now());
        let limits =
            Limits { max_calls: options.max_calls, max_tokens: options.max_output_tokens, start, deadline };
        let (network, state) = self.start();
        let answer = decode::decode(network, catalogue, state, &source, limits, &mut hooks)?;
        Ok(judge.judge(&source, answer))
    }

    fn check(&self, catalogue: &Catalogue, options: &Options) -> Result<()> {
        options.validate()?;
        let wrong = |name, problem: &str| Err(Error::Option { name, problem: problem.into() });
        if !Arc::ptr_eq(catalogue.model(), self.model()) {
            return wrong("catalogue", "was compiled for another model; compile it for this session's");
        }
        if options.threshold.is_some_and(|threshold| threshold > 0.0) && self.model().calibration().is_none()
        {
            return wrong("threshold", "needs a calibrated model; run `needle calibrate` or leave it out");
        }
        Ok(())
    }
}

/// Turns one answer into a decision.
struct Judge<'a> {
    catalogue: &'a Catalogue,
    query: &'a str,
    options: &'a Options,
    start: Instant,
    /// When the encoder had finished.
    encoded: Option<Instant>,
}

/// What can be said of an answer's calls.
#[derive(Default)]
struct Findings {
    calls: Vec<ToolCall>,
    confidence: Option<Confidence>,
    ungrounded: Vec<UngroundedArgument>,
}

impl Judge<'_> {
    fn unasked(&self, reason: HandoffReason, detail: &str) -> Outcome {
        let decision = self.hand_off(reason, detail.into(), Findings::default());
        Outcome { decision, text: String::new(), trace: None, features: None }
    }

    fn judge(&self, source: &Source, answer: Answer) -> Outcome {
        let (decision, features) = self.decision(source, &answer);
        Outcome { decision, text: answer.text, trace: Some(answer.trace), features }
    }

    fn decision(&self, source: &Source, answer: &Answer) -> (Decision, Option<Features>) {
        let hand_off = |reason, detail| (self.hand_off(reason, detail, Findings::default()), None);
        if let Some((reason, detail)) = self.unfinished(source, answer) {
            return hand_off(reason, detail);
        }
        let Some(calls) = call::parse(&answer.text) else {
            let detail = "the answer holds a number that is out of range";
            return hand_off(HandoffReason::InvalidArguments, detail.into());
        };
        let candidates: Vec<&CompiledTool> =
            source.candidates.tools.iter().map(|&index| &self.catalogue.tools()[index]).collect();
        let chosen: Option<Vec<usize>> = calls
            .iter()
            .map(|call| candidates.iter().position(|tool| tool.snake_name() == call.name))
            .collect();
        let Some(chosen) = chosen else {
            return hand_off(HandoffReason::NoMatchingTool, "the answer names no tool of the list".into());
        };
        let tools: Vec<&CompiledTool> = chosen.iter().map(|&index| candidates[index]).collect();
        let unexplained = unexplained(self.query, &calls, tools.iter().map(|tool| tool.spec()));
        let mut findings = Findings::default();
        for (index, (mut call, tool)) in calls.into_iter().zip(&tools).enumerate() {
            call.name.clone_from(&tool.spec().name);
            let schema = &tool.spec().parameters;
            findings.ungrounded.extend(grounding::ungrounded(self.query, index, &call, schema));
            findings.calls.push(call);
        }
        let circumstances = Circumstances {
            calls: findings.calls.len(),
            ungrounded: findings.ungrounded.len(),
            retrieval_margin: source.candidates.margin(&chosen),
            similarity: source.similarity.as_ref().map(Similarity::best),
            unexplained,
        };
        let features = confidence::features(&answer.trace, circumstances);
        let calibration = self.catalogue.model().calibration();
        findings.confidence = calibration.map(|calibration| Confidence::of(calibration, &features));
        if self.options.grounding == Grounding::Off {
            findings.ungrounded.clear();
        }
        (self.weigh(findings, &tools), Some(features))
    }

    /// Why an answer that is not whole is handed off.
    fn unfinished(&self, source: &Source, answer: &Answer) -> Option<(HandoffReason, String)> {
        match answer.trace.stop {
            Stop::Complete => None,
            Stop::TooManyCalls => Some((
                HandoffReason::MultiStep,
                format!("the answer needs more than {} calls", self.options.max_calls),
            )),
            Stop::OutputLimit => Some((
                HandoffReason::OutputLimit,
                format!("the answer did not end within {} tokens", self.options.max_output_tokens),
            )),
            Stop::Stuck => {
                let tool = answer.unsupported.map(|index| source.candidates.tools[index]);
                let detail = tool.map_or("the grammar of the arguments gave up".into(), |index| {
                    let tool = &self.catalogue.tools()[index];
                    format!("the schema of {} cannot be enforced: {:?}", tool.spec().name, tool.support())
                });
                Some((HandoffReason::UnsupportedSchema, detail))
            }
        }
    }

    /// Decides on whole calls; only valid, grounded (if asked for) and confident ones are made.
    fn weigh(&self, findings: Findings, tools: &[&CompiledTool]) -> Decision {
        if findings.calls.is_empty() {
            return self.hand_off(
                HandoffReason::NoMatchingTool,
                "the model found no tool that fits".into(),
                findings,
            );
        }
        if let Some(detail) = invalid(&findings.calls, tools) {
            return self.hand_off(HandoffReason::UnsupportedSchema, detail, findings);
        }
        if self.options.grounding == Grounding::Enforce
            && let Some(first) = findings.ungrounded.first()
        {
            let detail = format!("{:?} at {} is not in the query", first.value, first.pointer);
            return self.hand_off(HandoffReason::UngroundedArguments, detail, findings);
        }
        if let (Some(confidence), Some(calibration)) =
            (findings.confidence, self.catalogue.model().calibration())
        {
            #[allow(clippy::cast_possible_truncation, reason = "a threshold within 0 to 1 loses only digits")]
            let threshold = self.options.threshold.unwrap_or(calibration.threshold as f32);
            if confidence.get() < threshold {
                let detail = format!("the confidence {:.3} is below {threshold:.3}", confidence.get());
                return self.hand_off(HandoffReason::LowConfidence, detail, findings);
            }
        }
        let Findings { calls, confidence, ungrounded } = findings;
        Decision::Call { calls, confidence, ungrounded, timings: self.timings() }
    }

    fn hand_off(&self, reason: HandoffReason, detail: String, findings: Findings) -> Decision {
        let Findings { calls: suppressed_calls, confidence, ungrounded } = findings;
        Decision::Handoff {
            reason,
            detail,
            confidence,
            suppressed_calls,
            ungrounded,
            timings: self.timings(),
        }
    }

    fn timings(&self) -> Timings {
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        let total = self.start.elapsed();
        let encode = self.encoded.map_or(total, |encoded| encoded - self.start);
        Timings { encode_ms: ms(encode), decode_ms: ms(total.saturating_sub(encode)), total_ms: ms(total) }
    }
}

/// The first call that its tool's schema does not accept.
fn invalid(calls: &[ToolCall], tools: &[&CompiledTool]) -> Option<String> {
    calls.iter().zip(tools).find_map(|(call, tool)| {
        let Some(validator) = tool.validator() else {
            return Some(format!("the schema of {} cannot be validated against", call.name));
        };
        let arguments = serde_json::Value::Object(call.arguments.clone());
        let failure = validator.validate(&arguments).err()?;
        Some(format!("the arguments of {} do not fit its schema {failure}", call.name))
    })
}
