//! `needle serve` as a client and a large model see it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use reqwest::Client;
use serde_json::{Value, json};
use tokio_stream::StreamExt;

/// A running server, ended when it is dropped.
struct Needle {
    child: Child,
    url: String,
}

/// Written once: a server that another test starts must not read it half-written.
static POLICY: LazyLock<PathBuf> = LazyLock::new(|| {
    let policy = std::env::temp_dir().join(format!("needle-policy-{}.json", std::process::id()));
    std::fs::write(&policy, r#"{"threshold":0}"#).unwrap();
    policy
});

impl Needle {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_needle"))
            .args(["serve", "--port", "0", "--policy"])
            .arg(&*POLICY)
            .args(arguments)
            .env("UPSTREAM_KEY", "large-key")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").unwrap().to_owned();
        // The log must be read, or the server would wait for room in the pipe.
        std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
        Self { child, url }
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }
}

impl Drop for Needle {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

/// A large model that answers what the path and the body ask for.
async fn large_model() -> String {
    async fn answer(uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
        let text = String::from_utf8_lossy(&body).into_owned();
        let ask = serde_json::from_str::<Value>(&text).map_or(String::new(), |body| {
            body["messages"][0]["content"].as_str().unwrap_or_default().to_owned()
        });
        match ask.as_str() {
            "say 429" => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "7")], "slow down").into_response(),
            "say 500" => (StatusCode::INTERNAL_SERVER_ERROR, "oops").into_response(),
            "break off" => {
                let parts = tokio_stream::iter([Ok("data: one\n\n"), Err(std::io::Error::other("gone"))]);
                // Time for the first part to arrive.
                Body::from_stream(parts.throttle(Duration::from_millis(200))).into_response()
            }
            "be slow" => {
                let parts =
                    tokio_stream::iter(["data: one\n\n", "data: two\n\n"].map(Ok::<_, std::io::Error>));
                (
                    [("content-type", "text/event-stream")],
                    Body::from_stream(parts.throttle(Duration::from_millis(500))),
                )
                    .into_response()
            }
            _ => {
                let given: serde_json::Map<String, Value> = headers
                    .iter()
                    .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().into()))
                    .collect();
                let seen = json!({"uri": uri.to_string(), "headers": given, "body": text});
                ([("x-large", "yes"), ("content-type", "application/json")], seen.to_string()).into_response()
            }
        }
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await.unwrap() });
    url
}

fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().build().unwrap()
}

fn dim_lights() -> Value {
    json!({"type": "object", "properties": {
        "room": {"type": "string", "description": "Room where the lights are"},
        "level": {"type": "integer", "minimum": 0, "maximum": 100, "description": "Brightness in percent"},
    }, "required": ["room", "level"]})
}

const DESCRIPTION: &str = "Dim the lights in a room to a brightness level.";

fn chat(ask: &str) -> Value {
    let function = json!({"name": "dim_lights", "description": DESCRIPTION, "parameters": dim_lights()});
    json!({
        "model": "large-1",
        "messages": [{"role": "user", "content": ask}],
        "tools": [{"type": "function", "function": function}],
    })
}

const ASK: &str = "dim the lights in the bedroom to 30 percent";

async fn post(url: String, body: &Value) -> reqwest::Response {
    client().post(url).json(body).send().await.unwrap()
}

fn header(response: &reqwest::Response, name: &str) -> String {
    response.headers().get(name).map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_answered_in_the_form_of_each_api() {
    let needle = Needle::start(&[]);
    let response = post(needle.at("/v1/chat/completions"), &chat(ASK)).await;
    assert_eq!((response.status().as_u16(), header(&response, "x-needle-route")), (200, "local".into()));
    assert!(header(&response, "x-needle-confidence").parse::<f32>().unwrap() > 0.0);
    assert!(header(&response, "x-needle-latency").parse::<f32>().unwrap() > 0.0);
    let body: Value = response.json().await.unwrap();
    let choice = &body["choices"][0];
    assert_eq!((&choice["finish_reason"], &body["model"]), (&json!("tool_calls"), &json!("large-1")));
    let function = json!({"name": "dim_lights", "arguments": r#"{"room":"bedroom","level":30}"#});
    assert_eq!(choice["message"]["tool_calls"][0]["function"], function);
    assert_eq!(choice["message"]["content"], Value::Null);

    let tool = json!({"type": "function", "name": "dim_lights", "description": DESCRIPTION, "parameters": dim_lights()});
    let body: Value =
        post(needle.at("/v1/responses"), &json!({"input": ASK, "tools": [tool]})).await.json().await.unwrap();
    assert_eq!(body["output"][0]["arguments"], r#"{"room":"bedroom","level":30}"#);
    assert_eq!(body["status"], "completed");

    let tool = json!({"name": "dim_lights", "description": DESCRIPTION, "input_schema": dim_lights()});
    let body = json!({"max_tokens": 9, "messages": [{"role": "user", "content": ASK}], "tools": [tool]});
    let body: Value = post(needle.at("/v1/messages"), &body).await.json().await.unwrap();
    assert_eq!(body["content"][0]["input"], json!({"room": "bedroom", "level": 30}));
    assert_eq!(body["stop_reason"], "tool_use");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_hold_the_same_calls() {
    let needle = Needle::start(&[]);
    let mut body = chat(ASK);
    body["stream"] = true.into();
    body["stream_options"] = json!({"include_usage": true});
    let response = post(needle.at("/v1/chat/completions"), &body).await;
    assert_eq!(header(&response, "content-type"), "text/event-stream");
    let text = response.text().await.unwrap();
    let events: Vec<&str> = text.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect();
    assert_eq!((events.len(), events[3]), (4, "[DONE]"));
    let first: Value = serde_json::from_str(events[0]).unwrap();
    let call = &first["choices"][0]["delta"]["tool_calls"][0];
    assert_eq!((&call["index"], &call["function"]["name"]), (&json!(0), &json!("dim_lights")));

    let tool = json!({"name": "dim_lights", "description": DESCRIPTION, "input_schema": dim_lights()});
    let body = json!({"stream": true, "messages": [{"role": "user", "content": ASK}], "tools": [tool]});
    let text = post(needle.at("/v1/messages"), &body).await.text().await.unwrap();
    let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!(
        names,
        [
            "message_start",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_large_model_a_hand_off_is_an_empty_answer() {
    let needle = Needle::start(&[]);
    let response = post(needle.at("/v1/chat/completions"), &chat("why is the sky blue")).await;
    assert_eq!(header(&response, "x-needle-route"), "handoff");
    assert_eq!(header(&response, "x-needle-reason"), "no_matching_tool");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["choices"][0]["message"], json!({"role": "assistant", "content": "", "refusal": null}));
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    for (path, status) in [("/healthz", 200), ("/v1/models", 200), ("/metrics", 200), ("/v1/embeddings", 404)]
    {
        assert_eq!(client().get(needle.at(path)).send().await.unwrap().status(), status, "{path}");
    }
    let metrics = client().get(needle.at("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(
        metrics.contains(r#"needle_requests_total{api="chat",reason="no_matching_tool",route="handoff"} 1"#)
    );
    let decided: Value = post(needle.at("/v1/decide"), &chat(ASK)).await.json().await.unwrap();
    assert_eq!((&decided["decision"], &decided["seen"]["message"]), (&json!("call"), &json!(0)));
    let wrong = client().post(needle.at("/v1/chat/completions")).body("[").send().await.unwrap();
    assert_eq!(wrong.status(), 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_handed_off_reaches_the_large_model_as_it_was() {
    let upstream = large_model().await;
    let needle = Needle::start(&["--upstream", &upstream]);
    // Spacing, order and numbers that a parser would change.
    let body = r#"{"messages" : [ {"role":"user","content":"why is the sky blue"}],"temperature":1.0, "seed":12345678901234567890}"#;
    let response = client()
        .post(needle.at("/v1/chat/completions?beta=1"))
        .header("authorization", "Bearer secret")
        .header("openai-organization", "org")
        .header("accept-encoding", "br")
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(
        (header(&response, "x-large"), header(&response, "x-needle-route")),
        ("yes".into(), "handoff".into())
    );
    let seen: Value = response.json().await.unwrap();
    assert_eq!(seen["body"], body);
    assert_eq!(seen["uri"], "/v1/chat/completions?beta=1");
    for (name, value) in
        [("authorization", "Bearer secret"), ("openai-organization", "org"), ("accept-encoding", "br")]
    {
        assert_eq!(seen["headers"][name], value, "{name}");
    }
    assert_eq!(seen["headers"]["host"], upstream.strip_prefix("http://").unwrap());
    let other = client().get(needle.at("/v1/embeddings")).send().await.unwrap();
    assert_eq!(other.json::<Value>().await.unwrap()["uri"], "/v1/embeddings");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_large_models_failures_are_the_clients() {
    let needle = Needle::start(&["--upstream", &large_model().await]);
    let ask = async |text: &str| post(needle.at("/v1/chat/completions"), &chat(text)).await;
    let limited = ask("say 429").await;
    assert_eq!((limited.status().as_u16(), header(&limited, "retry-after")), (429, "7".into()));
    assert_eq!(limited.text().await.unwrap(), "slow down");
    let broken = ask("say 500").await;
    assert_eq!((broken.status().as_u16(), broken.text().await.unwrap()), (500, "oops".into()));
    let mut parts = ask("break off").await.bytes_stream();
    assert_eq!(parts.next().await.unwrap().unwrap(), "data: one\n\n");
    assert!(parts.next().await.unwrap().is_err());
    // Each part arrives when it is sent, not at the end.
    let start = Instant::now();
    let mut parts = ask("be slow").await.bytes_stream();
    assert_eq!(parts.next().await.unwrap().unwrap(), "data: one\n\n");
    assert!(start.elapsed() < Duration::from_millis(450));
    assert_eq!(parts.next().await.unwrap().unwrap(), "data: two\n\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_model_that_is_gone_is_a_502_or_a_best_effort() {
    // A port that was just free.
    let gone = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let needle = Needle::start(&["--upstream", &gone]);
    let response = post(needle.at("/v1/chat/completions"), &chat("why is the sky blue")).await;
    assert_eq!(response.status(), 502);
    let body: Value = response.json().await.unwrap();
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("the large model cannot be reached"), "{message}");
    // In shadow mode calls are held back too.
    let needle = Needle::start(&["--upstream", &gone, "--shadow", "--best-effort"]);
    let response = post(needle.at("/v1/chat/completions"), &chat(ASK)).await;
    assert_eq!(
        (response.status().as_u16(), header(&response, "x-needle-route")),
        (200, "best-effort".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn shadow_always_asks_the_large_model() {
    let needle = Needle::start(&["--upstream", &large_model().await, "--shadow"]);
    let response = post(needle.at("/v1/chat/completions"), &chat(ASK)).await;
    assert_eq!(header(&response, "x-needle-route"), "shadow");
    assert_ne!(header(&response, "x-needle-confidence"), "");
    assert_eq!(header(&response, "x-large"), "yes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_demanded_and_kept_from_the_large_model() {
    let upstream = large_model().await;
    let needle =
        Needle::start(&["--upstream", &upstream, "--token", "t0", "--upstream-key-env", "UPSTREAM_KEY"]);
    let ask = || client().post(needle.at("/v1/chat/completions")).json(&chat("why is the sky blue"));
    assert_eq!(ask().send().await.unwrap().status(), 401);
    assert_eq!(ask().bearer_auth("t1").send().await.unwrap().status(), 401);
    assert_eq!(client().get(needle.at("/healthz")).send().await.unwrap().status(), 200);
    for request in [ask().bearer_auth("t0"), ask().header("x-needle-token", "t0")] {
        let seen: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(seen["headers"]["authorization"], "Bearer large-key");
        assert_eq!(seen["headers"]["x-needle-token"], Value::Null);
    }
    let open =
        Command::new(env!("CARGO_BIN_EXE_needle")).args(["serve", "--host", "0.0.0.0"]).output().unwrap();
    assert_eq!(open.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&open.stderr).contains("demand a --token"));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_beyond_the_limits_are_refused() {
    let needle = Needle::start(&["--max-body", "1", "--max-requests", "0"]);
    assert_eq!(post(needle.at("/v1/chat/completions"), &chat(ASK)).await.status(), 503);
    let needle = Needle::start(&["--max-body", "1"]);
    let response = post(needle.at("/v1/chat/completions"), &chat(&"x".repeat(2 << 20))).await;
    assert_eq!(response.status(), 413);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn asked_to_end_it_finishes_what_it_has_begun() {
    let mut needle = Needle::start(&["--upstream", &large_model().await]);
    let mut parts = post(needle.at("/v1/chat/completions"), &chat("be slow")).await.bytes_stream();
    assert_eq!(parts.next().await.unwrap().unwrap(), "data: one\n\n");
    let id = needle.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert_eq!(parts.next().await.unwrap().unwrap(), "data: two\n\n");
    assert!(parts.next().await.is_none());
    assert!(needle.child.wait().unwrap().success());
    assert!(client().get(needle.at("/healthz")).send().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_requests_at_once_get_their_own_answers() {
    let needle = Needle::start(&["--upstream", &large_model().await]);
    let client = client();
    let url = needle.at("/v1/chat/completions");
    let mut running = tokio::task::JoinSet::new();
    for number in 0..1000 {
        if running.len() == 32 {
            running.join_next().await.unwrap().unwrap();
        }
        let (client, url) = (client.clone(), url.clone());
        running.spawn(async move {
            let level = number % 101;
            let local = number % 2 == 0;
            let ask = if local {
                format!("dim the lights in the bedroom to {level} percent")
            } else {
                format!("why is the sky blue {number}")
            };
            let response = client.post(url).json(&chat(&ask)).send().await.unwrap();
            let body: Value = response.json().await.unwrap();
            if local {
                let arguments = &body["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"];
                let arguments: Value = serde_json::from_str(arguments.as_str().unwrap()).unwrap();
                assert_eq!(arguments["level"], level, "{body}");
            } else {
                assert!(body["body"].as_str().unwrap().contains(&ask), "{body}");
            }
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
}
