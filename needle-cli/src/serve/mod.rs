//! A server in front of a large model: one request goes one way, guard → decide → answer or forward → record.

mod answer;
mod events;
mod guard;
mod handler;
mod record;
mod upstream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router as Routes;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use needle_core::Router;
use tokio::sync::Semaphore;

use crate::{Outcome, listen};
use record::Metrics;
use upstream::Upstream;

/// What the command line says.
pub(crate) struct Settings {
    pub(crate) address: SocketAddr,
    pub(crate) upstream: Option<String>,
    pub(crate) upstream_key: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) shadow: bool,
    pub(crate) best_effort: bool,
    /// In bytes.
    pub(crate) max_body: usize,
    pub(crate) max_requests: usize,
    pub(crate) timeout: Duration,
    pub(crate) gen_ai_attributes: bool,
}

/// What all requests share.
struct Server {
    settings: Settings,
    router: Router,
    upstream: Option<Upstream>,
    metrics: Metrics,
    /// Requests that may still begin.
    room: Semaphore,
    /// Decisions that may run at once: more would only slow each other down.
    deciding: Arc<Semaphore>,
}

/// Serves until the process is asked to end, then lets open requests finish.
pub(crate) fn run(router: Router, settings: Settings) -> Outcome {
    tracing_subscriber::fmt().json().flatten_event(true).with_writer(std::io::stderr).init();
    let address = settings.address;
    listen::run(address, routes(Server::new(router, settings)?))
}

impl Server {
    fn new(router: Router, settings: Settings) -> Outcome<Arc<Self>> {
        let upstream = settings
            .upstream
            .as_deref()
            .map(|url| Upstream::new(url, settings.upstream_key.as_deref(), settings.timeout))
            .transpose()?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Arc::new(Self {
            upstream,
            metrics: Metrics::new()?,
            room: Semaphore::new(settings.max_requests),
            deciding: Arc::new(Semaphore::new(cores)),
            router,
            settings,
        }))
    }
}

fn routes(server: Arc<Server>) -> Routes {
    let open = Routes::new().route("/healthz", get(handler::health)).with_state(Arc::clone(&server));
    Routes::new()
        .route("/v1/chat/completions", post(handler::chat))
        .route("/v1/responses", post(handler::responses))
        .route("/v1/messages", post(handler::messages))
        .route("/v1/decide", post(handler::decide))
        .route("/v1/models", get(handler::models))
        .route("/metrics", get(handler::metrics))
        .fallback(handler::forward)
        .layer(from_fn_with_state(Arc::clone(&server), guard::guard))
        .with_state(server)
        .merge(open)
}
