//! `needle serve`: a router in front of a large model.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use needle_core::{Policy, Router};

use crate::Outcome;
use crate::model::ModelOption;
use crate::serve::{Settings, run};

/// Answer small tool calls locally and forward everything else, unchanged, to a large model.
///
/// Speaks OpenAI's chat completions and responses and Anthropic's messages; all other paths are forwarded.
#[derive(Args)]
#[command(after_help = "Examples:
  needle serve --upstream https://api.openai.com     (then give http://127.0.0.1:8787/v1 to the client as base URL)
  needle serve                                       (no large model: a hand-off is an answer without calls)
  needle serve --upstream http://localhost:11434 --shadow --policy policy.json

Response headers: x-needle-route (local, handoff, shadow or best-effort), x-needle-reason, x-needle-confidence,
x-needle-latency (milliseconds). GET /healthz, GET /metrics (Prometheus), POST /v1/decide (the bare decision).")]
pub(crate) struct Serve {
    /// Base URL of the large model's API; without it a hand-off is an answer without calls
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// Address to listen on; other than loopback needs --token
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 8787)]
    port: u16,
    /// Demand this token, as `Authorization: Bearer` (then not forwarded) or as `x-needle-token`
    #[arg(long, env = "NEEDLE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Environment variable whose value is sent to the large model as bearer token instead of the client's
    #[arg(long, value_name = "NAME")]
    upstream_key_env: Option<String>,
    /// What may be answered locally: file of JSON (schemas/policy.schema.json)
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Decide and record, but always forward
    #[arg(long, requires = "upstream")]
    shadow: bool,
    /// When the large model cannot be reached, answer with the calls that doubt has held back
    #[arg(long, requires = "upstream")]
    best_effort: bool,
    /// Largest request in MiB
    #[arg(long, value_name = "MIB", default_value_t = 16)]
    max_body: usize,
    /// Most requests at once; more are refused with 503
    #[arg(long, value_name = "N", default_value_t = 256)]
    max_requests: usize,
    /// Seconds for a client to send its request, and for the large model to say more
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    timeout: u64,
    /// Threads that share the work of one decision
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Add OpenTelemetry's names for generative AI to each log line
    #[arg(long)]
    gen_ai_attributes: bool,
    #[command(flatten)]
    model: ModelOption,
}

impl Serve {
    pub(crate) fn run(&self) -> Outcome {
        if !self.host.is_loopback() && self.token.is_none() {
            return Err(format!("{} can be reached from outside: demand a --token", self.host).into());
        }
        let policy = match &self.policy {
            None => Policy::default(),
            Some(path) => {
                let text =
                    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
                Policy::from_json(&text)?
            }
        };
        let upstream_key = match &self.upstream_key_env {
            None => None,
            Some(name) => {
                Some(std::env::var(name).map_err(|error| format!("--upstream-key-env {name}: {error}"))?)
            }
        };
        let router = Router::new(&self.model.load()?, policy, self.threads)?;
        run(
            router,
            Settings {
                address: SocketAddr::new(self.host, self.port),
                upstream: self.upstream.clone(),
                upstream_key,
                token: self.token.clone(),
                shadow: self.shadow,
                best_effort: self.best_effort,
                max_body: self.max_body << 20,
                max_requests: self.max_requests,
                timeout: Duration::from_secs(self.timeout),
                gen_ai_attributes: self.gen_ai_attributes,
            },
        )
    }
}
