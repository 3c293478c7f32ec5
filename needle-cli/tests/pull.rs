//! `needle pull` against a hub on this machine.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use assert_cmd::Command;
use axum::Router;
use axum::body::Body;
use axum::extract::Path as Named;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

const PICKLE: &[u8] = include_bytes!("../../tests/golden/paired.pkl");
/// The pickle's SHA-256.
const CHECKSUM: &str = "12e0b711a61cea445de4651d156b71ceec06a8d41c18eeb18ae57fe5db328b20";
const TOKENIZER: &[u8] = include_bytes!("../../tests/golden/sp.model");

/// Repository `o/NAME` has the weights as NAME says; revision and token must be the ones that the tests give.
async fn hub() -> String {
    async fn weights(Named((name, revision)): Named<(String, String)>, headers: HeaderMap) -> Response {
        if revision != "v1" || headers.get("authorization").is_none_or(|sent| sent != "Bearer secret") {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        let tag = if name == "other" { format!("\"{:064x}\"", 1) } else { format!("\"{CHECKSUM}\"") };
        let elsewhere = format!(
            "http://localhost:{}/store/{name}",
            headers["host"].to_str().unwrap().rsplit_once(':').unwrap().1
        );
        (StatusCode::FOUND, [("location", elsewhere), ("x-linked-etag", tag)]).into_response()
    }
    async fn store(Named(name): Named<String>, headers: HeaderMap) -> Response {
        assert!(!headers.contains_key("authorization"));
        match name.as_str() {
            "cut" => {
                let parts = tokio_stream::iter([Ok(&PICKLE[..100]), Err(std::io::Error::other("gone"))]);
                Body::from_stream(parts).into_response()
            }
            "round" => (StatusCode::FOUND, [("location", "/store/round")]).into_response(),
            _ => PICKLE.into_response(),
        }
    }
    let routes = Router::new()
        .route("/o/{name}/resolve/{revision}/needle.pkl", get(weights))
        .route("/o/{name}/resolve/{revision}/tokenizer/needle.model", get(|| async { TOKENIZER }))
        .route("/store/{name}", get(store));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, routes).await.unwrap() });
    url
}

/// Exit code, standard output and standard error.
async fn pull(hub: &str, repository: &str, out: &Path, more: &[&str]) -> (i32, String, String) {
    let mut command = Command::cargo_bin("needle").unwrap();
    command.args(["pull", repository, "--revision", "v1", "--endpoint", hub, "--out"]).arg(out).args(more);
    command.env("HF_TOKEN", "secret").env("NO_PROXY", "*");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    (output.status.code().unwrap(), out, err)
}

#[tokio::test]
async fn what_was_pulled_is_a_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let (hub, out) = (hub().await, folder.path().join("bundle"));
    let (code, printed, error) = pull(&hub, "o/n", &out, &["--quantize", "int8"]).await;
    assert_eq!((code, printed.trim()), (0, out.to_str().unwrap()), "{error}");
    let mut run = Command::cargo_bin("needle").unwrap();
    let tool = r#"[{"name":"stop","description":"Stop.","parameters":{"type":"object","properties":{}}}]"#;
    run.args(["run", "--threshold", "0", "--query", "stop", "--tools", tool, "--model"])
        .arg(&out)
        .assert()
        .success();

    let before = std::fs::read(out.join("model.safetensors")).unwrap();
    let (code, _, error) = pull(&hub, "o/n", &out, &[]).await;
    assert!(code == 2 && error.contains("--force"), "{error}");
    assert_eq!(std::fs::read(out.join("model.safetensors")).unwrap(), before);
    assert_eq!(pull(&hub, "o/n", &out, &["--force"]).await.0, 0);
    assert_ne!(std::fs::read(out.join("model.safetensors")).unwrap(), before);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_pull_that_fails_says_why_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (hub, out) = (hub().await, folder.path().join("bundle"));
    for (repository, more, expected) in [
        ("o/other", &[][..], "SHA-256"),
        ("o/cut", &[], "needle.pkl"),
        ("o/round", &[], "without end"),
        ("o/n", &["--token", "wrong"], "401"),
        ("nobody/n", &[], "404"),
        ("needle", &[], "OWNER/NAME"),
        ("../n", &[], "OWNER/NAME"),
    ] {
        let (code, printed, error) = pull(&hub, repository, &out, more).await;
        assert_eq!((code, printed.as_str()), (2, ""), "{repository}");
        assert!(error.contains(expected), "{repository}: {error}");
    }
    let (code, _, error) = pull("http://127.0.0.1:9", "o/n", &out, &[]).await;
    assert!(code == 2 && error.contains("127.0.0.1:9") && error.contains("refused"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
