//! Finds the keyword that a schema's compilation fails on: the compiler's own message has no place in it.

use std::collections::HashSet;

use serde_json::Value;

use super::prepare::joined;
use super::refs::children;

/// Compilations in one search.
const MAX_TRIALS: usize = 300;

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
/// `compiles` tells whether a schema compiles; `root` must not.
pub(super) fn blame(root: &Value, compiles: &mut dyn FnMut(&Value) -> bool) -> Culprit {
    let definitions = root.get("$defs");
    let mut trials = 0;
    let mut fails = |schema: &Value| {
        trials += 1;
        trials <= MAX_TRIALS && !compiles(&with_definitions(schema, definitions))
    };
    let mut pointer = String::new();
    let mut followed = HashSet::new();
    while let Some(map) = root.pointer(&pointer).and_then(Value::as_object) {
        let mut inner: Vec<String> = children(map, &pointer).into_iter().map(|(_, below, _)| below).collect();
        let reference = map.get("$ref").and_then(Value::as_str).and_then(|one| one.strip_prefix('#'));
        inner.extend(reference.filter(|target| followed.insert((*target).to_owned())).map(str::to_owned));
        match inner.into_iter().find(|one| root.pointer(one).is_some_and(&mut fails)) {
            Some(deeper) => pointer = deeper,
            None => break,
        }
    }
    let schema = root.pointer(&pointer).and_then(Value::as_object);
    let keyword = schema.and_then(|schema| {
        let mut keywords = schema.keys().filter(|keyword| *keyword != "$defs");
        let found = keywords.find(|&keyword| {
            let mut without = schema.clone();
            without.shift_remove(keyword);
            // Every trial costs; one that cannot be made proves nothing.
            let without = Value::Object(without);
            !fails(&without)
        });
        found.cloned()
    });
    let keyword = keyword.filter(|_| trials <= MAX_TRIALS);
    Culprit { schema: pointer, keyword }
}

fn with_definitions(schema: &Value, definitions: Option<&Value>) -> Value {
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
            !here.contains("bad") && !here.contains("$ref")
        });
        assert_eq!(culprit.pointer(), "/$defs/0/items/pattern");
    }

    #[test]
    fn without_a_single_culprit_the_schema_is_named() {
        let culprit = blame(&json!({"items": {"a": 1, "b": 2}}), &mut |_| false);
        assert_eq!(culprit, Culprit { schema: "/items".into(), keyword: None });
    }
}
