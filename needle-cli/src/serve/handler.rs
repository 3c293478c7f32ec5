//! What happens to a request of each kind.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use needle_core::router::Routed;
use needle_core::{Api, Decision, HandoffReason, Hooks, ToolCall};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Server;
use super::answer::{answer, error, json_body};
use super::record::{Entry, Route};

/// Chat completions.
pub(super) async fn chat(State(server): State<Arc<Server>>, request: Request) -> Response {
    route(&server, Api::Chat, request).await
}

/// Responses.
pub(super) async fn responses(State(server): State<Arc<Server>>, request: Request) -> Response {
    route(&server, Api::Responses, request).await
}

/// Anthropic's messages.
pub(super) async fn messages(State(server): State<Arc<Server>>, request: Request) -> Response {
    route(&server, Api::Messages, request).await
}

/// Whatever else the large model serves.
pub(super) async fn forward(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (parts, body) = match whole(&server, request).await {
        Ok(whole) => whole,
        Err(refused) => return refused,
    };
    match &server.upstream {
        Some(upstream) => {
            let sent = upstream.forward(parts.method, &parts.uri, parts.headers, body).await;
            sent.unwrap_or_else(|unreachable| unreachable)
        }
        None => error(StatusCode::NOT_FOUND, "there is no such path, and no large model to ask (--upstream)"),
    }
}

/// The large model's models, or this one.
pub(super) async fn models(State(server): State<Arc<Server>>, request: Request) -> Response {
    if server.upstream.is_some() {
        return forward(State(server), request).await;
    }
    let model = json!({"id": "needle", "object": "model", "created": 0, "owned_by": "needle-rs"});
    json_body(&json!({"object": "list", "data": [model]}))
}

/// Which API `/v1/decide` reads.
#[derive(Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    api: Option<String>,
}

/// The bare decision about a request.
pub(super) async fn decide(
    State(server): State<Arc<Server>>,
    Query(which): Query<Which>,
    request: Request,
) -> Response {
    let name = which.api.as_deref().unwrap_or(Api::Chat.name());
    let api: Api = match name.parse() {
        Ok(api) => api,
        Err(unknown) => return error(StatusCode::BAD_REQUEST, &unknown.to_string()),
    };
    let read = match whole(&server, request).await {
        Ok((_, body)) => body_object(&body),
        Err(refused) => return refused,
    };
    let Some(body) = read else { return error(StatusCode::BAD_REQUEST, "the body is no JSON object") };
    match decision(&server, api, &body).await {
        Ok(routed) => match serde_json::to_value(&routed) {
            Ok(value) => json_body(&value),
            Err(failure) => error(StatusCode::INTERNAL_SERVER_ERROR, &failure.to_string()),
        },
        Err(failure) => error(StatusCode::INTERNAL_SERVER_ERROR, &failure),
    }
}

pub(super) async fn health() -> &'static str {
    "ok"
}

pub(super) async fn metrics(State(server): State<Arc<Server>>) -> Response {
    match server.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(failure) => error(StatusCode::INTERNAL_SERVER_ERROR, &failure.to_string()),
    }
}

/// Decides, and answers or forwards.
async fn route(server: &Server, api: Api, request: Request) -> Response {
    let start = Instant::now();
    let (parts, bytes) = match whole(server, request).await {
        Ok(whole) => whole,
        Err(refused) => return refused,
    };
    let Some(body) = body_object(&bytes) else {
        // The large model has its own words for what is wrong.
        return match &server.upstream {
            Some(upstream) => upstream.forward(parts.method, &parts.uri, parts.headers, bytes).await,
            None => Err(error(StatusCode::BAD_REQUEST, "the body is no JSON object")),
        }
        .unwrap_or_else(|unreachable| unreachable);
    };
    let routed = match decision(server, api, &body).await {
        Ok(routed) => routed,
        Err(failure) => handed_off(&failure),
    };
    let decided = start.elapsed();
    let shadow = server.settings.shadow;
    let (route, response) = match (&server.upstream, routed.decision.calls()) {
        (None, calls @ [_, ..]) => (Route::Local, answer(api, &body, calls)),
        (None, []) => (Route::Handoff, answer(api, &body, &[])),
        (Some(_), calls @ [_, ..]) if !shadow => (Route::Local, answer(api, &body, calls)),
        (Some(upstream), _) => {
            let usual = if shadow { Route::Shadow } else { Route::Handoff };
            match upstream.forward(parts.method, &parts.uri, parts.headers, bytes).await {
                Ok(response) => (usual, response),
                Err(unreachable) => match held_back(&routed.decision) {
                    [] => (usual, unreachable),
                    _ if !server.settings.best_effort => (usual, unreachable),
                    calls => (Route::BestEffort, answer(api, &body, calls)),
                },
            }
        }
    };
    let entry = Entry {
        api: api.name(),
        model: body.get("model").and_then(Value::as_str).unwrap_or_default(),
        route,
        routed: &routed,
        status: response.status(),
        decided,
        total: start.elapsed(),
    };
    server.metrics.record(&entry);
    entry.log(server.settings.gen_ai_attributes);
    with_headers(response, &entry)
}

/// The calls that doubt alone has held back.
fn held_back(decision: &Decision) -> &[ToolCall] {
    match decision {
        Decision::Call { calls, .. }
        | Decision::Handoff { reason: HandoffReason::LowConfidence, suppressed_calls: calls, .. } => calls,
        Decision::Handoff { .. } => &[],
    }
}

/// Decides on a thread that may block.
async fn decision(server: &Server, api: Api, body: &Map<String, Value>) -> Result<Routed, String> {
    let request = needle_core::Request::read(api, body);
    let _turn = server.deciding.acquire().await.map_err(|closed| closed.to_string())?;
    // What a panic leaves half done is dropped with its session.
    let work = AssertUnwindSafe(|| server.router.decide_request(&request, Hooks::default()));
    // The work is a few milliseconds; the other threads of the runtime go on.
    match tokio::task::block_in_place(|| catch_unwind(work)) {
        Ok(decided) => decided.map_err(|failure| failure.to_string()),
        Err(_) => Err("the engine panicked".into()),
    }
}

/// An engine that fails must not take the large model away.
fn handed_off(failure: &str) -> Routed {
    tracing::error!(failure, "the engine failed");
    let decision = Decision::Handoff {
        reason: HandoffReason::UnsupportedRequest,
        detail: failure.to_owned(),
        confidence: None,
        suppressed_calls: Vec::new(),
        ungrounded: Vec::new(),
        timings: needle_core::router::Timings::default(),
    };
    Routed { decision, seen: needle_core::router::Seen::default() }
}

fn with_headers(mut response: Response, entry: &Entry<'_>) -> Response {
    let ms = |duration: Duration| format!("{:.3}", duration.as_secs_f64() * 1e3);
    let confidence = entry.routed.decision.confidence().map(|confidence| format!("{:.4}", confidence.get()));
    let headers: &mut HeaderMap = response.headers_mut();
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set("x-needle-route", entry.route.name());
    set("x-needle-latency", &ms(entry.decided));
    if let Some(confidence) = confidence {
        set("x-needle-confidence", &confidence);
    }
    if !entry.reason().is_empty() {
        set("x-needle-reason", entry.reason());
    }
    response
}

/// The request with its whole body, within the limits of size and time.
async fn whole(
    server: &Server,
    request: Request<Body>,
) -> Result<(axum::http::request::Parts, Bytes), Response> {
    let (parts, body) = request.into_parts();
    let limit = server.settings.max_body;
    match tokio::time::timeout(server.settings.timeout, to_bytes(body, limit)).await {
        Ok(Ok(bytes)) => Ok((parts, bytes)),
        Ok(Err(_)) => {
            let message = format!("the body broke off or is larger than {} MiB (--max-body)", limit >> 20);
            Err(error(StatusCode::PAYLOAD_TOO_LARGE, &message))
        }
        Err(_) => Err(error(StatusCode::REQUEST_TIMEOUT, "the body took too long")),
    }
}

fn body_object(bytes: &Bytes) -> Option<Map<String, Value>> {
    serde_json::from_slice(bytes).ok()
}
