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

/// How many the shipped model gets right, whatever its confidence; the model card says the same.
const RIGHT: usize = 47;

#[test]
fn everyday_sentences_are_answered_right_or_handed_off() {
    let sentences: Vec<Sentence> = serde_json::from_str(include_str!("../../tests/everyday.json")).unwrap();
    let model = Model::embedded().unwrap();
    let tools = tool::parse(include_str!("../../examples/tools.json")).unwrap();
    let catalogue = Catalogue::compile(&model, tools).unwrap();
    let mut session = Session::new(&model);
    let (mut made_wrongly, mut wrong) = (Vec::new(), Vec::new());
    for Sentence { query, calls } in &sentences {
        let decision = session.decide(&catalogue, query, &Options::default()).unwrap();
        let (written, list) = match &decision {
            Decision::Call { calls, .. } => (calls, &mut made_wrongly),
            Decision::Handoff { suppressed_calls, .. } => (suppressed_calls, &mut wrong),
        };
        if written != calls {
            list.push(format!("{query}: {}", serde_json::to_string(&decision).unwrap()));
        }
    }
    assert!(made_wrongly.is_empty(), "calls were made wrongly:\n{}", made_wrongly.join("\n"));
    assert_eq!(sentences.len() - wrong.len(), RIGHT, "these differ:\n{}", wrong.join("\n"));
}
