//! Rewrites spellings of other dialects into JSON Schema 2020-12, one schema at a time.
//!
//! `OpenAPI` and Gemini (`nullable`, upper-case types, sizes as strings, `propertyOrdering`), Python type
//! names, draft 3 (`required: true` in a property), draft 4 (`exclusiveMinimum: true`) and draft 7 (`items` as
//! a list, `dependencies`).

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::location::{Location, describe};
use crate::error::Result;

/// Rewrites the keywords of one schema; schemas inside it are not touched, except to lift what they require.
pub(super) fn rewrite(map: &mut Map<String, Value>, location: &Location) -> Result<()> {
    drop_nulls(map);
    rewrite_type(map, location)?;
    rewrite_nullable(map);
    rewrite_sizes(map);
    rewrite_exclusive(map, "minimum", "exclusiveMinimum");
    rewrite_exclusive(map, "maximum", "exclusiveMaximum");
    rewrite_tuple(map);
    rewrite_dependencies(map);
    if map.get("format").is_some_and(|format| format == "enum") {
        map.shift_remove("format");
    }
    lift_required(map);
    order_properties(map);
    Ok(())
}

/// Serialised objects write every field; only in some keywords a null means the null.
pub(super) fn drop_nulls(map: &mut Map<String, Value>) {
    map.retain(|key, value| !value.is_null() || matches!(key.as_str(), "default" | "const" | "example"));
}

/// What a type name stands for.
#[derive(Clone, Copy)]
enum Meaning {
    /// One of the seven types of JSON Schema.
    Is(&'static str),
    /// No restriction.
    Any,
}

/// Reads a type name of JSON Schema (in any case), Python or Gemini.
fn meaning(name: &str) -> Option<Meaning> {
    Some(match name.to_ascii_lowercase().as_str() {
        "string" | "str" => Meaning::Is("string"),
        "integer" | "int" | "long" => Meaning::Is("integer"),
        "number" | "float" | "double" => Meaning::Is("number"),
        "boolean" | "bool" => Meaning::Is("boolean"),
        "array" | "list" | "tuple" | "set" => Meaning::Is("array"),
        "object" | "dict" | "map" => Meaning::Is("object"),
        "null" | "none" => Meaning::Is("null"),
        "any" | "type_unspecified" => Meaning::Any,
        _ => return None,
    })
}

/// A remedy for a type name that JSON Schema does not have.
fn remedy(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    let instead = match lower.as_str() {
        "date" | "time" | "uuid" | "email" | "uri" | "duration" | "hostname" | "ipv4" | "ipv6" => {
            return format!("JSON Schema says \"string\" with \"format\": {lower:?}");
        }
        "datetime" | "date-time" | "timestamp" => {
            return "JSON Schema says \"string\" with \"format\": \"date-time\"".into();
        }
        "enum" => return "JSON Schema says \"string\" with the values in \"enum\"".into(),
        "text" | "char" | "varchar" | "url" | "file" | "path" | "bytes" | "binary" => "string",
        "short" | "byte" | "int32" | "int64" | "integers" => "integer",
        "decimal" | "real" | "float32" | "float64" | "numeric" => "number",
        "bit" | "flag" => "boolean",
        "arraylist" | "vector" | "sequence" => "array",
        "hashmap" | "struct" | "record" | "json" => "object",
        _ => {
            return "JSON Schema has \"string\", \"integer\", \"number\", \"boolean\", \"array\", \"object\" and \"null\""
                .into();
        }
    };
    format!("JSON Schema says {instead:?}")
}

/// Spells `type` as JSON Schema does; drops it where it says "any".
pub(super) fn rewrite_type(map: &mut Map<String, Value>, location: &Location) -> Result<()> {
    let read = |name: &str| {
        meaning(name).ok_or_else(|| location.error(format!("\"type\" is {name:?}; {}", remedy(name))))
    };
    let rewritten = match map.get("type") {
        None => return Ok(()),
        Some(Value::String(name)) => match read(name)? {
            Meaning::Is(kind) => Some(json!(kind)),
            Meaning::Any => None,
        },
        Some(Value::Array(names)) => {
            if names.is_empty() {
                return location.fail("\"type\" is an empty list, so that no value fits; name a type");
            }
            let mut kinds = Vec::with_capacity(names.len().min(7));
            let mut any = false;
            for name in names {
                let Value::String(name) = name else {
                    return location.fail(format!("\"type\" lists {}; name types", describe(name)));
                };
                match read(name)? {
                    Meaning::Is(kind) if !kinds.contains(&kind) => kinds.push(kind),
                    Meaning::Is(_) => {}
                    Meaning::Any => any = true,
                }
            }
            (!any).then(|| if let [kind] = kinds[..] { json!(kind) } else { json!(kinds) })
        }
        Some(other) => {
            return location.fail(format!("\"type\" is {}; name a type such as \"string\"", describe(other)));
        }
    };
    match rewritten {
        Some(kind) => drop(map.insert("type".into(), kind)),
        None => drop(map.shift_remove("type")),
    }
    Ok(())
}

/// `OpenAPI`'s `nullable: true` becomes the type null beside the others.
fn rewrite_nullable(map: &mut Map<String, Value>) {
    let Some(Value::Bool(nullable)) = map.get("nullable") else { return };
    let nullable = *nullable;
    map.shift_remove("nullable");
    if !nullable {
        return;
    }
    match map.get_mut("type") {
        Some(Value::Array(kinds)) if !kinds.contains(&json!("null")) => kinds.push(json!("null")),
        Some(Value::String(kind)) if kind != "null" => {
            let kinds = json!([kind, "null"]);
            map.insert("type".into(), kinds);
        }
        _ => {}
    }
    if let Some(Value::Array(choices)) = map.get_mut("enum")
        && !choices.contains(&Value::Null)
    {
        choices.push(Value::Null);
    }
    let null = json!({"type": "null"});
    for key in ["anyOf", "oneOf"] {
        if let Some(Value::Array(alternatives)) = map.get_mut(key) {
            alternatives.push(null.clone());
        }
    }
    if map.contains_key("anyOf") {
        return;
    }
    let inherited: Map<String, Value> =
        ["$ref", "allOf"].iter().filter_map(|key| map.shift_remove_entry(*key)).collect();
    if !inherited.is_empty() {
        map.insert("anyOf".into(), Value::Array(vec![inherited.into(), null]));
    }
}

/// Gemini writes 64-bit sizes as strings, and `4.0` is the whole number 4 to JSON Schema.
fn rewrite_sizes(map: &mut Map<String, Value>) {
    const SIZES: [&str; 8] = [
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
        "minContains",
        "maxContains",
    ];
    for key in SIZES {
        let Some(value) = map.get_mut(key) else { continue };
        let whole = match &*value {
            Value::String(digits) => digits.parse::<u64>().ok(),
            // Written out without a fraction, every whole f64 below 2^64 is its own decimal text.
            Value::Number(number) if number.is_f64() => number
                .as_f64()
                .filter(|number| number.fract() == 0.0)
                .and_then(|number| format!("{number}").parse().ok()),
            _ => None,
        };
        if let Some(whole) = whole {
            *value = json!(whole);
        }
    }
}

/// Draft 4: `exclusiveMinimum: true` beside `minimum`.
fn rewrite_exclusive(map: &mut Map<String, Value>, bound: &str, exclusive: &str) {
    let Some(Value::Bool(strict)) = map.get(exclusive) else { return };
    let strict = *strict;
    map.shift_remove(exclusive);
    if strict && let Some(value) = map.shift_remove(bound) {
        map.insert(exclusive.into(), value);
    }
}

/// Draft 7: `items` as a list is now `prefixItems`, and `additionalItems` is `items`.
fn rewrite_tuple(map: &mut Map<String, Value>) {
    if !map.get("items").is_some_and(Value::is_array) {
        return;
    }
    if let Some(tuple) = map.shift_remove("items") {
        // An empty tuple says nothing, and an empty `prefixItems` is not allowed.
        if tuple.as_array().is_some_and(|tuple| !tuple.is_empty()) {
            map.insert("prefixItems".into(), tuple);
        }
    }
    if let Some(rest) = map.shift_remove("additionalItems") {
        map.insert("items".into(), rest);
    }
}

/// Draft 7: `dependencies` is now `dependentRequired` for lists and `dependentSchemas` for schemas.
fn rewrite_dependencies(map: &mut Map<String, Value>) {
    if !map.get("dependencies").is_some_and(Value::is_object) {
        return;
    }
    let Some(Value::Object(dependencies)) = map.shift_remove("dependencies") else { return };
    for (name, dependency) in dependencies {
        let key = if dependency.is_array() { "dependentRequired" } else { "dependentSchemas" };
        if let Some(into) = map.entry(key).or_insert_with(|| json!({})).as_object_mut() {
            into.insert(name, dependency);
        }
    }
}

/// Lifts `required: true` out of properties into the object's `required` list.
fn lift_required(map: &mut Map<String, Value>) {
    let Some(Value::Object(properties)) = map.get_mut("properties") else { return };
    let lifted = hoist_required(properties);
    if lifted.is_empty() {
        return;
    }
    if let Value::Array(required) = map.entry("required").or_insert_with(|| json!([])) {
        let listed: HashSet<String> = required.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        required.extend(
            lifted.into_iter().filter(|name| name.as_str().is_none_or(|name| !listed.contains(name))),
        );
    }
}

/// Removes the marks `required: bool` and `optional: bool` from properties; gives the names marked required.
pub(super) fn hoist_required(properties: &mut Map<String, Value>) -> Vec<Value> {
    let mut required = Vec::new();
    for (name, property) in properties {
        let Value::Object(property) = property else { continue };
        if let Some(Value::Bool(marked)) = property.get("required") {
            if *marked {
                required.push(json!(name));
            }
            property.shift_remove("required");
        }
        if property.get("optional").is_some_and(Value::is_boolean) {
            property.shift_remove("optional");
        }
    }
    required
}

/// Gemini's `propertyOrdering` is the order in which arguments are written; ours is that of `properties`.
fn order_properties(map: &mut Map<String, Value>) {
    let ordering = ["propertyOrdering", "property_ordering"].iter().find_map(|key| map.shift_remove(*key));
    let (Some(Value::Array(ordering)), Some(Value::Object(properties))) =
        (ordering, map.get_mut("properties"))
    else {
        return;
    };
    let rank: HashMap<&str, usize> =
        ordering.iter().enumerate().filter_map(|(rank, name)| Some((name.as_str()?, rank))).collect();
    let mut entries: Vec<(String, Value)> = std::mem::take(properties).into_iter().collect();
    entries.sort_by_key(|(name, _)| rank.get(name.as_str()).copied().unwrap_or(usize::MAX));
    properties.extend(entries);
}
