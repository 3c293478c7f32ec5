//! Everyday sentences, answered by the embedded model with the README's example tools.
#![cfg(feature = "embedded-model")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use needle_core::{Catalogue, Decision, Model, Options, Session, ToolCall, tool};
use serde::Deserialize;

#[derive(Deserialize)]
struct Sentence {
    query: String,
    calls: Vec<ToolCall>,
}

#[test]
fn everyday_sentences_are_answered_right() {
    let sentences: Vec<Sentence> = serde_json::from_str(include_str!("../../tests/everyday.json")).unwrap();
    assert!(sentences.iter().filter(|sentence| !sentence.calls.is_empty()).count() >= 20);
    let model = Model::embedded().unwrap();
    let tools = tool::parse(include_str!("../../examples/tools.json")).unwrap();
    let catalogue = Catalogue::compile(&model, tools).unwrap();
    let mut session = Session::new(&model);
    // What the model writes, whatever its confidence; what the threshold lets through is in the model card.
    let options = Options { threshold: Some(0.0), ..Options::default() };
    let mut wrong = Vec::new();
    for Sentence { query, calls } in &sentences {
        let decision = session.decide(&catalogue, query, &options).unwrap();
        let written = match &decision {
            Decision::Call { calls, .. } => calls,
            Decision::Handoff { suppressed_calls, .. } => suppressed_calls,
        };
        if written != calls {
            wrong.push(format!("{query}: {}", serde_json::to_string(&decision).unwrap()));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), sentences.len(), wrong.join("\n"));
}
