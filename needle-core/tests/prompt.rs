//! Prompts against golden files: the joint one of the reference, the isolated one of the trainer.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;

use needle_core::prompt::isolated::{Piece, tool_pieces};
use needle_core::prompt::{NameMap, joint, snake_case};
use needle_core::{TokenId, tool};
use serde_json::{Value, json};

fn golden(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[test]
fn names_fold_as_in_the_reference() {
    for pair in list(&golden("prompt.expected.json"), "to_snake_case") {
        assert_eq!(snake_case(text(&pair[0])), text(&pair[1]), "{}", pair[0]);
    }
}

#[test]
fn tools_are_written_as_in_the_reference() {
    for case in list(&golden("prompt.expected.json"), "prompts") {
        let (normalised, names) = joint::normalise(text(&case["tools"]));
        assert_eq!(normalised, text(&case["normalized_tools"]));
        let names: Value = names
            .iter()
            .map(|(snake, name)| (snake.to_owned(), json!(name)))
            .collect::<serde_json::Map<_, _>>()
            .into();
        assert_eq!(names, case["name_map"]);
    }
}

#[test]
fn names_are_restored_as_in_the_reference() {
    for case in list(&golden("prompt.expected.json"), "restore") {
        let originals = case["name_map"].as_object().unwrap();
        let names = NameMap::new(originals.values().map(text));
        assert!(originals.keys().all(|snake| names.original(snake).is_some()));
        assert_eq!(joint::restore(text(&case["text"]), &names), text(&case["result"]));
    }
}

#[test]
fn json_schema_is_folded_to_the_flat_form_of_the_training_data() {
    let tools = json!([
        {"type": "function", "function": {"name": "Set.Timer", "description": "Set it.", "parameters": {
            "type": "object",
            "properties": {
                "minutes": {"description": "How long.", "title": "Minutes", "type": "integer", "minimum": 1},
                "tone": {"anyOf": [{"$ref": "#/$defs/tone"}, {"type": "null"}], "default": null},
                "at": {"type": ["string", "null"]},
                "place": {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"], "additionalProperties": false},
                "more": {"type": "array", "items": {"$ref": "#/$defs/tone"}}
            },
            "required": ["minutes", "tone"],
            "$defs": {"tone": {"enum": ["bell", "horn"], "type": "string", "title": "Tone"}}
        }}},
        {"name": "flat", "description": "As written.", "parameters": {"a": {"required": true, "type": "str"}}, "x": 1.50},
        {"name": "ping", "parameters": {}}
    ]);
    let specs = tool::parse(&tools.to_string()).unwrap();
    let (written, names) = joint::normalise(&joint::tools_json(&specs));
    assert_eq!(
        written,
        concat!(
            r#"[{"name":"set_timer","description":"Set it.","parameters":{"#,
            r#""minutes":{"type":"integer","description":"How long.","minimum":1,"required":true},"#,
            r#""tone":{"type":"string","enum":["bell","horn"],"default":null,"required":true},"#,
            r#""at":{"type":"string","required":false},"#,
            r#""place":{"type":"object","properties":{"x":{"type":"number","required":true}},"required":false},"#,
            r#""more":{"type":"array","items":{"type":"string","enum":["bell","horn"]},"required":false}}},"#,
            r#"{"name":"flat","description":"As written.","parameters":{"a":{"required":true,"type":"str"}},"x":1.5},"#,
            r#"{"name":"ping","parameters":{}}]"#
        )
    );
    assert_eq!(names.original("set_timer"), Some("Set.Timer"));
}

#[test]
fn a_schema_with_endless_references_is_folded_in_bounded_time() {
    let mut definitions = serde_json::Map::new();
    for i in 0..40 {
        let next = json!({"$ref": format!("#/$defs/d{}", (i + 1) % 40)});
        definitions.insert(format!("d{i}"), json!({"type": "object", "properties": {"a": next, "b": next}}));
    }
    let parameters =
        json!({"type": "object", "properties": {"r": {"$ref": "#/$defs/d0"}}, "$defs": definitions});
    let specs = tool::parse(&json!([{"name": "f", "parameters": parameters}]).to_string()).unwrap();
    assert!(joint::tools_json(&specs).len() < 1 << 20);
}

/// The trainer's way of writing pieces: `["special", id]`, `["text", text]`, `["words", text, max]`.
fn piece(value: &Value) -> Piece {
    match text(&value[0]) {
        "special" => Piece::Special(TokenId(u32::try_from(value[1].as_u64().unwrap()).unwrap())),
        "text" => Piece::Text(text(&value[1]).into()),
        "words" => {
            let max = usize::try_from(value[2].as_u64().unwrap()).unwrap();
            Piece::Words { text: text(&value[1]).into(), max }
        }
        other => panic!("unknown piece {other:?}"),
    }
}

#[test]
fn tools_are_cut_into_pieces_as_the_trainer_does() {
    for case in list(&golden("isolated_prompt.json"), "cases") {
        let spec = tool::parse(&case["tool"].to_string()).unwrap().remove(0);
        let expected: Vec<Piece> = list(case, "pieces").iter().map(piece).collect();
        assert_eq!(tool_pieces(&spec, &snake_case(&spec.name), usize::MAX), expected, "{}", spec.name);
    }
}
