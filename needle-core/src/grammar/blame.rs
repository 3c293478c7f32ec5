//! Finds the keyword that a schema's compilation fails on: the compiler's own message has no place in it.

use std::collections::HashSet;

use serde_json::Value;

use super::keywords::can_be_left_out;
use super::prepare::{joined, leave_out};
use super::refs::children;

/// A keyword that stands in the way.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Culprit {
    /// Pointer to the schema that holds it, in the rewritten schema.
    pub(super) schema: String,
    /// The keyword; `None` if taking out no single keyword helps.
    pub(super) keyword: Option<String>,
}

impl Culprit {
    /// Pointer to the keyword, or to the schema.
    pub(super) fn pointer(&self) -> String {
        self.keyword.as_ref().map_or_else(|| self.schema.clone(), |keyword| joined(&self.schema, keyword))
    }
}

/// Goes down to the smallest schema that fails by itself, then takes out one keyword after the other.
///
/// `compiles` tells whether a schema compiles, or nothing once too much was tried; `root` must not compile.
pub(super) fn blame(root: &Value, compiles: &mut dyn FnMut(&Value) -> Option<bool>) -> Culprit {
    let definitions = root.get("$defs");
    let mut gave_up = false;
    let mut fails = |schema: &Value| {
        let result = compiles(&with_definitions(schema, definitions));
        gave_up |= result.is_none();
        result != Some(true)
    };
    let mut pointer = String::new();
    let mut followed = HashSet::new();
    while let Some(map) = root.pointer(&pointer).and_then(Value::as_object) {
        let parts: Vec<String> = children(map, "").into_iter().map(|(_, below, _)| below).collect();
        let here = Value::Object(map.clone());
        let failing: Vec<String> =
            parts.into_iter().filter(|below| here.pointer(below).is_some_and(&mut fails)).collect();
        // A part that fails by itself need not be the cause: false in additionalProperties is not. It is if
        // the schema compiles with anything in its place; of several causes, the first one that says more
        // than false is taken.
        let single = failing.iter().find(|below| {
            let mut without = here.clone();
            without.pointer_mut(below).map(|part| *part = Value::Bool(true)).is_some() && !fails(&without)
        });
        let cause =
            single.or_else(|| failing.iter().find(|below| here.pointer(below).is_some_and(Value::is_object)));
        let reference = map.get("$ref").and_then(Value::as_str).and_then(|one| one.strip_prefix('#'));
        let target = || {
            let target = reference.filter(|target| root.pointer(target).is_some_and(&mut fails))?;
            followed.insert(target.to_owned()).then(|| target.to_owned())
        };
        match cause.map(|below| format!("{pointer}{below}")).or_else(target) {
            Some(deeper) => pointer = deeper,
            None => break,
        }
    }
    let schema = root.pointer(&pointer).and_then(Value::as_object);
    let keyword = schema.and_then(|schema| {
        let mut keywords: Vec<&String> = schema.keys().filter(|keyword| *keyword != "$defs").collect();
        keywords.sort_by_key(|keyword| !can_be_left_out(keyword));
        let found = keywords.into_iter().find(|&keyword| {
            let mut without = Value::Object(schema.clone());
            leave_out(&mut without, "", keyword) && !fails(&without)
        });
        found.cloned()
    });
    let keyword = keyword.filter(|_| !gave_up);
    Culprit { schema: pointer, keyword }
}

/// The schema with the definitions that its references name.
pub(super) fn with_definitions(schema: &Value, definitions: Option<&Value>) -> Value {
    match (schema, definitions) {
        (Value::Object(map), Some(definitions)) => {
            let mut map = map.clone();
            map.insert("$defs".into(), definitions.clone());
            Value::Object(map)
        }
        _ => schema.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn goes_down_to_the_keyword_also_through_references() {
        let root = json!({"properties": {"a": {"type": "string"}, "b": {"$ref": "#/$defs/0"}},
            "$defs": {"0": {"items": {"type": "string", "pattern": "bad"}}}});
        let culprit = blame(&root, &mut |schema| {
            let here = schema.as_object().map(|map| {
                let mut map = map.clone();
                map.shift_remove("$defs");
                Value::Object(map).to_string()
            });
            let here = here.unwrap_or_default();
            Some(!here.contains("bad") && !here.contains("$ref"))
        });
        assert_eq!(culprit.pointer(), "/$defs/0/items/pattern");
    }

    #[test]
    fn without_a_single_culprit_the_schema_is_named() {
        let culprit = blame(&json!({"items": {"a": 1, "b": 2}}), &mut |_| Some(false));
        assert_eq!(culprit, Culprit { schema: "/items".into(), keyword: None });
        let culprit = blame(&json!({"items": {"a": 1}}), &mut |schema| schema.get("items").map(|_| false));
        assert_eq!(culprit.keyword, None);
    }
}
