//! Needle's flat parameters: a map from name to schema, each with `required: bool`.
//!
//! The published checkpoint was trained on this form, so JSON Schema parameters are folded into it for its
//! prompt. Folding is for reading only and drops what the form cannot say; validation uses the whole schema.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::reference;

/// Schemas written out per tool when references are expanded; beyond, a schema is left out. A prompt holds
/// about a thousand tokens, so this cuts nothing that would be read.
const MAX_SCHEMAS: usize = 4096;

/// Schemas followed one inside the other, references included; keeps the walk's stack small.
const MAX_DEPTH: usize = 64;

/// Keywords that the flat form does not have.
const DROPPED: [&str; 9] = [
    "title",
    "$defs",
    "definitions",
    "$schema",
    "$id",
    "$comment",
    "additionalProperties",
    "examples",
    "required",
];

/// Whether parameters are a flat map and not a JSON Schema.
///
/// A parameter may be called `type` or `properties`; what tells them apart is that its value is a schema.
pub fn is_flat(parameters: &Map<String, Value>) -> bool {
    let schema_keyword = |(key, value): (&String, &Value)| match key.as_str() {
        "properties" => match value {
            Value::Object(named) => {
                !named.get("type").is_some_and(|kind| kind.is_string() || kind.is_array())
            }
            _ => true,
        },
        "$defs" | "definitions" => value.get("type").is_none_or(Value::is_object),
        "type" | "required" | "anyOf" | "oneOf" | "allOf" | "enum" => !value.is_object(),
        "$ref" | "$schema" | "description" | "title" => value.is_string(),
        "additionalProperties" => value.is_boolean(),
        _ => false,
    };
    !parameters.is_empty() && !parameters.iter().any(schema_keyword)
}

/// Folds the schema of a tool's parameters into the flat form.
pub fn fold(parameters: &Value) -> Value {
    let mut folder = Folder { root: parameters, schemas: 0, depth: 0 };
    parameters.as_object().map_or_else(|| json!({}), |object| folder.properties(object))
}

/// The walk over one tool's schema.
struct Folder<'a> {
    root: &'a Value,
    schemas: usize,
    depth: usize,
}

impl Folder<'_> {
    /// A schema with references expanded and null alternatives taken away; `type` and `description` first.
    fn simplify(&mut self, schema: &Value) -> Map<String, Value> {
        let within = self.schemas < MAX_SCHEMAS && self.depth < MAX_DEPTH;
        let (Value::Object(schema), true) = (schema, within) else { return Map::new() };
        self.schemas += 1;
        self.depth += 1;
        let mut out = Map::new();
        for key in ["type", "description"] {
            if let Some(value) = schema.get(key) {
                out.insert(key.into(), value.clone());
            }
        }
        if let Some(Value::Array(kinds)) = out.get_mut("type")
            && let Some(kind) = kinds.iter().find(|kind| *kind != "null").cloned()
        {
            out.insert("type".into(), kind);
        }
        for (key, value) in schema {
            match (key.as_str(), value) {
                ("$ref", Value::String(target)) => self.merge_target(target, &mut out),
                ("anyOf" | "oneOf", Value::Array(branches)) => self.merge_branches(key, branches, &mut out),
                ("allOf", Value::Array(branches)) => {
                    for branch in branches {
                        let inner = self.simplify(branch);
                        merge(inner, &mut out);
                    }
                }
                ("items", items @ Value::Object(_)) => {
                    let items = self.simplify(items);
                    out.insert(key.clone(), Value::Object(items));
                }
                ("properties", Value::Object(_)) => {
                    out.insert(key.clone(), self.properties(schema));
                }
                (key, value) if !DROPPED.contains(&key) => {
                    out.entry(key).or_insert_with(|| value.clone());
                }
                _ => {}
            }
        }
        self.depth -= 1;
        out
    }

    /// The properties of an object in the flat form.
    fn properties(&mut self, object: &Map<String, Value>) -> Value {
        let required = object.get("required").and_then(Value::as_array);
        let required: HashSet<&str> = required.into_iter().flatten().filter_map(Value::as_str).collect();
        let properties = object.get("properties").and_then(Value::as_object);
        let flat = properties.into_iter().flatten().map(|(name, schema)| {
            let mut property = self.simplify(schema);
            property.insert("required".into(), json!(required.contains(name.as_str())));
            (name.clone(), Value::Object(property))
        });
        Value::Object(flat.collect())
    }

    /// Adds what a reference says; one inside itself ends at the depth limit.
    fn merge_target(&mut self, target: &str, out: &mut Map<String, Value>) {
        if let Some(found) = reference::resolve(self.root, target) {
            let inner = self.simplify(found);
            merge(inner, out);
        }
    }

    /// `T or null` is `T`; several other alternatives stay alternatives.
    fn merge_branches(&mut self, key: &str, branches: &[Value], out: &mut Map<String, Value>) {
        let real: Vec<&Value> =
            branches.iter().filter(|branch| branch.get("type") != Some(&json!("null"))).collect();
        if let [only] = real[..] {
            let inner = self.simplify(only);
            merge(inner, out);
        } else {
            let branches = real.into_iter().map(|branch| Value::Object(self.simplify(branch))).collect();
            out.insert(key.into(), Value::Array(branches));
        }
    }
}

/// Adds the keywords that are not there yet, `type` in front.
fn merge(inner: Map<String, Value>, out: &mut Map<String, Value>) {
    for (key, value) in inner {
        if out.contains_key(&key) {
            continue;
        }
        if key == "type" {
            out.shift_insert(0, key, value);
        } else {
            out.insert(key, value);
        }
    }
}
