//! How much work a validation is: references let alternatives multiply, level by level.

use std::collections::HashMap;

use serde_json::Value;

use crate::grammar::{References, children, in_place};

/// Schemas applied to values in one validation; some tenths of a second of work.
const MAX_STEPS: u64 = 100_000;
/// Steps inside one another.
const MAX_DEPTH: usize = 1000;

/// Whether the schema holds a reference; without one, work is at most schema times value.
pub(super) fn has_references(schema: &Value) -> bool {
    let mut open = vec![schema];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(map) if map.contains_key("$ref") => return true,
            Value::Object(map) => open.extend(map.values()),
            Value::Array(list) => open.extend(list),
            _ => {}
        }
    }
    false
}

/// Whether a validator that tries every alternative ends soon; `schema` was inspected.
pub(super) fn is_bounded(schema: &Value, value: &Value) -> bool {
    let mut work = Work { references: References::new(schema), known: HashMap::new() };
    work.steps(schema, value, 0) <= MAX_STEPS
}

struct Work<'a> {
    references: References<'a>,
    /// Steps of one schema on one value, by address: counted once, though they are made many times.
    known: HashMap<(*const Value, *const Value), u64>,
}

impl<'a> Work<'a> {
    fn steps(&mut self, schema: &'a Value, value: &Value, depth: usize) -> u64 {
        let Value::Object(map) = schema else { return 1 };
        let pair = (std::ptr::from_ref(schema), std::ptr::from_ref(value));
        if let Some(&steps) = self.known.get(&pair) {
            return steps;
        }
        if depth > MAX_DEPTH {
            return u64::MAX;
        }
        let mut steps: u64 = 1;
        let reference = map.get("$ref").and_then(Value::as_str);
        if let Some((_, target)) = reference.and_then(|reference| self.references.resolve(reference)) {
            steps = steps.saturating_add(self.steps(target, value, depth + 1));
        }
        for (keyword, pointer, inner) in children(map, "") {
            if in_place(keyword) {
                steps = steps.saturating_add(self.steps(inner, value, depth + 1));
                continue;
            }
            let parts: Vec<&Value> = match (keyword, value) {
                ("properties", Value::Object(_)) => {
                    let member = pointer.strip_prefix("/properties").and_then(|name| value.pointer(name));
                    member.into_iter().collect()
                }
                ("propertyNames", Value::Object(members)) => {
                    steps = steps.saturating_add(members.len() as u64);
                    continue;
                }
                (
                    "patternProperties" | "additionalProperties" | "unevaluatedProperties",
                    Value::Object(members),
                ) => members.values().collect(),
                (
                    "items" | "prefixItems" | "additionalItems" | "unevaluatedItems" | "contains",
                    Value::Array(items),
                ) => items.iter().collect(),
                _ => continue,
            };
            for part in parts {
                steps = steps.saturating_add(self.steps(inner, part, depth + 1));
            }
        }
        self.known.insert(pair, steps);
        steps
    }
}
