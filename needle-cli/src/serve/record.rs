//! What is remembered of a request: counts, times and a log line, never its text.

use std::time::Duration;

use axum::http::StatusCode;
use needle_core::router::Routed;
use prometheus::{Encoder, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder};

use crate::Outcome;

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// From here.
    Local,
    /// From the large model, or from nobody if there is none.
    Handoff,
    /// From the large model, whatever was decided.
    Shadow,
    /// From here against doubt, because the large model cannot be reached.
    BestEffort,
}

impl Route {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Handoff => "handoff",
            Self::Shadow => "shadow",
            Self::BestEffort => "best-effort",
        }
    }
}

/// Prometheus' figures.
pub(super) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    responses: IntCounterVec,
    decisions: HistogramVec,
}

impl Metrics {
    pub(super) fn new() -> Outcome<Self> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| -> Outcome<IntCounterVec> {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let requests = counter(
            "needle_requests_total",
            "Requests by API, route and reason.",
            &["api", "route", "reason"],
        )?;
        let responses = counter("needle_responses_total", "Answers by status.", &["status"])?;
        let buckets = vec![0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5];
        let help = "Time from a request's body to its decision.";
        let decisions = HistogramVec::new(
            HistogramOpts::new("needle_decision_seconds", help).buckets(buckets),
            &["api"],
        )?;
        registry.register(Box::new(decisions.clone()))?;
        Ok(Self { registry, requests, responses, decisions })
    }

    /// All of it in Prometheus' text form.
    pub(super) fn text(&self) -> Outcome<String> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8(text)?)
    }

    pub(super) fn record(&self, entry: &Entry<'_>) {
        let reason = entry.reason();
        self.requests.with_label_values(&[entry.api, entry.route.name(), reason]).inc();
        self.responses.with_label_values(&[entry.status.as_str()]).inc();
        self.decisions.with_label_values(&[entry.api]).observe(entry.decided.as_secs_f64());
    }
}

/// One request.
pub(super) struct Entry<'a> {
    pub(super) api: &'static str,
    pub(super) model: &'a str,
    pub(super) route: Route,
    pub(super) routed: &'a Routed,
    pub(super) status: StatusCode,
    /// Until the decision.
    pub(super) decided: Duration,
    /// Until the answer's head.
    pub(super) total: Duration,
}

impl Entry<'_> {
    /// The hand-off's reason; empty for calls.
    pub(super) fn reason(&self) -> &'static str {
        self.routed.decision.reason().map_or("", needle_core::HandoffReason::name)
    }

    /// Writes one line, with OpenTelemetry's names beside the own ones if asked for.
    pub(super) fn log(&self, gen_ai_attributes: bool) {
        let confidence = self.routed.decision.confidence().map(|confidence| f64::from(confidence.get()));
        let (api, route, reason) = (self.api, self.route.name(), self.reason());
        let (status, tools, cached) = (self.status.as_u16(), self.routed.seen.tools, self.routed.seen.cached);
        let calls = self.routed.decision.calls().len();
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        let (decided_ms, total_ms) = (ms(self.decided), ms(self.total));
        if gen_ai_attributes {
            tracing::info!(
                api,
                route,
                reason,
                confidence,
                status,
                tools,
                cached,
                calls,
                decided_ms,
                total_ms,
                gen_ai.operation.name = "chat",
                gen_ai.provider.name = if self.route == Route::Local { "needle" } else { "upstream" },
                gen_ai.request.model = self.model,
                "request"
            );
        } else {
            tracing::info!(
                api, route, reason, confidence, status, tools, cached, calls, decided_ms, total_ms, "request"
            );
        }
    }
}
