//! With real tokenizers: the tokenisation that a model is trained on is never masked and is what is forced.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;

use needle_core::grammar::{Constraint, Finish, Step, ToolGrammar, Vocabulary};
use needle_core::tokenizer::Tokenizer;
use serde_json::{Value, json};

fn tokenizers() -> Vec<(&'static str, Arc<Tokenizer>)> {
    let read = |name: &str| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/");
        std::fs::read(format!("{folder}{name}")).unwrap()
    };
    vec![
        ("SentencePiece", Arc::new(Tokenizer::from_sentencepiece(&read("sp.model")).unwrap())),
        ("JSON", Arc::new(Tokenizer::from_json(&read("pieces.tokenizer.json")).unwrap())),
    ]
}

fn tools() -> Vec<(&'static str, Value)> {
    vec![
        ("get", json!({"type": "object", "properties": {}})),
        (
            "get_weather",
            json!({"type": "object", "required": ["city"], "properties": {
                "city": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]}, "days": {"type": "integer"}}}),
        ),
        (
            "send_message",
            json!({"type": "object", "required": ["to", "text"], "additionalProperties": false, "properties": {
                "to": {"type": "array", "items": {"type": "string"}}, "text": {"type": "string"},
                "urgent": {"type": "boolean"}, "at": {"type": "string", "format": "date"}}}),
        ),
    ]
}

#[test]
fn what_the_model_is_used_to_is_never_masked() {
    let answers = [
        "[]",
        r#"[{"name":"get","arguments":{}}]"#,
        r#"[{"name":"get_weather","arguments":{"city":"San Francisco","unit":"celsius","days":12}}]"#,
        r#"[{"name":"get_weather","arguments":{"city":"京都 é"}},{"name":"get_weather","arguments":{"city":"Rome"}}]"#,
        r#"[{"name":"send_message","arguments":{"to":["Ann","Bob"],"text":"I'm late, \"sorry\"!","urgent":true}}]"#,
        r#"[{"name":"send_message","arguments":{"to":[],"text":"","at":"2026-01-31"}},{"name":"get","arguments":{}}]"#,
    ];
    for (kind, tokenizer) in tokenizers() {
        let vocabulary = Vocabulary::new(&tokenizer).unwrap();
        let compile = |(name, schema): (&str, Value)| ToolGrammar::compile(&vocabulary, name, &schema);
        let grammars: Vec<ToolGrammar> = tools().into_iter().map(compile).collect();
        for answer in answers {
            let tokens = tokenizer.encode(answer);
            let mut constraint = Constraint::new(&vocabulary, grammars.clone(), 4);
            let mut at = 0;
            let mut choices = 0;
            loop {
                match constraint.step().unwrap() {
                    Step::Forced(forced) => {
                        let expected = &tokens[at..(at + forced.len()).min(tokens.len())];
                        assert_eq!(forced, expected, "{kind}: {answer} after {constraint:?}");
                        at += forced.len();
                    }
                    Step::Choose { allowed, .. } => {
                        let token = tokens[at];
                        assert!(allowed.contains(token), "{kind}: {answer}: {token:?} after {constraint:?}");
                        constraint.advance(token).unwrap();
                        at += 1;
                        choices += 1;
                    }
                    Step::Finished(finish) => {
                        assert_eq!(finish, Finish::Complete);
                        break;
                    }
                }
            }
            assert_eq!(constraint.text(), answer.as_bytes());
            println!("{kind}: {choices} choices of {} tokens: {answer}", tokens.len());
        }
    }
}
