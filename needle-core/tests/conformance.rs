//! The vectors of `tests/conformance` in Rust.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use needle_core::{Catalogue, Decision, Error, Event, Hooks, Model, Options, Session, tool};
use serde_json::{Value, json};

/// CPUs round f32 differently.
const TOLERANCE: f64 = 0.02;

/// A decision's JSON without times and confidence, and the confidence.
fn comparable(mut decision: Value) -> (Value, Option<f64>) {
    let map = decision.as_object_mut().unwrap();
    map.remove("timings");
    let confidence = map.remove("confidence").unwrap().as_f64();
    (decision, confidence)
}

fn assert_same(name: &str, found: &Decision, expected: &Value) {
    let (found, confidence) = comparable(json!(found));
    let (expected, expected_confidence) = comparable(expected.clone());
    let detail = |decision: &Value| decision["reason"] == "low_confidence";
    if detail(&found) && detail(&expected) {
        // The detail quotes the confidence.
        assert_eq!(found["suppressed_calls"], expected["suppressed_calls"], "{name}");
    } else {
        assert_eq!(found, expected, "{name}");
    }
    assert_eq!(confidence.is_some(), expected_confidence.is_some(), "{name}");
    let difference = confidence.unwrap_or_default() - expected_confidence.unwrap_or_default();
    assert!(difference.abs() <= TOLERANCE, "{name}: the confidence differs by {difference}");
}

fn event_json(event: Event<'_>) -> Value {
    match event {
        Event::Text(text) => json!({"type": "text", "text": text}),
        Event::ToolName { call, name } => json!({"type": "tool_name", "call": call, "name": name}),
        Event::CallFinished { call } => json!({"type": "call_finished", "call": call}),
        Event::Done => json!({"type": "done"}),
    }
}

fn decide(model: &Arc<Model>, tools: &str, case: &Value) -> Result<(), Error> {
    let name = case["name"].as_str().unwrap();
    let catalogue = Catalogue::compile(model, tool::parse(tools)?)?;
    let options = Options::from_json(&case.get("options").unwrap_or(&json!({})).to_string())?;
    let queries: Vec<&str> =
        case["queries"].as_array().unwrap().iter().map(|query| query.as_str().unwrap()).collect();
    let mut session = Session::new(model);
    for _ in 0..case["repeat"].as_u64().unwrap_or(1) {
        for (index, query) in queries.iter().enumerate() {
            let mut events = Vec::new();
            let mut listener = |event: Event<'_>| events.push(event_json(event));
            let cancel = case["cancel"].as_bool().map(|set| Arc::new(AtomicBool::new(set)));
            let hooks = Hooks { cancel, on_event: Some(&mut listener) };
            let outcome = session.decide_with(&catalogue, query, &options, hooks)?;
            assert_same(name, &outcome.decision, &case["expect"]["decisions"][index]);
            if let Some(expected) = case["expect"].get("events") {
                assert_eq!(Value::from(events), expected[index], "{name}");
            }
        }
    }
    let batch = session.decide_batch(&catalogue, &queries, &options)?;
    for (found, expected) in batch.iter().zip(case["expect"]["decisions"].as_array().unwrap()) {
        assert_same(name, found, expected);
    }
    Ok(())
}

#[test]
fn every_vector_is_answered_as_expected() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let model = Model::open(root.join("models/default")).unwrap();
    let text = std::fs::read_to_string(root.join("tests/conformance/vectors.json")).unwrap();
    let vectors: Value = serde_json::from_str(&text).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert!(cases.len() >= 150, "{} vectors", cases.len());
    for case in cases {
        let tools = match case["tools_text"].as_str() {
            Some(text) => text.to_owned(),
            None => vectors["toolsets"][case["toolset"].as_str().unwrap()].to_string(),
        };
        let found = match decide(&model, &tools, case) {
            Ok(()) => Value::Null,
            Err(error) => json!({"code": error.code().name(), "message": error.to_string()}),
        };
        assert_ne!(found["code"], "internal", "{}", case["name"]);
        assert_eq!(&found, case["expect"].get("error").unwrap_or(&Value::Null), "{}", case["name"]);
    }
}
