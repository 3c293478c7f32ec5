//! A page on which to try tools and requests, and what it asks.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router as Routes;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use needle_core::{Decision, Options, ToolCall};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::commands::run::Runner;
use crate::{Outcome, listen};

const PAGE: &str = include_str!("playground.html");

/// The page may ask this server and nobody else.
const SECURITY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
                        img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

struct Playground {
    runner: Mutex<Runner>,
    /// JSON text that the page begins with.
    tools: Option<String>,
}

/// Serves the page until the process is asked to end.
pub(crate) fn run(address: SocketAddr, runner: Runner, tools: Option<String>) -> Outcome {
    let playground = Arc::new(Playground { runner: Mutex::new(runner), tools });
    let routes = Routes::new()
        .route("/", get(page))
        .route("/start", get(start))
        .route("/decide", post(decide))
        .layer(from_fn(on_this_machine))
        .with_state(playground);
    listen::run(address, routes)
}

/// Refuses requests for another name than this machine's: a page elsewhere may have let its own name point here.
async fn on_this_machine(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()) {
        return next.run(request).await;
    }
    (StatusCode::FORBIDDEN, "open the playground as http://127.0.0.1").into_response()
}

async fn page() -> Response {
    ([(header::CONTENT_SECURITY_POLICY, SECURITY)], Html(PAGE)).into_response()
}

/// What the page begins with.
#[derive(Serialize)]
struct Start<'a> {
    tools: Option<&'a str>,
    /// The model's own; none without calibration.
    threshold: Option<f64>,
}

async fn start(State(playground): State<Arc<Playground>>) -> Response {
    let Ok(runner) = playground.runner.lock() else { return panicked() };
    let threshold = runner.session.model().calibration().map(|calibration| calibration.threshold);
    drop(runner);
    json(&Start { tools: playground.tools.as_deref(), threshold })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    query: String,
    tools: Value,
    #[serde(default)]
    options: Options,
}

/// A decision, and the calls that it makes or holds back.
#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    decision: Decision,
    written: Vec<Written>,
}

/// A call whose arguments are JSON text, in which the page finds all digits of a number.
#[derive(Serialize)]
struct Written {
    name: String,
    arguments: String,
}

/// A decision, or 400 and what is wrong.
async fn decide(State(playground): State<Arc<Playground>>, headers: HeaderMap, body: Bytes) -> Response {
    // Pages of other origins cannot send this type without asking first, and are not answered then.
    if headers.get(header::CONTENT_TYPE).is_none_or(|sent| sent != "application/json") {
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json").into_response();
    }
    // The work is a few milliseconds; the other threads of the runtime go on.
    tokio::task::block_in_place(|| {
        let Ok(mut runner) = playground.runner.lock() else { return panicked() };
        match answer(&mut runner, &body) {
            Ok(answer) => json(&answer),
            Err(wrong) => (StatusCode::BAD_REQUEST, wrong.to_string()).into_response(),
        }
    })
}

fn answer(runner: &mut Runner, body: &[u8]) -> Outcome<Answer> {
    let ask: Ask = serde_json::from_slice(body)?;
    ask.options.validate()?;
    let catalogue = runner.catalogue(&ask.tools.to_string())?;
    let decision = runner.session.decide(&catalogue, &ask.query, &ask.options)?;
    let (Decision::Call { calls, .. } | Decision::Handoff { suppressed_calls: calls, .. }) = &decision;
    let text = |call: &ToolCall| {
        let arguments = serde_json::to_string_pretty(&call.arguments)?;
        Ok::<_, serde_json::Error>(Written { name: call.name.clone(), arguments })
    };
    let written = calls.iter().map(text).collect::<Result<_, _>>()?;
    Ok(Answer { decision, written })
}

fn json(value: &impl Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Err(failure) => (StatusCode::INTERNAL_SERVER_ERROR, failure.to_string()).into_response(),
    }
}

fn panicked() -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, "the engine panicked; start the playground again").into_response()
}
