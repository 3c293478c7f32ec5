//! Where in a schema other schemas stand, and where its references lead.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// Keywords whose value is one schema that applies to the same value.
const IN_PLACE: [&str; 4] = ["not", "if", "then", "else"];
/// Keywords whose value is one schema that applies to a part of the value.
const BELOW: [&str; 8] = [
    "additionalProperties",
    "additionalItems",
    "items",
    "contains",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
];
/// Keywords whose value is a list of schemas.
const LISTS: [&str; 5] = ["allOf", "anyOf", "oneOf", "prefixItems", "items"];
/// Keywords whose value maps names to schemas.
const MAPS: [&str; 4] = ["properties", "patternProperties", "dependentSchemas", "dependencies"];
/// Keywords whose value maps names to schemas that apply only by reference.
const DEFINITIONS: [&str; 2] = ["$defs", "definitions"];

/// Whether a keyword's value is a schema, a list of them, or a map to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    One,
    List,
    Map,
}

/// How `keyword` holds schemas, given its value; `None` if it holds none.
pub(super) fn shape(keyword: &str, value: &Value) -> Option<Shape> {
    match value {
        Value::Array(_) if LISTS.contains(&keyword) => Some(Shape::List),
        Value::Object(_) if MAPS.contains(&keyword) => Some(Shape::Map),
        Value::Object(_) | Value::Bool(_) if IN_PLACE.contains(&keyword) || BELOW.contains(&keyword) => {
            Some(Shape::One)
        }
        _ => None,
    }
}

/// Whether schemas under `keyword` apply to the very value that the schema around them applies to.
pub(crate) fn in_place(keyword: &str) -> bool {
    IN_PLACE.contains(&keyword)
        || matches!(keyword, "allOf" | "anyOf" | "oneOf" | "dependentSchemas" | "dependencies")
}

/// The schemas directly inside `schema`, each with its keyword and its pointer below `pointer`; definitions
/// are not among them, as only a reference makes them apply.
pub(crate) fn children<'a>(
    schema: &'a Map<String, Value>,
    pointer: &str,
) -> Vec<(&'a str, String, &'a Value)> {
    let mut found = Vec::new();
    for (keyword, value) in schema {
        let keyword = keyword.as_str();
        match (shape(keyword, value), value) {
            (Some(Shape::One), _) => found.push((keyword, format!("{pointer}/{keyword}"), value)),
            (Some(Shape::List), Value::Array(list)) => {
                let each = list.iter().enumerate();
                found.extend(each.map(|(index, one)| (keyword, format!("{pointer}/{keyword}/{index}"), one)));
            }
            (Some(Shape::Map), Value::Object(map)) => {
                let schemas = map.iter().filter(|(_, one)| one.is_object() || one.is_boolean());
                found.extend(
                    schemas
                        .map(|(name, one)| (keyword, format!("{pointer}/{keyword}/{}", escaped(name)), one)),
                );
            }
            _ => {}
        }
    }
    found
}

/// The keyword that a pointer into a schema leads to or into; `schema` for the whole.
pub(super) fn keyword_at(pointer: &str) -> &str {
    let mut steps = pointer.split('/').skip(1).peekable();
    let mut last = "schema";
    while let Some(keyword) = steps.next() {
        last = keyword;
        let listed = steps.peek().is_some_and(|step| step.parse::<usize>().is_ok());
        if MAPS.contains(&keyword) || DEFINITIONS.contains(&keyword) || (LISTS.contains(&keyword) && listed) {
            steps.next();
        } else if !IN_PLACE.contains(&keyword) && !BELOW.contains(&keyword) {
            break;
        }
    }
    last
}

/// A name as one step of a JSON pointer.
pub(super) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Finds what a schema's references mean.
pub(crate) struct References<'a> {
    root: &'a Value,
    id: Option<&'a str>,
    anchors: HashMap<&'a str, String>,
}

impl<'a> References<'a> {
    pub(crate) fn new(root: &'a Value) -> Self {
        let mut anchors = HashMap::new();
        let mut open = vec![(String::new(), root)];
        while let Some((pointer, value)) = open.pop() {
            match value {
                Value::Object(map) => {
                    if let Some(anchor) = map.get("$anchor").and_then(Value::as_str) {
                        anchors.entry(anchor).or_insert_with(|| pointer.clone());
                    }
                    // What enum, const, default and examples hold is data.
                    let schemas = map.iter().filter(|(key, _)| {
                        !matches!(key.as_str(), "enum" | "const" | "default" | "examples")
                    });
                    open.extend(schemas.map(|(key, one)| (format!("{pointer}/{}", escaped(key)), one)));
                }
                Value::Array(list) => {
                    let each = list.iter().enumerate();
                    open.extend(each.map(|(index, one)| (format!("{pointer}/{index}"), one)));
                }
                _ => {}
            }
        }
        let id = root.get("$id").and_then(Value::as_str).map(|id| id.trim_end_matches('#'));
        Self { root, id, anchors }
    }

    /// The pointer and the schema that `reference` names; `None` for what is not in this document.
    pub(crate) fn resolve(&self, reference: &str) -> Option<(String, &'a Value)> {
        let reference = self.id.and_then(|id| reference.strip_prefix(id)).unwrap_or(reference);
        let fragment = percent_decoded(match reference {
            "" => "",
            _ => reference.strip_prefix('#')?,
        })?;
        let pointer = if fragment.is_empty() || fragment.starts_with('/') {
            fragment
        } else {
            self.anchors.get(fragment.as_str())?.clone()
        };
        let target = self.root.pointer(&pointer)?;
        (target.is_object() || target.is_boolean()).then_some((pointer, target))
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pointers_lead_to_keywords() {
        for (pointer, keyword) in [
            ("", "schema"),
            ("/properties/properties/type", "type"),
            ("/$defs/a~1b/items/0/enum/3/x", "enum"),
            ("/items/properties/a", "properties"),
            ("/allOf/1", "allOf"),
            ("/additionalProperties", "additionalProperties"),
        ] {
            assert_eq!(keyword_at(pointer), keyword, "{pointer}");
        }
    }

    #[test]
    fn references_lead_to_pointers_and_anchors_of_the_same_document() {
        let root = json!({"$id": "https://example.com/a", "$defs": {
            "a/b": {"type": "null"}, "n%": {"$anchor": "here"}, "text": "no schema"}});
        let references = References::new(&root);
        let at = |reference| references.resolve(reference).map(|(pointer, _)| pointer);
        assert_eq!(at("#").as_deref(), Some(""));
        assert_eq!(at("#/$defs/a~1b").as_deref(), Some("/$defs/a~1b"));
        assert_eq!(at("#/%24defs/n%25").as_deref(), Some("/$defs/n%"));
        assert_eq!(at("#here").as_deref(), Some("/$defs/n%"));
        assert_eq!(at("https://example.com/a#here").as_deref(), Some("/$defs/n%"));
        for wrong in
            ["#/nowhere", "#gone", "other.json", "https://example.com/b", "#/$defs/text", "#%zz", "#%e9"]
        {
            assert_eq!(at(wrong), None, "{wrong}");
        }
    }
}
