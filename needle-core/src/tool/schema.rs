//! Parameters to JSON Schema 2020-12: foreign spellings rewritten, mistakes reported, references checked.
//!
//! What a keyword *means* is left to the grammar and the validator; here it only must be well formed.

use serde_json::{Map, Value, json};

use super::location::{Location, describe};
use super::{dialect, reference};
use crate::error::Result;

/// Keywords that hold one schema.
pub(super) const SCHEMA_KEYS: [&str; 11] = [
    "items",
    "additionalProperties",
    "contains",
    "propertyNames",
    "not",
    "if",
    "then",
    "else",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
];
/// Keywords that hold a list of schemas.
pub(super) const LIST_KEYS: [&str; 4] = ["anyOf", "oneOf", "allOf", "prefixItems"];
/// Keywords that hold named schemas.
pub(super) const MAP_KEYS: [&str; 5] =
    ["properties", "patternProperties", "dependentSchemas", "$defs", "definitions"];

/// A reference as found: the pointer of its place in the definition, and its target.
pub(super) type FoundReference = (String, String);

/// Normalises the parameters of a tool, given as JSON Schema.
pub(super) fn normalise(parameters: Value, location: &mut Location) -> Result<Value> {
    let Value::Object(mut root) = parameters else {
        return location.fail(format!("is {}; {WANTED}", describe(&parameters)));
    };
    open_root(&mut root, location)?;
    let mut references = Vec::new();
    let mut schema = Value::Object(root);
    walk(&mut schema, location, Place::Own, &mut references)?;
    reference::check(&schema, &references, location)?;
    inline_root(&mut schema, location)?;
    Ok(schema)
}

/// Normalises the parameters of a tool, given as Needle's flat map from name to schema.
pub(super) fn normalise_flat(flat: &Map<String, Value>, location: &mut Location) -> Result<Value> {
    let mut references = Vec::new();
    let mut properties = flat.clone();
    let required = dialect::hoist_required(&mut properties);
    for (name, property) in &mut properties {
        location.inside(name, |here| walk(property, here, Place::Own, &mut references))?;
    }
    let mut schema = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    reference::check(&schema, &references, location)?;
    Ok(schema)
}

/// What parameters should look like, as the end of a message.
const WANTED: &str = r#"parameters are {"type": "object", "properties": {…}}"#;

/// Makes the root an object schema of the current dialect.
fn open_root(root: &mut Map<String, Value>, location: &Location) -> Result<()> {
    // The dialect is settled by this module, and an own base URI would make local references look remote.
    for key in ["$schema", "$id", "id", "nullable"] {
        root.shift_remove(key);
    }
    dialect::drop_nulls(root);
    if let Some(required @ Value::Bool(_)) = root.get("required") {
        return location.fail(format!(
            "\"required\" is {}; list the names of the required properties",
            describe(required)
        ));
    }
    dialect::rewrite_type(root, location)?;
    let object = json!("object");
    match root.get("type") {
        Some(Value::String(kind)) if kind == "object" => {}
        Some(Value::Array(kinds)) if kinds.contains(&object) => {
            root.insert("type".into(), object);
        }
        Some(kind) => return location.fail(format!("\"type\" is {}; {WANTED}", list_or_scalar(kind))),
        None => {
            root.shift_insert(0, "type".into(), object);
        }
    }
    let composed = ["$ref", "anyOf", "oneOf", "allOf"].iter().any(|key| root.contains_key(*key));
    if !composed && !root.contains_key("properties") {
        root.insert("properties".into(), json!({}));
    }
    Ok(())
}

/// A `type` as it was written.
fn list_or_scalar(kind: &Value) -> String {
    if kind.is_array() { kind.to_string() } else { describe(kind) }
}

/// Replaces a reference at the root by its target, so that the root shows its properties.
fn inline_root(schema: &mut Value, location: &Location) -> Result<()> {
    while let Some(target) = schema.get("$ref").and_then(Value::as_str).map(str::to_owned) {
        let Some(found) = reference::resolve(schema, &target).cloned() else { break };
        let Value::Object(found) = found else { break };
        if found.get("type").is_some_and(|kind| kind != "object") {
            return location.fail(format!("\"$ref\" {target:?} is not an object schema; {WANTED}"));
        }
        let Value::Object(root) = schema else { break };
        root.shift_remove("$ref");
        for (key, value) in found {
            root.entry(key).or_insert(value);
        }
    }
    Ok(())
}

/// Where a schema stands; decides how strictly `required` is read.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// Describes a value of its own.
    Own,
    /// Adds to what a schema around it says of the same value.
    Branch,
}

/// Rewrites and checks one schema and all inside it.
fn walk(
    schema: &mut Value,
    location: &mut Location,
    place: Place,
    references: &mut Vec<FoundReference>,
) -> Result<()> {
    let map = match schema {
        Value::Object(map) => map,
        Value::Bool(_) => return Ok(()),
        other => {
            return location.fail(format!(
                "is {}; a schema is an object such as {{\"type\": \"string\"}}",
                describe(other)
            ));
        }
    };
    dialect::rewrite(map, location)?;
    check_texts(map, location)?;
    check_choices(map, location)?;
    check_counts(map, location)?;
    check_numbers(map, location)?;
    if let Some(target) = map.get("$ref") {
        let Some(target) = target.as_str() else {
            return location
                .fail(format!("\"$ref\" is {}; give a string such as \"#/$defs/name\"", describe(target)));
        };
        references.push((location.pointer(), target.to_owned()));
    }
    check_required(map, location, place)?;
    for (key, value) in map.iter_mut() {
        let key = key.as_str();
        location.inside(key, |here| {
            if SCHEMA_KEYS.contains(&key) {
                let place =
                    if matches!(key, "not" | "if" | "then" | "else") { Place::Branch } else { Place::Own };
                walk(value, here, place, references)
            } else if MAP_KEYS.contains(&key) {
                let place = if key == "dependentSchemas" { Place::Branch } else { Place::Own };
                walk_named(value, here, place, references)
            } else if LIST_KEYS.contains(&key) {
                let place = if key == "prefixItems" { Place::Own } else { Place::Branch };
                walk_list(value, here, place, references)
            } else {
                Ok(())
            }
        })?;
    }
    Ok(())
}

/// The schemas of `properties` and its like.
fn walk_named(
    value: &mut Value,
    location: &mut Location,
    place: Place,
    references: &mut Vec<FoundReference>,
) -> Result<()> {
    let Value::Object(named) = value else {
        return location.fail(format!("is {}; give an object from name to schema", describe(value)));
    };
    named
        .iter_mut()
        .try_for_each(|(name, schema)| location.inside(name, |here| walk(schema, here, place, references)))
}

/// The schemas of `anyOf` and its like.
fn walk_list(
    value: &mut Value,
    location: &mut Location,
    place: Place,
    references: &mut Vec<FoundReference>,
) -> Result<()> {
    let Value::Array(schemas) = value else {
        return location.fail(format!("is {}; give a list of schemas", describe(value)));
    };
    if schemas.is_empty() {
        return location.fail("is empty; give at least one schema");
    }
    schemas.iter_mut().enumerate().try_for_each(|(index, schema)| {
        location.inside(&index.to_string(), |here| walk(schema, here, place, references))
    })
}

/// Keywords that hold text.
fn check_texts(map: &Map<String, Value>, location: &Location) -> Result<()> {
    for key in ["description", "title", "pattern", "format"] {
        if let Some(value) = map.get(key).filter(|value| !value.is_string()) {
            return location.fail(format!("{key:?} is {}; give a string", describe(value)));
        }
    }
    Ok(())
}

/// `enum`: a list that offers something.
fn check_choices(map: &Map<String, Value>, location: &Location) -> Result<()> {
    match map.get("enum") {
        Some(Value::Array(choices)) if choices.is_empty() => {
            location.fail("\"enum\" is empty, so that no value fits; list the allowed values or remove it")
        }
        None | Some(Value::Array(_)) => Ok(()),
        Some(other) => location.fail(format!("\"enum\" is {}; give a list of values", describe(other))),
    }
}

/// Sizes are whole and not negative, and the smallest is not above the largest.
fn check_counts(map: &Map<String, Value>, location: &Location) -> Result<()> {
    let count = |key: &str| match map.get(key) {
        None => Ok(None),
        Some(value) => value.as_u64().map(Some).ok_or_else(|| {
            location.error(format!("{key:?} is {}; give a whole number, 0 or more", describe(value)))
        }),
    };
    for what in ["Length", "Items", "Properties", "Contains"] {
        let (low, high) = (format!("min{what}"), format!("max{what}"));
        if let (Some(least), Some(most)) = (count(&low)?, count(&high)?)
            && least > most
        {
            return location.fail(format!("{low:?} is {least}, above {high:?} {most}; no value fits"));
        }
    }
    Ok(())
}

/// Bounds are numbers and leave room.
fn check_numbers(map: &Map<String, Value>, location: &Location) -> Result<()> {
    let number = |key: &str| match map.get(key) {
        None => Ok(None),
        Some(value) => value
            .as_f64()
            .map(Some)
            .ok_or_else(|| location.error(format!("{key:?} is {}; give a number", describe(value)))),
    };
    for low in ["minimum", "exclusiveMinimum"] {
        for high in ["maximum", "exclusiveMaximum"] {
            let exclusive = low.starts_with('e') || high.starts_with('e');
            if let (Some(least), Some(most)) = (number(low)?, number(high)?)
                && (least > most || (exclusive && least >= most))
            {
                return location.fail(format!("{low:?} is {least}, {high:?} is {most}; no value fits"));
            }
        }
    }
    match number("multipleOf")? {
        Some(step) if step <= 0.0 => {
            location.fail(format!("\"multipleOf\" is {step}; give a number above 0"))
        }
        _ => Ok(()),
    }
}

/// `required` is a list of names, and of names that can be given.
fn check_required(map: &Map<String, Value>, location: &Location, place: Place) -> Result<()> {
    let Some(required) = map.get("required") else { return Ok(()) };
    let names: Option<Vec<&str>> =
        required.as_array().and_then(|names| names.iter().map(Value::as_str).collect());
    let Some(names) = names else {
        let found = list_or_scalar(required);
        return location.fail(format!("\"required\" is {found}; list the names of the required properties"));
    };
    // A branch may require what the schema around it describes, and some schemas describe more elsewhere.
    let open = ["$ref", "allOf", "anyOf", "oneOf", "if", "patternProperties", "dependentSchemas"];
    let elsewhere = place == Place::Branch
        || open.iter().any(|key| map.contains_key(*key))
        || map.get("additionalProperties").is_some_and(|schema| schema != &Value::Bool(false));
    let described =
        |name: &str| map.get("properties").is_some_and(|properties| properties.get(name).is_some());
    match names.iter().find(|name| !described(name)) {
        Some(name) if !elsewhere => location.fail(format!(
            "\"required\" names {name:?}, which is not in \"properties\"; describe it there or remove it"
        )),
        _ => Ok(()),
    }
}
