//! Mistakes in tool definitions: each has its sentence, with the place and the remedy.

use needle_core::{Error, tool};
use serde_json::{Value, json};

/// A list with one tool whose only property `a` has this schema, and the message expected for it.
fn property_mistakes() -> Vec<(Value, &'static str)> {
    vec![
        (
            json!({"type": "date"}),
            "\"type\" is \"date\"; JSON Schema says \"string\" with \"format\": \"date\"",
        ),
        (json!({"type": "int64"}), "\"type\" is \"int64\"; JSON Schema says \"integer\""),
        (
            json!({"type": "strnig"}),
            "\"type\" is \"strnig\"; JSON Schema has \"string\", \"integer\", \"number\", \"boolean\", \"array\", \"object\" and \"null\"",
        ),
        (json!({"type": 5}), "\"type\" is 5; name a type such as \"string\""),
        (json!({"type": []}), "\"type\" is an empty list, so that no value fits; name a type"),
        (json!({"type": [1]}), "\"type\" lists 1; name types"),
        (json!("string"), "is \"string\"; a schema is an object such as {\"type\": \"string\"}"),
        (json!({"description": 5}), "\"description\" is 5; give a string"),
        (json!({"pattern": ["a"]}), "\"pattern\" is a list; give a string"),
        (
            json!({"enum": []}),
            "\"enum\" is empty, so that no value fits; list the allowed values or remove it",
        ),
        (json!({"enum": "a,b"}), "\"enum\" is \"a,b\"; give a list of values"),
        (json!({"minLength": -1}), "\"minLength\" is -1; give a whole number, 0 or more"),
        (json!({"maxItems": 1.5}), "\"maxItems\" is 1.5; give a whole number, 0 or more"),
        (json!({"minItems": 3, "maxItems": 2}), "\"minItems\" is 3, above \"maxItems\" 2; no value fits"),
        (json!({"minimum": "0"}), "\"minimum\" is \"0\"; give a number"),
        (json!({"minimum": 2, "maximum": 1}), "\"minimum\" is 2, \"maximum\" is 1; no value fits"),
        (
            json!({"minimum": 1, "exclusiveMaximum": 1}),
            "\"minimum\" is 1, \"exclusiveMaximum\" is 1; no value fits",
        ),
        (json!({"multipleOf": 0}), "\"multipleOf\" is 0; give a number above 0"),
        (json!({"$ref": 1}), "\"$ref\" is 1; give a string such as \"#/$defs/name\""),
        (
            json!({"$ref": "https://example.com/s.json"}),
            "\"$ref\" \"https://example.com/s.json\" is remote and is not fetched; copy what it points to under \"$defs\"",
        ),
        (
            json!({"$ref": "#n"}),
            "\"$ref\" \"#n\" is an anchor; write a JSON pointer such as \"#/$defs/name\"",
        ),
        (
            json!({"$ref": "#/$defs/missing"}),
            "\"$ref\" \"#/$defs/missing\" does not point to a schema in the parameters; define it under \"$defs\"",
        ),
        (
            json!({"$ref": "#/properties/a"}),
            "\"$ref\" \"#/properties/a\" leads back to itself without describing anything; describe the value there",
        ),
        (
            json!({"type": "object", "properties": {"b": true}, "required": ["c"]}),
            "\"required\" names \"c\", which is not in \"properties\"; describe it there or remove it",
        ),
        (json!({"required": "b"}), "\"required\" is \"b\"; list the names of the required properties"),
        (json!({"required": [1]}), "\"required\" is [1]; list the names of the required properties"),
    ]
}

#[test]
fn mistakes_in_a_property_are_named_with_place_and_remedy() {
    for (schema, problem) in property_mistakes() {
        let list = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": schema}}}}]);
        let message = tool::parse(&list.to_string()).unwrap_err().to_string();
        assert_eq!(
            message,
            format!("tool f, at \"/function/parameters/properties/a\": {problem}"),
            "{schema}"
        );
    }
}

#[test]
fn mistakes_deeper_down_have_the_pointer_of_the_definition() {
    let with = |parameters: Value| json!([{"name": "f", "parameters": parameters}]);
    for (list, message) in [
        (
            with(json!({"minutes": {"type": "integr"}})),
            "tool f, at \"/parameters/minutes\": \"type\" is \"integr\"; JSON Schema has \"string\", \"integer\", \"number\", \"boolean\", \"array\", \"object\" and \"null\"",
        ),
        (
            with(json!({"minutes": "integer"})),
            "tool f, at \"/parameters/minutes\": is \"integer\"; a schema is an object such as {\"type\": \"string\"}",
        ),
        (
            with(
                json!({"type": "object", "properties": {"a/b": {"items": {"anyOf": [true, {"enum": []}]}}}}),
            ),
            "tool f, at \"/parameters/properties/a~1b/items/anyOf/1\": \"enum\" is empty, so that no value fits; list the allowed values or remove it",
        ),
        (
            with(json!({"type": "object", "properties": []})),
            "tool f, at \"/parameters/properties\": is a list; give an object from name to schema",
        ),
        (
            with(json!({"type": "object", "properties": {"a": {"anyOf": []}}})),
            "tool f, at \"/parameters/properties/a/anyOf\": is empty; give at least one schema",
        ),
        (
            with(json!({"type": "object", "properties": {"a": {"oneOf": {}}}})),
            "tool f, at \"/parameters/properties/a/oneOf\": is an object; give a list of schemas",
        ),
        (
            with(json!({"type": "string"})),
            "tool f, at \"/parameters\": \"type\" is \"string\"; parameters are {\"type\": \"object\", \"properties\": {…}}",
        ),
        (
            with(json!([])),
            "tool f, at \"/parameters\": is a list; parameters are {\"type\": \"object\", \"properties\": {…}}",
        ),
        (
            with(json!({"type": "object", "required": true})),
            "tool f, at \"/parameters\": \"required\" is true; list the names of the required properties",
        ),
        (
            with(
                json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"allOf": [{"$ref": "#/$defs/a"}]}}}),
            ),
            "tool f, at \"/parameters\": \"$ref\" \"#/$defs/a\" leads back to itself without describing anything; describe the value there",
        ),
        (
            with(json!({"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}})),
            "tool f, at \"/parameters\": \"$ref\" \"#/$defs/a\" is not an object schema; parameters are {\"type\": \"object\", \"properties\": {…}}",
        ),
    ] {
        assert_eq!(tool::parse(&list.to_string()).unwrap_err().to_string(), message);
    }
}

#[test]
fn mistakes_in_a_list_are_named() {
    for (list, message) in [
        (json!(5), "tool list, at \"\": is 5; give a JSON list of tools"),
        (json!(["f"]), "tool #0, at \"\": is \"f\"; a tool is an object with a \"name\" and \"parameters\""),
        (
            json!([{"name": "f"}, {"description": "no name"}]),
            "tool #1, at \"\": has no \"name\"; give the tool one (a bare JSON Schema takes it from \"title\")",
        ),
        (json!([{"name": " "}]), "tool #0, at \"\": \"name\" is empty; give the tool a name"),
        (json!([{"name": 5}]), "tool #0, at \"\": \"name\" is 5; a tool's name is a string"),
        (
            json!([{"name": "f"}, {"name": "f"}]),
            "tool #1, at \"\": the name \"f\" is already that of tool #0; give every tool its own name",
        ),
        (
            json!([{"name": "f", "description": []}]),
            "tool f, at \"/description\": is a list; a description is a string",
        ),
        (
            json!([{"type": "function", "function": {}}]),
            "tool #0, at \"/function\": has no \"name\"; give the tool one (a bare JSON Schema takes it from \"title\")",
        ),
        (
            json!([{"function": "f"}]),
            "tool #0, at \"/function\": is \"f\"; give an object with \"name\" and \"parameters\"",
        ),
        (
            json!([{"name": "f", "parameters": {}, "inputSchema": {}}]),
            "tool f, at \"\": has both \"parameters\" and \"inputSchema\"; keep one",
        ),
        (
            json!([{"name": "f", "args": {}}]),
            "tool f, at \"\": \"args\" is not a key of any known tool format; call it \"parameters\"",
        ),
        (
            json!([{"functionDeclarations": {}}]),
            "tool #0, at \"/functionDeclarations\": is an object; give a list",
        ),
    ] {
        assert_eq!(tool::parse(&list.to_string()).unwrap_err().to_string(), message);
    }
}

#[test]
fn input_out_of_bounds_is_refused() {
    let message = |json: &str| tool::parse(json).unwrap_err().to_string();
    assert_eq!(message("not json"), "tool list, at \"\": not valid JSON: expected ident at line 1 column 2");
    assert!(message(&"[".repeat(1 << 20)).contains("recursion limit exceeded"));
    let many: Vec<Value> = (0..5000).map(|index| json!({"name": index.to_string()})).collect();
    assert_eq!(message(&json!(many).to_string()), "the number of tools is 5000, the limit is 4096");
    let long = format!("[\"{}\"]", "x".repeat(16 << 20));
    assert!(matches!(tool::parse(&long), Err(Error::Limit { limit: tool::MAX_JSON_BYTES, .. })));
    // A chain of references as long as the text allows must not exhaust the stack.
    let chain: Value = (0..20_000)
        .map(|i| (format!("d{i}"), json!({"$ref": format!("#/$defs/d{}", i + 1)})))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let mut schema = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": chain});
    schema["$defs"]["d20000"] = json!({"type": "string"});
    let list = json!([{"name": "f", "parameters": schema}]);
    assert!(tool::parse(&list.to_string()).is_ok());
}
