//! The grammar of an answer, step by step.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/vocabulary.rs"]
mod support;

use needle_core::TokenId;
use needle_core::grammar::{Constraint, Finish, Step, Support, ToolGrammar};
use needle_core::trace::ChoiceKind;
use serde_json::{Value, json};
use support::{bytes_of, vocabulary};

fn tools(list: &[(&str, Value)]) -> Vec<ToolGrammar> {
    let vocabulary = vocabulary();
    list.iter().map(|(name, schema)| ToolGrammar::compile(&vocabulary, name, schema)).collect()
}

fn weather() -> Value {
    json!({"type": "object", "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "kelvin"]}},
        "required": ["city"], "additionalProperties": false})
}

/// Writes `wanted`, choosing the longest allowed token each time; the choices with their kinds.
fn write(constraint: &mut Constraint, wanted: &str) -> (Finish, Vec<(ChoiceKind, String)>) {
    let mut choices = Vec::new();
    let mut tokens: Vec<TokenId> = Vec::new();
    loop {
        match constraint.step().unwrap() {
            Step::Forced(forced) => tokens.extend(forced),
            Step::Choose { kind, allowed } => {
                assert!(allowed.len() > 1);
                let rest = &wanted.as_bytes()[constraint.text().len()..];
                let fitting = allowed.iter().filter(|&token| rest.starts_with(&bytes_of(token)));
                let token = fitting.max_by_key(|&token| bytes_of(token).len());
                let token = token.unwrap_or_else(|| panic!("stuck at {constraint:?}"));
                constraint.advance(token).unwrap();
                tokens.push(token);
                choices.push((kind, String::from_utf8_lossy(&bytes_of(token)).into_owned()));
            }
            Step::Finished(finish) => {
                let text: Vec<u8> = tokens.iter().flat_map(|&token| bytes_of(token)).collect();
                assert_eq!(String::from_utf8_lossy(&text), String::from_utf8_lossy(constraint.text()));
                assert_eq!(constraint.step().unwrap_finished(), finish);
                return (finish, choices);
            }
        }
        assert!(wanted.as_bytes().starts_with(constraint.text()), "{constraint:?}");
    }
}

trait UnwrapFinished {
    fn unwrap_finished(self) -> Finish;
}

impl UnwrapFinished for needle_core::Result<Step> {
    fn unwrap_finished(self) -> Finish {
        match self.unwrap() {
            Step::Finished(finish) => finish,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn calls_are_written_with_few_choices() {
    let tools =
        tools(&[("get", json!({})), ("get_weather", weather()), ("get_time", json!({"type": "object"}))]);
    let mut constraint = Constraint::new(&vocabulary(), tools, 4);
    let text = r#"[{"name":"get_weather","arguments":{"city":"Rome","unit":"kelvin"}},{"name":"get","arguments":{}}]"#;
    let (finish, choices) = write(&mut constraint, text);
    assert_eq!(finish, Finish::Complete);
    assert_eq!(constraint.text(), text.as_bytes());
    assert_eq!((constraint.calls_finished(), constraint.tool()), (2, None));
    let of = |kind| {
        choices.iter().filter(|(one, _)| *one == kind).map(|(_, text)| text.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(of(ChoiceKind::Opening), ["[{\"name\":\""]);
    assert_eq!(of(ChoiceKind::Name), ["_weather", "\",\""]);
    // After {} only "}}" may come, then "]" or ","; the piece "}}]" takes both at once.
    assert_eq!(choices.last().unwrap().1, "}}]");
    assert!(choices.iter().any(|(_, text)| text == "\"}},{\""), "{choices:?}");
}

#[test]
fn nothing_may_be_called() {
    let mut constraint = Constraint::new(&vocabulary(), tools(&[("get", json!({}))]), 4);
    assert_eq!(write(&mut constraint, "[]").0, Finish::Complete);
    let mut constraint = Constraint::new(&vocabulary(), Vec::new(), 4);
    assert_eq!(write(&mut constraint, "[]").0, Finish::Complete);
}

#[test]
fn one_call_too_many_is_reported_when_it_begins() {
    let tools = tools(&[("get", weather()), ("set", weather())]);
    let text = r#"[{"name":"get","arguments":{"city":"A"}},{"name":"set","arguments":{"city":"B"}}]"#;
    let mut constraint = Constraint::new(&vocabulary(), tools.clone(), 1);
    assert_eq!(write(&mut constraint, text).0, Finish::TooManyCalls);
    assert!(constraint.text().ends_with(b"},{\"name\":\""));
    assert_eq!(write(&mut Constraint::new(&vocabulary(), tools, 2), text).0, Finish::Complete);
}

#[test]
fn continuation_is_told_from_arguments_where_tokens_end_there() {
    let tools = tools(&[(
        "get",
        json!({"properties": {"n": {"type": "null"}}, "required": ["n"],
        "additionalProperties": false}),
    )]);
    let mut constraint = Constraint::new(&vocabulary(), tools, 4);
    let kinds = write(&mut constraint, r#"[{"name":"get","arguments":{"n":null}}]"#).1;
    assert_eq!(
        kinds.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(),
        [ChoiceKind::Opening, ChoiceKind::Arguments]
    );
}

#[test]
fn any_name_and_any_text_can_be_written() {
    for name in ["京都_天気", "naïve", "a\\", "a\"b", "\u{1F600}", "tab\there", "x\u{0}", "", " "] {
        let schema = json!({"properties": {"ключ \"é\"": {"type": "string"}}, "additionalProperties": false});
        let tools = tools(&[("a", weather()), (name, schema)]);
        assert_eq!(tools[1].support(), &Support::Exact, "{name:?}");
        let call = json!([{"name": name, "arguments": {"ключ \"é\"": "\u{1F600}\\\"\n\u{1}京"}}]).to_string();
        let mut constraint = Constraint::new(&vocabulary(), tools, 4);
        assert_eq!(write(&mut constraint, &call).0, Finish::Complete, "{name:?}");
        assert_eq!(constraint.text(), call.as_bytes());
    }
}

#[test]
fn a_refused_tool_ends_the_answer_when_it_is_chosen() {
    let tools = tools(&[("get", weather()), ("set", json!({"properties": {"a": {"$ref": "#/gone"}}}))]);
    let Support::Refused(problem) = tools[1].support() else { panic!("{tools:?}") };
    assert_eq!((problem.keyword.as_str(), problem.pointer.as_str()), ("$ref", "/properties/a/$ref"));
    let mut constraint = Constraint::new(&vocabulary(), tools, 4);
    let text = r#"[{"name":"set","arguments":{}}]"#;
    assert_eq!(write(&mut constraint, text).0, Finish::Unsupported { tool: 1 });
}

#[test]
fn unknown_tokens_are_an_error_and_change_nothing() {
    let mut constraint = Constraint::new(&vocabulary(), tools(&[("get", weather())]), 4);
    assert!(constraint.advance(TokenId(5)).is_err());
    let Step::Choose { kind: ChoiceKind::Opening, allowed } = constraint.step().unwrap() else { panic!() };
    for token in [TokenId(0), TokenId(5), TokenId(100_000)] {
        assert!(!allowed.contains(token));
        assert!(constraint.advance(token).is_err());
    }
    assert_eq!(write(&mut constraint, "[]").0, Finish::Complete);
}

#[test]
fn keywords_that_are_left_to_validation_are_named() {
    let schema = json!({"properties": {
        "a": {"type": "array", "uniqueItems": true, "items": {"$ref": "#/$defs/code"}},
        "b": {"oneOf": [{"type": "string", "maxLength": 2}, {"type": "string", "minLength": 1}]}},
        "$defs": {"code": {"type": "string", "pattern": "^(?=a)b"}}});
    let tools = tools(&[("t", schema)]);
    let Support::Lenient(problems) = tools[0].support() else { panic!("{tools:?}") };
    let mut pointers: Vec<&str> = problems.iter().map(|problem| problem.pointer.as_str()).collect();
    pointers.sort_unstable();
    assert_eq!(pointers, ["/$defs/code/pattern", "/properties/a/uniqueItems", "/properties/b/oneOf"]);
    let mut constraint = Constraint::new(&vocabulary(), tools, 4);
    let text = r#"[{"name":"t","arguments":{"a":["b","b"],"b":"x"}}]"#;
    assert_eq!(write(&mut constraint, text).0, Finish::Complete);
}
