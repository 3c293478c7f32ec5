//! Tool definitions: every format gives the same specification.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use needle_core::ErrorCode;
use needle_core::tool::{self, Annotations, ToolSpec, Toolset};
use serde_json::{Value, json};

fn one(json: &Value) -> ToolSpec {
    let mut tools = tool::parse(&json.to_string()).unwrap_or_else(|error| panic!("{json}: {error}"));
    assert_eq!(tools.len(), 1, "{json}");
    tools.remove(0)
}

fn parameters(schema: &Value) -> Value {
    one(&json!([{"name": "f", "parameters": schema}])).parameters
}

#[test]
fn every_format_gives_the_same_tool() {
    let (name, description) = ("set_timer", "Set a timer.");
    let schema = json!({
        "type": "object",
        "properties": {"minutes": {"type": "integer", "description": "How long."}, "label": {"type": "string"}},
        "required": ["minutes"]
    });
    let gemini = json!({
        "type": "OBJECT",
        "properties": {"label": {"type": "STRING"}, "minutes": {"type": "INTEGER", "description": "How long."}},
        "required": ["minutes"],
        "propertyOrdering": ["minutes", "label"]
    });
    let python = json!({
        "type": "dict",
        "properties": {"minutes": {"type": "int", "description": "How long."}, "label": {"type": "str", "optional": true}},
        "required": ["minutes"]
    });
    let flat = json!({
        "minutes": {"type": "integer", "description": "How long.", "required": true},
        "label": {"type": "string", "required": false}
    });
    let properties = &schema["properties"];
    let bare = json!({"title": name, "description": description, "type": "object", "properties": properties, "required": ["minutes"]});
    let langchain =
        json!({"title": name, "description": description, "properties": properties, "required": ["minutes"]});
    let with = |key: &str, schema: &Value| json!({"name": name, "description": description, key: schema});
    let responses = json!({"type": "function", "name": name, "description": description, "parameters": schema, "strict": false});
    let chat = json!({"type": "function", "function": with("parameters", &schema)});
    let custom = json!({"type": "custom", "name": name, "description": description, "input_schema": schema});
    let wrapper = json!({"functionDeclarations": [with("parameters", &gemini)], "googleSearch": null});
    let python_wrapper = json!({"function_declarations": [with("parameters_json_schema", &schema)]});

    for definition in [
        json!([chat]),
        json!([responses]),
        json!([with("input_schema", &schema)]),
        json!([custom]),
        json!([with("inputSchema", &schema)]),
        json!([wrapper]),
        json!([python_wrapper]),
        json!([with("parameters", &gemini)]),
        json!([with("parametersJsonSchema", &schema)]),
        json!([with("parameters", &python)]),
        json!([with("parameters", &flat)]),
        json!([bare]),
        json!([langchain]),
        chat.clone(),
        wrapper.clone(),
        with("parameters", &flat),
        json!({"tools": [chat], "nextCursor": null}),
    ] {
        let spec = one(&definition);
        assert_eq!((spec.name.as_str(), spec.description.as_str()), (name, description), "{definition}");
        assert_eq!(spec.parameters.to_string(), schema.to_string(), "{definition}");
    }
    assert_eq!(one(&json!([chat])).source, chat);
}

#[test]
fn a_tool_without_parameters_takes_none() {
    let empty = json!({"type": "object", "properties": {}});
    for definition in [
        json!({"name": "ping"}),
        json!({"name": "ping", "description": null, "parameters": null}),
        json!({"name": "ping", "parameters": {}}),
        json!({"name": "ping", "inputSchema": {"type": "object"}}),
        json!({"title": "ping", "type": "object"}),
        json!({"type": "function", "function": {"name": "ping"}}),
    ] {
        assert_eq!(one(&definition).parameters, empty, "{definition}");
    }
    assert_eq!(tool::parse("[]").unwrap(), []);
}

#[test]
fn names_may_be_any_text_and_sources_are_kept() {
    for name in ["天気", "Send.Email", "a\u{0}b", "🎉", " x "] {
        let definition = json!({"name": name, "parameters": {}, "x-extra": [1, {"b": 2.5}]});
        let spec = one(&definition);
        assert_eq!(spec.name, name);
        assert_eq!(spec.source, definition);
    }
}

#[test]
fn annotations_are_read_in_both_spellings() {
    let wire = json!({"name": "rm", "inputSchema": {"type": "object"}, "annotations": {"destructiveHint": true, "readOnlyHint": false}});
    let python = json!({"name": "rm", "input_schema": {"type": "object"}, "annotations": {"destructive_hint": true, "read_only_hint": false}});
    let expected = Annotations { destructive: Some(true), read_only: Some(false), ..Annotations::default() };
    assert_eq!(one(&wire).annotations, expected);
    assert_eq!(one(&python).annotations, expected);
}

#[test]
fn older_and_foreign_spellings_become_2020_12() {
    let property = |schema: Value| {
        parameters(&json!({"type": "object", "properties": {"a": schema}}))["properties"]["a"].clone()
    };
    for (given, normal) in [
        (
            json!({"type": "STRING", "format": "enum", "enum": ["x"]}),
            json!({"type": "string", "enum": ["x"]}),
        ),
        (json!({"type": "float"}), json!({"type": "number"})),
        (json!({"type": "tuple", "items": {"type": "any"}}), json!({"type": "array", "items": {}})),
        (json!({"type": ["int", "none", "integer"]}), json!({"type": ["integer", "null"]})),
        (json!({"type": "string", "nullable": true}), json!({"type": ["string", "null"]})),
        (
            json!({"type": "string", "enum": ["a"], "nullable": true}),
            json!({"type": ["string", "null"], "enum": ["a", null]}),
        ),
        (json!({"type": "string", "nullable": false}), json!({"type": "string"})),
        (
            json!({"allOf": [{"type": "string"}], "nullable": true}),
            json!({"anyOf": [{"allOf": [{"type": "string"}]}, {"type": "null"}]}),
        ),
        (
            json!({"type": "string", "minLength": "2", "maxLength": 4.0}),
            json!({"type": "string", "minLength": 2, "maxLength": 4}),
        ),
        (
            json!({"minimum": 1, "exclusiveMinimum": true, "maximum": 2, "exclusiveMaximum": false}),
            json!({"exclusiveMinimum": 1, "maximum": 2}),
        ),
        (
            json!({"items": [{"type": "str"}], "additionalItems": false}),
            json!({"prefixItems": [{"type": "string"}], "items": false}),
        ),
        (
            json!({"dependencies": {"a": ["b"], "c": {"required": ["d"]}}}),
            json!({"dependentRequired": {"a": ["b"]}, "dependentSchemas": {"c": {"required": ["d"]}}}),
        ),
        (
            json!({"type": "object", "properties": {"b": {"type": "string", "required": true}, "c": {"required": false}}}),
            json!({"type": "object", "properties": {"b": {"type": "string"}, "c": {}}, "required": ["b"]}),
        ),
        (
            json!({"type": "string", "title": null, "default": null}),
            json!({"type": "string", "default": null}),
        ),
    ] {
        assert_eq!(property(given.clone()), normal, "{given}");
    }
    let old =
        json!({"$schema": "http://json-schema.org/draft-07/schema#", "$id": "x", "type": ["object", "null"]});
    assert_eq!(parameters(&old), json!({"type": "object", "properties": {}}));
}

#[test]
fn flat_parameters_may_be_called_like_keywords() {
    let flat = json!({
        "type": {"type": "string", "required": true},
        "properties": {"type": "list", "description": "Which."},
        "required": {"type": "bool"}
    });
    assert_eq!(
        parameters(&flat),
        json!({
            "type": "object",
            "properties": {
                "type": {"type": "string"},
                "properties": {"type": "array", "description": "Which."},
                "required": {"type": "boolean"}
            },
            "required": ["type"]
        })
    );
    let schema = json!({"properties": {"type": {"type": "string"}}});
    assert_eq!(parameters(&schema)["properties"], json!({"type": {"type": "string"}}));
}

#[test]
fn references_stay_local_and_reachable() {
    let tree = json!({
        "type": "object",
        "properties": {"root": {"$ref": "#/$defs/node"}},
        "$defs": {"node": {"type": "dict", "properties": {"next": {"$ref": "#/$defs/node"}, "all": {"$ref": "#"}}}}
    });
    let mut normal = tree.clone();
    normal["$defs"]["node"]["type"] = json!("object");
    assert_eq!(parameters(&tree), normal);

    let beside = json!({
        "name": "f",
        "parameters": {"type": "object", "properties": {"a": {"$ref": "#/definitions/b"}}},
        "definitions": {"b": {"type": "int"}}
    });
    assert_eq!(one(&beside).parameters["definitions"], json!({"b": {"type": "integer"}}));

    let at_root = json!({"$ref": "#/definitions/Args", "definitions": {"Args": {"type": "object", "properties": {"a": true}}}});
    assert_eq!(parameters(&at_root)["properties"], json!({"a": true}));
}

#[test]
fn provider_tools_are_told_apart() {
    let list = json!([
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 5},
        {"name": "f", "parameters": {}},
        {"type": "file_search", "vector_store_ids": ["x"]},
        {"google_search": {}},
        {"functionDeclarations": [{"name": "g"}], "codeExecution": {}},
        {"type": "custom", "custom": {"name": "free"}}
    ]);
    let set = Toolset::parse(&list.to_string()).unwrap();
    assert_eq!(set.local.iter().map(|spec| spec.name.as_str()).collect::<Vec<_>>(), ["f", "g"]);
    let kinds: Vec<_> = set.provider.iter().map(|tool| (tool.tool.as_str(), tool.kind.as_str())).collect();
    assert_eq!(
        kinds,
        [
            ("web_search", "web_search_20250305"),
            ("#2", "file_search"),
            ("#3", "google_search"),
            ("#5", "codeExecution"),
            ("#6", "custom")
        ]
    );
    let error = tool::parse(&list.to_string()).unwrap_err();
    assert_eq!(error.code(), ErrorCode::ProviderTool);
    assert_eq!(
        error.to_string(),
        "tool web_search of type \"web_search_20250305\" cannot be called locally: only functions with JSON arguments can; leave it out or hand the request off"
    );
}

/// The rows of a data file, unpacked if need be.
fn rows(path: &Path) -> Vec<Value> {
    let file = File::open(path).unwrap();
    let reader: Box<dyn Read> = if path.extension().is_some_and(|end| end == "gz") {
        Box::new(flate2::read::GzDecoder::new(file))
    } else {
        Box::new(file)
    };
    BufReader::new(reader).lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
}

/// Every row of the evaluation and catalogue data is understood; the data is not part of the repository.
#[test]
fn real_tools_are_understood() {
    let data = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data"));
    let mut files: Vec<PathBuf> = vec![data.join("eval/natural_dev.jsonl")];
    for folder in ["eval/bfcl", "catalogue"] {
        files.extend(
            std::fs::read_dir(data.join(folder)).into_iter().flatten().map(|entry| entry.unwrap().path()),
        );
    }
    if files.len() == 1 {
        println!("skipped: no data at {}", data.display());
        return;
    }
    let (mut parsed, mut refused) = (0, Vec::new());
    for file in files {
        for row in rows(&file) {
            let list = row.get("tools").unwrap_or(&row);
            match tool::parse(&list.to_string()) {
                Ok(tools) => parsed += tools.len(),
                Err(error) => {
                    refused.push(format!("{}: {error}", file.file_name().unwrap().to_string_lossy()));
                }
            }
        }
    }
    println!("{parsed} tools understood");
    // One benchmark schema puts its properties beside "type" instead of inside "properties".
    let misplaced = "parallel.jsonl.gz: tool waste_calculation.calculate, at \"/parameters/properties/population\": \
         \"required\" names \"adults\", which is not in \"properties\"; describe it there or remove it";
    assert_eq!(refused, [misplaced]);
}
