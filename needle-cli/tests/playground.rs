//! `needle playground` as its page and other pages see it.
#![cfg(feature = "embedded-model")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

/// A running playground, ended when it is dropped.
struct Playground {
    child: Child,
    url: String,
}

impl Playground {
    fn start() -> Self {
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/tools.json");
        let mut child = Command::new(env!("CARGO_BIN_EXE_needle"))
            .args(["playground", "--port", "0", "--tools"])
            .arg(tools)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").unwrap().to_owned();
        Self { child, url }
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    fn ask(&self, body: &Value) -> RequestBuilder {
        client().post(self.at("/decide")).json(body)
    }
}

impl Drop for Playground {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

fn client() -> Client {
    // Another test of this process may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().build().unwrap()
}

async fn get(url: String) -> Response {
    client().get(url).send().await.unwrap()
}

async fn refused(request: RequestBuilder) -> (StatusCode, String) {
    let response = request.send().await.unwrap();
    (response.status(), response.text().await.unwrap())
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere() {
    let playground = Playground::start();
    let response = get(playground.at("/")).await;
    let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && policy.contains("connect-src 'self'"));
    let page = response.text().await.unwrap();
    assert!(page.contains("<title>needle playground</title>"));
    assert!(!page.contains("http://") && !page.contains("https://"));
}

#[tokio::test]
async fn it_begins_with_the_given_tools_and_decides() {
    let playground = Playground::start();
    let start: Value = get(playground.at("/start")).await.json().await.unwrap();
    let threshold = start["threshold"].as_f64().unwrap();
    assert!(threshold > 0.0 && threshold < 1.0);
    let tools: Value = serde_json::from_str(start["tools"].as_str().unwrap()).unwrap();

    let query = "dim the bedroom lights to 30";
    let calls = json!([{"name": "dim_lights", "arguments": {"level": 30, "room": "bedroom"}}]);
    let ask =
        |options: Value| playground.ask(&json!({"query": query, "tools": tools, "options": options})).send();
    let sure: Value = ask(json!({})).await.unwrap().json().await.unwrap();
    assert_eq!((&sure["decision"], &sure["calls"]), (&json!("call"), &calls));
    let text: Value = serde_json::from_str(sure["written"][0]["arguments"].as_str().unwrap()).unwrap();
    assert_eq!((&sure["written"][0]["name"], &text), (&calls[0]["name"], &calls[0]["arguments"]));
    let doubtful: Value =
        ask(json!({"threshold": 1, "grounding": "enforce"})).await.unwrap().json().await.unwrap();
    assert_eq!((&doubtful["reason"], &doubtful["suppressed_calls"]), (&json!("low_confidence"), &calls));
    assert_eq!(doubtful["written"], sure["written"]);
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let playground = Playground::start();
    let tool = json!([{"name": "stop", "description": "Stop.", "parameters": {"type": "object"}}]);
    for (body, message) in [
        (json!({"query": "stop", "tools": [{"name": 7}]}), "name"),
        (json!({"query": "stop", "tools": tool, "options": {"threshold": 2}}), "threshold"),
        (json!({"query": "stop", "tools": tool, "options": {"thresold": 1}}), "thresold"),
        (json!({"tools": tool}), "query"),
    ] {
        let (status, said) = refused(playground.ask(&body)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{said}");
        assert!(said.contains(message), "{said}");
    }
    // After wrong requests right ones are answered.
    let answer = playground.ask(&json!({"query": "stop", "tools": tool})).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn pages_of_other_origins_are_not_answered() {
    let playground = Playground::start();
    let plain = client().post(playground.at("/decide")).header("content-type", "text/plain").body("{}");
    assert_eq!(refused(plain).await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let rebound = client().get(playground.at("/start")).header("host", "attacker.example:80");
    assert_eq!(refused(rebound).await.0, StatusCode::FORBIDDEN);
    let local = playground.at("/start").replace("127.0.0.1", "localhost");
    assert_eq!(get(local).await.status(), StatusCode::OK);
}
