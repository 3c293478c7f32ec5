//! Whatever the model chooses: an answer that ends is a list of calls whose arguments fit their schemas.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/vocabulary.rs"]
mod support;

use needle_core::acceptance::Judge;
use needle_core::grammar::{Constraint, Finish, Step, Support, TokenMask, ToolGrammar, Vocabulary};
use needle_core::{TokenId, call};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use support::{bytes_of, of_byte, vocabulary};

/// Choices made at random before the answer is brought to its end.
const FREE_CHOICES: usize = 60;
/// Steps after which an answer counts as endless.
const MAX_STEPS: usize = 5000;

fn schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({"type": "string"})),
        Just(json!({"type": "integer"})),
        Just(json!({"type": "number"})),
        Just(json!({"type": "boolean"})),
        Just(json!({"type": ["null", "integer"]})),
        (-50..50i32, 0..100i32)
            .prop_map(|(low, more)| json!({"type": "integer", "minimum": low, "maximum": low + more})),
        (0..3usize, 0..9usize)
            .prop_map(|(low, more)| json!({"type": "string", "minLength": low, "maxLength": low + more})),
        Just(json!({"type": "string", "pattern": "^[a-z]{2,4}é?$"})),
        Just(json!({"type": "string", "format": "date"})),
        Just(json!({"const": {"b": [1, null], "a": "\"\\"}})),
        prop::collection::vec("[a-c\"é]{0,3}", 1..4).prop_map(|values| json!({"enum": values})),
        Just(json!({"enum": [1, 2.5, "x", null, true]})),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            object(inner.clone()),
            (inner.clone(), 0..3usize, 0..3usize).prop_map(|(items, low, more)| {
                json!({"type": "array", "items": items, "minItems": low, "maxItems": low + more})
            }),
            prop::collection::vec(inner, 1..3).prop_map(|all| json!({"anyOf": all})),
        ]
    })
}

fn object(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    let property = ("[a-d\"\\\\é_]{1,3}", inner, any::<bool>());
    (prop::collection::vec(property, 0..4), any::<bool>()).prop_map(|(properties, open)| {
        let required: Vec<&String> = properties.iter().filter(|one| one.2).map(|one| &one.0).collect();
        let mut schema = json!({"type": "object", "required": required, "additionalProperties": open});
        let unique: Map<String, Value> =
            properties.iter().map(|(name, one, _)| (name.clone(), one.clone())).collect();
        let required: Vec<&String> = unique.keys().filter(|name| required.contains(name)).collect();
        schema["required"] = json!(required);
        schema["properties"] = Value::Object(unique);
        schema
    })
}

/// Random choices, then the shortest way out.
fn walk(constraint: &mut Constraint, mut choices: impl Iterator<Item = usize>) -> Option<Finish> {
    for _ in 0..MAX_STEPS {
        match constraint.step().unwrap() {
            Step::Forced(tokens) => assert!(!tokens.is_empty()),
            Step::Finished(finish) => return Some(finish),
            Step::Choose { allowed, .. } => {
                assert!(allowed.len() > 1 && !allowed.contains(TokenId(0)));
                let token = if let Some(choice) = choices.next() {
                    allowed.iter().nth(choice % allowed.len()).unwrap()
                } else {
                    way_out(constraint.text(), &allowed)
                };
                constraint.advance(token).unwrap();
            }
        }
    }
    None
}

/// The allowed token that brings the answer nearer to its end.
fn way_out(text: &[u8], allowed: &TokenMask) -> TokenId {
    let digit = text.last().is_some_and(u8::is_ascii_digit);
    let order = match (in_string(text), digit) {
        (true, _) => "\"a1-",
        (_, true) => "}],15.e",
        _ => "}]\"15nt{[,",
    };
    let wanted = order.bytes().map(of_byte).find(|&token| allowed.contains(token));
    wanted.unwrap_or_else(|| allowed.iter().find(|&token| bytes_of(token) != b"\\").unwrap())
}

fn in_string(text: &[u8]) -> bool {
    let mut inside = false;
    let mut escaped = false;
    for &byte in text {
        if escaped {
            escaped = false;
        } else if byte == b'\\' {
            escaped = true;
        } else if byte == b'"' {
            inside = !inside;
        }
    }
    inside
}

fn check(vocabulary: &Vocabulary, schema: &Value, choices: &[usize]) {
    let tool = ToolGrammar::compile(vocabulary, "get", schema);
    if let Support::Refused(problem) = tool.support() {
        assert!(problem.why.contains("Unsatisfiable"), "{schema}: {problem}");
        return;
    }
    assert_eq!(tool.support(), &Support::Exact, "{schema}");
    let judge = Judge::new(vocabulary, schema);
    let mut constraint = Constraint::new(vocabulary, vec![tool], 2);
    let finish = walk(&mut constraint, choices.iter().copied().take(FREE_CHOICES));
    let text = std::str::from_utf8(constraint.text()).unwrap();
    match finish.unwrap_or_else(|| panic!("no end: {schema}\n{text}")) {
        Finish::TooManyCalls => assert_eq!(constraint.calls_finished(), 2),
        Finish::Complete => {
            if let Err(error) = serde_json::from_str::<Value>(text) {
                // 1e999 is JSON, but no 64-bit float; such an answer is handed off.
                assert!(error.to_string().contains("number out of range"), "{error}: {text}");
                return;
            }
            for call in call::parse(text).unwrap_or_else(|| panic!("{text}")) {
                let found = judge.accepts(&Value::Object(call.arguments));
                assert!(found.accepted(), "{schema}\n{text}\n{found:?}");
            }
        }
        other => panic!("{other:?}: {schema}\n{text}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_that_ends_fits(
        schema in object(schema()),
        choices in prop::collection::vec(any::<usize>(), 0..120),
    ) {
        check(&vocabulary(), &schema, &choices);
    }

    #[test]
    fn names_are_told_apart(
        names in prop::collection::btree_set("(get|set|a|_|_time|\"|\\\\|é|京都|et){0,3}", 1..8),
        wanted in any::<prop::sample::Index>(),
    ) {
        let vocabulary = vocabulary();
        let names: Vec<String> = names.into_iter().collect();
        let tools: Vec<ToolGrammar> =
            names.iter().map(|name| ToolGrammar::compile(&vocabulary, name, &json!({"properties": {}}))).collect();
        let wanted = wanted.index(names.len());
        let text = json!([{"name": names[wanted], "arguments": {}}]).to_string();
        let mut constraint = Constraint::new(&vocabulary, tools, 2);
        let mut chosen = None;
        loop {
            let step = constraint.step().unwrap();
            chosen = constraint.tool().or(chosen);
            match step {
                Step::Forced(_) => {}
                Step::Finished(finish) => {
                    prop_assert_eq!(finish, Finish::Complete);
                    break;
                }
                Step::Choose { allowed, .. } => {
                    let rest = &text.as_bytes()[constraint.text().len()..];
                    let fitting = allowed.iter().filter(|&token| rest.starts_with(&bytes_of(token)));
                    constraint.advance(fitting.max_by_key(|&token| bytes_of(token).len()).unwrap()).unwrap();
                }
            }
        }
        prop_assert_eq!(constraint.text(), text.as_bytes());
        prop_assert_eq!(chosen.unwrap_or(wanted), wanted);
    }
}
