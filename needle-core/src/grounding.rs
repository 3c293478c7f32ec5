//! Which arguments the query does not contain.
//!
//! A small model may write a value that nobody said. Numbers, booleans and enumerated strings are often derived
//! ("half an hour" is 30), so only free strings are looked at, those whose schema has no `enum` or `const`, and
//! numbers that were cut out of a longer one.

use serde_json::Value;

use crate::call::ToolCall;

/// An argument that the query does not contain.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct UngroundedArgument {
    /// Index of the call.
    pub call: usize,
    /// JSON pointer into its arguments.
    pub pointer: String,
    /// The value; a number as its digits.
    pub value: String,
}

/// Subschemas looked at for one value; a schema with more alternatives is looked at in part.
const MAX_SUBSCHEMAS: usize = 256;

/// Digits from which on a number is copied, not derived: fewer may be the hour of "0830" or the year of "20260101".
const COPIED_DIGITS: usize = 5;

/// Free strings among a call's arguments that are not literally in the query, and numbers that are only part of a longer
/// one there.
///
/// Letter case, runs of white space, and punctuation at both ends of the value do not count.
/// `call` is the call's index for the report, `schema` the tool's parameters.
pub fn ungrounded(query: &str, call: usize, arguments: &ToolCall, schema: &Value) -> Vec<UngroundedArgument> {
    let query = folded(query);
    let mut found = Vec::new();
    let value = Value::Object(arguments.arguments.clone());
    walk(schema, &[schema], &value, &mut String::new(), &mut |pointer, value| {
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let wanted = folded(text.trim_matches(|c: char| !c.is_alphanumeric()));
        // Fewer digits are likely to be derived.
        let is_copied = value.is_string() || wanted.len() >= COPIED_DIGITS && query.contains(&wanted);
        if is_copied && !stands_whole(&query, &wanted) {
            found.push(UngroundedArgument { call, pointer: pointer.into(), value: text });
        }
    });
    found
}

/// Whether `wanted` is somewhere in `query` without cutting a run of digits.
fn stands_whole(query: &str, wanted: &str) -> bool {
    let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    let (opens, closes) = (is_digit(wanted.chars().next()), is_digit(wanted.chars().next_back()));
    query.match_indices(wanted).any(|(start, _)| {
        let (before, after) = (&query[..start], &query[start + wanted.len()..]);
        !(opens && is_digit(before.chars().next_back()) || closes && is_digit(after.chars().next()))
    })
}

/// Lower case, with every run of white space one space.
fn folded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// Reports every free string and every number in `value`, which stands where `schemas` (alternatives) apply.
///
/// The recursion follows the value, whose depth JSON's reader has bounded.
fn walk(
    root: &Value,
    schemas: &[&Value],
    value: &Value,
    pointer: &mut String,
    report: &mut dyn FnMut(&str, &Value),
) {
    let schemas = expanded(root, schemas);
    match value {
        Value::String(_) | Value::Number(_) => {
            let enumerated = schemas.iter().any(|schema| {
                schema.get("const") == Some(value)
                    || schema.get("enum").and_then(Value::as_array).is_some_and(|all| all.contains(value))
            });
            if !enumerated {
                report(pointer, value);
            }
        }
        Value::Object(members) => {
            for (key, member) in members {
                let below: Vec<&Value> = schemas
                    .iter()
                    .filter_map(|schema| {
                        let property = schema.get("properties").and_then(|all| all.get(key));
                        property.or_else(|| schema.get("additionalProperties"))
                    })
                    .collect();
                let length = pointer.len();
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
                walk(root, &below, member, pointer, report);
                pointer.truncate(length);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let below: Vec<&Value> = schemas
                    .iter()
                    .filter_map(|schema| {
                        let fixed = schema.get("prefixItems").and_then(|all| all.get(index));
                        fixed.or_else(|| schema.get("items"))
                    })
                    .collect();
                let length = pointer.len();
                pointer.push('/');
                pointer.push_str(&index.to_string());
                walk(root, &below, item, pointer, report);
                pointer.truncate(length);
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

/// The schemas themselves, what their local `$ref`s name, and all their alternatives.
fn expanded<'a>(root: &'a Value, schemas: &[&'a Value]) -> Vec<&'a Value> {
    let mut all: Vec<&Value> = schemas.to_vec();
    let mut next = 0;
    while next < all.len() && all.len() < MAX_SUBSCHEMAS {
        let schema = all[next];
        next += 1;
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix('#'));
        all.extend(target.and_then(|path| root.pointer(path)));
        for keyword in ["anyOf", "oneOf", "allOf"] {
            all.extend(schema.get(keyword).and_then(Value::as_array).into_iter().flatten());
        }
        // A cycle of references repeats the same places; comparing addresses finds it.
        let mut kept: Vec<&Value> = Vec::with_capacity(all.len());
        for &candidate in &all {
            if !kept.iter().any(|&known| std::ptr::eq(known, candidate)) {
                kept.push(candidate);
            }
        }
        all = kept;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(query: &str, arguments: &str, schema: &str) -> Vec<String> {
        let call = ToolCall { name: "t".into(), arguments: serde_json::from_str(arguments).unwrap() };
        let schema = serde_json::from_str(schema).unwrap();
        ungrounded(query, 0, &call, &schema).into_iter().map(|found| found.pointer).collect()
    }

    #[test]
    fn only_free_strings_that_nobody_said_are_reported() {
        let schema = r##"{"properties": {
            "city": {"type": "string"}, "unit": {"enum": ["celsius", "kelvin"]},
            "tags": {"type": "array", "items": {"anyOf": [{"const": "urgent"}, {"type": "string"}]}},
            "at": {"$ref": "#/$defs/place"}},
            "$defs": {"place": {"properties": {"a/b": {"type": "string"}, "in": {"$ref": "#/$defs/place"}}}}}"##;
        let query = "Weather in new   YORK, tagged home";
        assert_eq!(pointers(query, r#"{"city":" New York. ","unit":"kelvin"}"#, schema), [""; 0]);
        assert_eq!(
            pointers(
                query,
                r#"{"city":"Boston","tags":["urgent","home","work"],"at":{"in":{"a/b":"x"}}}"#,
                schema
            ),
            ["/city", "/tags/2", "/at/in/a~1b"]
        );
    }

    #[test]
    fn numbers_that_are_part_of_a_longer_one_are_reported() {
        let schema = r#"{"properties": {"order": {"type": "integer"}, "id": {"type": "string"},
            "hour": {"type": "integer"}, "level": {"enum": [90071]}}}"#;
        let query = "order 9007199254740993 of 12345 at 0830, ref b42";
        let cut = r#"{"order":90071992,"id":"9007199","hour":8,"level":90071}"#;
        assert_eq!(pointers(query, cut, schema), ["/order", "/id"]);
        let whole = r#"{"order":9007199254740993,"id":"42","hour":30}"#;
        assert_eq!(pointers(query, whole, schema), [""; 0]);
        assert_eq!(pointers(query, r#"{"order":12345,"hour":77777}"#, schema), [""; 0]);
    }

    #[test]
    fn reference_cycles_end() {
        let schema = r##"{"$ref": "#", "anyOf": [{"$ref": "#"}]}"##;
        assert_eq!(pointers("hello", r#"{"a":"b"}"#, schema), ["/a"]);
    }
}
