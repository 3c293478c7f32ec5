//! Objects that list their properties and say nothing of others, taken as closed.
//!
//! In JSON Schema such an object may hold any further key. A tool's author means the listed ones, and a small model
//! that may invent keys will: so the grammar offers only listed keys unless `additionalProperties` says otherwise.
//! Validation keeps the schema's own meaning.

use serde_json::{Map, Value, json};

/// Keywords beside which `properties` is not the whole list of keys.
const OPENERS: [&str; 14] = [
    "additionalProperties",
    "patternProperties",
    "unevaluatedProperties",
    "propertyNames",
    "minProperties",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "dependentSchemas",
    "dependentRequired",
    "dependencies",
    "$ref",
];
/// Levels of a schema that are looked at.
const MAX_DEPTH: usize = 64;

/// The parameters of a tool with its objects closed, references left as they are.
pub(crate) fn closed(parameters: &Value) -> Value {
    close(parameters, 0)
}

fn close(schema: &Value, depth: usize) -> Value {
    let Value::Object(members) = schema else { return schema.clone() };
    if depth == MAX_DEPTH {
        return schema.clone();
    }
    let mut out: Map<String, Value> =
        members.iter().map(|(key, value)| (key.clone(), close_member(key, value, depth + 1))).collect();
    let listed = members.get("properties").and_then(Value::as_object);
    let names_all_required = |listed: &Map<String, Value>| {
        let required = members.get("required").and_then(Value::as_array).into_iter().flatten();
        required.filter_map(Value::as_str).all(|key| listed.contains_key(key))
    };
    if listed.is_some_and(names_all_required) && !OPENERS.iter().any(|key| members.contains_key(*key)) {
        out.insert("additionalProperties".into(), json!(false));
    }
    Value::Object(out)
}

/// Subschemas that stand for a value of their own; `allOf` and the like share theirs with others.
fn close_member(key: &str, value: &Value, depth: usize) -> Value {
    match (key, value) {
        ("properties", Value::Object(properties)) => properties
            .iter()
            .map(|(name, schema)| (name.clone(), close(schema, depth)))
            .collect::<Map<_, _>>()
            .into(),
        ("items", schema) => close(schema, depth),
        ("prefixItems", Value::Array(schemas)) => schemas.iter().map(|schema| close(schema, depth)).collect(),
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_properties_are_whole_unless_the_schema_says_more() {
        let inner = json!({"type": "object", "properties": {"a": {}}, "required": ["a"]});
        let found = closed(&json!({
            "type": "object",
            "properties": {"list": {"type": "array", "items": inner}, "free": {"type": "object"}},
        }));
        assert_eq!(found["additionalProperties"], false);
        assert_eq!(found["properties"]["list"]["items"]["additionalProperties"], false);
        assert_eq!(found["properties"]["free"], json!({"type": "object"}));
        for open in [
            json!({"properties": {"a": {}}, "additionalProperties": true}),
            json!({"properties": {"a": {}}, "required": ["b"]}),
            json!({"properties": {"a": {}}, "minProperties": 2}),
            json!({"allOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]}),
        ] {
            assert_eq!(closed(&open), open);
        }
    }
}
