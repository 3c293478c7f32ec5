//! Both conventions for an optional argument: to leave it out, or (strict schemas) to require it and allow null.
//!
//! The model has learned to leave out what was not said. So it is shown schemas in which what may be null need not be
//! given, and nulls that the caller's schema requires are filled in afterwards.

use serde_json::{Map, Value};

/// The schema without its nulls: properties that may be null become optional.
pub(super) fn without_nulls(schema: &Value) -> Value {
    let mut schema = schema.clone();
    simplify(&mut schema);
    schema
}

/// Adds the nulls that `schema` requires and `arguments` leave out, in the order of the properties.
pub(super) fn fill_nulls(arguments: &mut Map<String, Value>, schema: &Value) {
    let Some(properties) = schema["properties"].as_object() else { return };
    let mut filled = Map::new();
    for (key, property) in properties {
        match arguments.shift_remove(key) {
            Some(mut value) => {
                fill_value(&mut value, &strip(property).unwrap_or_else(|| property.clone()));
                filled.insert(key.clone(), value);
            }
            None if requires(schema, key) && strip(property).is_some() => {
                filled.insert(key.clone(), Value::Null);
            }
            None => {}
        }
    }
    // Properties that the schema does not name.
    filled.append(arguments);
    *arguments = filled;
}

fn fill_value(value: &mut Value, schema: &Value) {
    match value {
        Value::Object(map) => fill_nulls(map, schema),
        Value::Array(items) => items.iter_mut().for_each(|item| fill_value(item, &schema["items"])),
        _ => {}
    }
}

fn simplify(schema: &mut Value) {
    if let Some(items) = schema.get_mut("items") {
        simplify(items);
    }
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    let mut optional = Vec::new();
    for (key, property) in properties {
        if let Some(stripped) = strip(property) {
            *property = stripped;
            optional.push(key.clone());
        }
        simplify(property);
    }
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|key| key.as_str().is_none_or(|key| !optional.iter().any(|name| name == key)));
    }
}

/// The schema without null among what it allows; none if it does not allow null, or nothing else.
fn strip(schema: &Value) -> Option<Value> {
    let mut map = schema.as_object()?.clone();
    let is_null = |value: &Value| *value == "null" || value["type"] == "null" || value.is_null();
    let mut stripped = false;
    for key in ["type", "enum", "anyOf", "oneOf"] {
        let Some(Value::Array(options)) = map.get_mut(key) else { continue };
        let before = options.len();
        options.retain(|option| !is_null(option));
        if options.len() == before || options.is_empty() {
            continue;
        }
        stripped = true;
        if options.len() == 1 && key != "enum" {
            let only = options.swap_remove(0);
            map.shift_remove(key);
            match only {
                Value::Object(inner) => inner.into_iter().for_each(|(key, value)| {
                    map.entry(key).or_insert(value);
                }),
                kind => {
                    map.insert(key.into(), kind);
                }
            }
        }
    }
    if map.get("default").is_some_and(Value::is_null) {
        map.shift_remove("default");
    }
    stripped.then_some(Value::Object(map))
}

fn requires(schema: &Value, key: &str) -> bool {
    schema["required"].as_array().is_some_and(|required| required.iter().any(|name| *name == key))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_may_be_null_becomes_optional_and_is_filled_in_again() {
        let strict = json!({
            "type": "object",
            "properties": {
                "room": {"type": "string"},
                "level": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}], "description": "percent"},
                "mode": {"type": ["string", "null"], "enum": ["warm", null], "default": null},
                "when": {"type": "object", "properties": {"at": {"type": ["string", "null"]}}, "required": ["at"]},
            },
            "required": ["room", "level", "mode", "when"],
            "additionalProperties": false,
        });
        assert_eq!(
            without_nulls(&strict),
            json!({
                "type": "object",
                "properties": {
                    "room": {"type": "string"},
                    "level": {"description": "percent", "type": "integer", "minimum": 0},
                    "mode": {"type": "string", "enum": ["warm"]},
                    "when": {"type": "object", "properties": {"at": {"type": "string"}}, "required": []},
                },
                "required": ["room", "when"],
                "additionalProperties": false,
            })
        );
        let mut arguments = json!({"when": {}, "room": "attic"});
        let map = arguments.as_object_mut().unwrap();
        fill_nulls(map, &strict);
        assert_eq!(arguments.to_string(), r#"{"room":"attic","level":null,"mode":null,"when":{"at":null}}"#);
    }

    #[test]
    fn optional_nulls_stay_out_and_null_alone_stays() {
        let schema = json!({
            "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": null}, "b": {"type": "null"}},
            "required": ["b"],
        });
        assert_eq!(
            without_nulls(&schema),
            json!({"properties": {"a": {"type": "string"}, "b": {"type": "null"}}, "required": ["b"]})
        );
        let mut arguments = Map::new();
        fill_nulls(&mut arguments, &schema);
        assert_eq!(arguments, Map::new());
    }
}
