//! Whether grammar and validation together would let given arguments through, and where they stop.

use serde_json::{Map, Number, Value};

use crate::grammar::{Support, ToolGrammar, Vocabulary, reads};
use crate::validation::{ValidationFailure, Validator};

/// What the two gates say of one instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Acceptance {
    /// How far the grammar follows the schema.
    pub support: Support,
    /// Whether the grammar lets the instance be written.
    pub grammar: Result<(), Stop>,
    /// Whether the instance fits the schema.
    pub validation: Result<(), ValidationFailure>,
}

impl Acceptance {
    /// Whether the instance could be the arguments of a call.
    pub fn accepted(&self) -> bool {
        self.grammar.is_ok() && self.validation.is_ok()
    }
}

/// Where the grammar stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Bytes of `text` that the grammar takes.
    pub offset: usize,
    /// The instance as compact JSON with its keys in the schema's order.
    pub text: String,
}

/// Tries an instance on a schema: its keys in the schema's order, as compact JSON.
///
/// Equal spellings count as one: `5.0` is tried as `5`, and a value that `enum` or `const` names is spelled
/// as there.
pub fn accepts(vocabulary: &Vocabulary, schema: &Value, instance: &Value) -> Acceptance {
    Judge::new(vocabulary, schema).accepts(instance)
}

/// [`accepts`] for many instances of one schema, which is compiled once.
#[derive(Debug)]
pub struct Judge<'a> {
    vocabulary: &'a Vocabulary,
    schema: &'a Value,
    tool: ToolGrammar,
    support: Support,
    validator: Option<Validator>,
}

impl<'a> Judge<'a> {
    /// Compiles the schema for both gates.
    pub fn new(vocabulary: &'a Vocabulary, schema: &'a Value) -> Self {
        let tool = ToolGrammar::compile(vocabulary, "t", schema);
        let (support, validator) = match Validator::compile(schema) {
            Ok(validator) => (tool.support().clone(), Some(validator)),
            Err(problem) => (Support::Refused(problem), None),
        };
        Self { vocabulary, schema, tool, support, validator }
    }

    /// How far the grammar follows the schema; refused also where only validation refuses it.
    pub fn support(&self) -> &Support {
        &self.support
    }

    /// Tries one instance.
    pub fn accepts(&self, instance: &Value) -> Acceptance {
        let value = arranged(self.schema, &[self.schema], instance, 0);
        let mut text = String::new();
        spell(&value, &mut text);
        let read = |text: &str| reads(self.vocabulary, &self.tool, text);
        let grammar = match (&self.support, read(&text)) {
            (Support::Refused(_), _) => Err(Stop { offset: 0, text }),
            (_, Ok(())) => Ok(()),
            // Numbers with an exponent are the only ones with another spelling.
            (_, Err(offset)) => read(&value.to_string()).map_err(|_| Stop { offset, text }),
        };
        let validation = match (&self.validator, &self.support) {
            (Some(validator), _) => validator.validate(instance),
            (None, Support::Refused(problem)) => Err(ValidationFailure {
                pointer: String::new(),
                message: format!("the schema cannot be used: {problem}"),
            }),
            (None, _) => Ok(()),
        };
        Acceptance { support: self.support.clone(), grammar, validation }
    }
}

/// Levels of a value that are arranged; validation refuses deeper ones anyway.
const MAX_DEPTH: usize = 64;
/// Subschemas looked at for one value.
const MAX_SUBSCHEMAS: usize = 256;

/// `value`, which stands where `schemas` apply, spelled as the grammar writes it.
fn arranged(root: &Value, outer: &[&Value], value: &Value, depth: usize) -> Value {
    let schemas = expanded(root, outer, value);
    let named = schemas.iter().find_map(|schema| {
        let listed = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
        listed.chain(schema.get("const")).find(|one| same(one, value))
    });
    if let Some(named) = named {
        return named.clone();
    }
    match value {
        Value::Object(members) if depth < MAX_DEPTH => {
            let required = schemas.iter().filter_map(|schema| schema.get("required")?.as_array()).flatten();
            let required = required.filter_map(Value::as_str);
            let mut keys: Vec<&String> = Vec::with_capacity(members.len());
            let listed = listed_keys(root, outer, value);
            let known = listed.into_iter().chain(required).filter_map(|key| members.get_key_value(key));
            for (key, _) in known.chain(members) {
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
            let member = |key: &String| {
                let below: Vec<&Value> = schemas.iter().flat_map(|schema| of_property(schema, key)).collect();
                (key.clone(), arranged(root, &below, &members[key], depth + 1))
            };
            Value::Object(keys.into_iter().map(member).collect())
        }
        Value::Array(items) if depth < MAX_DEPTH => {
            let item = |(index, item): (usize, &Value)| {
                let below: Vec<&Value> = schemas.iter().filter_map(|schema| of_item(schema, index)).collect();
                arranged(root, &below, item, depth + 1)
            };
            Value::Array(items.iter().enumerate().map(item).collect())
        }
        other => other.clone(),
    }
}

fn of_property<'a>(schema: &'a Value, key: &str) -> Vec<&'a Value> {
    let named = schema.get("properties").and_then(|all| all.get(key));
    let patterns = schema.get("patternProperties").and_then(Value::as_object);
    let rest = schema.get("additionalProperties").filter(|_| named.is_none());
    named.into_iter().chain(patterns.into_iter().flat_map(Map::values)).chain(rest).collect()
}

fn of_item(schema: &Value, index: usize) -> Option<&Value> {
    let fixed = schema.get("prefixItems").and_then(|all| all.get(index));
    fixed.or_else(|| match schema.get("items") {
        Some(Value::Array(list)) => list.get(index).or_else(|| schema.get("additionalItems")),
        other => other,
    })
}

/// The schemas themselves, what their local references name, and the alternatives that may hold `value`,
/// outer ones first.
fn expanded<'a>(root: &'a Value, schemas: &[&'a Value], value: &Value) -> Vec<&'a Value> {
    let mut all: Vec<&Value> = Vec::new();
    let mut open: Vec<&Value> = schemas.iter().rev().copied().collect();
    while let Some(schema) = open.pop() {
        if all.len() >= MAX_SUBSCHEMAS || all.iter().any(|&known| std::ptr::eq(known, schema)) {
            continue;
        }
        all.push(schema);
        for keyword in ["oneOf", "anyOf", "allOf"] {
            let alternatives = schema.get(keyword).and_then(Value::as_array).into_iter().flatten().rev();
            open.extend(alternatives.filter(|one| keyword == "allOf" || may_hold(root, one, value)));
        }
        open.extend(target(root, schema));
    }
    all
}

/// The properties of the schemas in the grammar's order, that of the keywords that bring them.
fn listed_keys<'a>(root: &'a Value, schemas: &[&'a Value], value: &Value) -> Vec<&'a str> {
    let mut keys = Vec::new();
    let mut seen: Vec<&Value> = Vec::new();
    let mut open: Vec<(&str, &Value)> = schemas.iter().rev().map(|&schema| ("", schema)).collect();
    while let Some((keyword, part)) = open.pop() {
        match (keyword, part) {
            ("properties", Value::Object(properties)) => keys.extend(properties.keys().map(String::as_str)),
            ("$ref", reference) => open.extend(pointed(root, reference).map(|schema| ("", schema))),
            ("oneOf" | "anyOf" | "allOf", Value::Array(list)) => {
                let applying =
                    list.iter().rev().filter(|one| keyword == "allOf" || may_hold(root, one, value));
                open.extend(applying.map(|one| ("", one)));
            }
            ("", Value::Object(schema))
                if seen.len() < MAX_SUBSCHEMAS && !seen.iter().any(|&known| std::ptr::eq(known, part)) =>
            {
                seen.push(part);
                open.extend(schema.iter().rev().map(|(keyword, inner)| (keyword.as_str(), inner)));
            }
            _ => {}
        }
    }
    keys
}

fn pointed<'a>(root: &'a Value, reference: &Value) -> Option<&'a Value> {
    root.pointer(reference.as_str()?.strip_prefix('#')?)
}

fn target<'a>(root: &'a Value, schema: &Value) -> Option<&'a Value> {
    pointed(root, schema.get("$ref")?)
}

/// Whether an alternative is not plainly another one's: its required properties are there, and those that
/// tell alternatives apart (`const`, `enum`) have one of their values.
fn may_hold(root: &Value, alternative: &Value, value: &Value) -> bool {
    let Value::Object(members) = value else { return true };
    let mut schema = alternative;
    for _ in 0..MAX_DEPTH {
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        if required.filter_map(Value::as_str).any(|key| !members.contains_key(key)) {
            return false;
        }
        let properties = schema.get("properties").and_then(Value::as_object);
        let fits = |(key, property): (&String, &Value)| {
            let Some(member) = members.get(key) else { return true };
            let listed = property.get("enum").and_then(Value::as_array);
            listed.is_none_or(|listed| listed.iter().any(|one| same(one, member)))
                && property.get("const").is_none_or(|one| same(one, member))
        };
        if !properties.is_none_or(|all| all.iter().all(fits)) {
            return false;
        }
        match target(root, schema) {
            Some(next) => schema = next,
            None => break,
        }
    }
    true
}

/// Equality of JSON values, numbers by value.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => decimal(a) == decimal(b),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => one == other,
    }
}

/// A number without exponent and without a fraction of zeros; the same text for the same value.
fn decimal(number: &Number) -> String {
    match number.as_f64() {
        Some(value) if number.is_f64() => {
            let text = value.to_string();
            if text == "-0" { "0".into() } else { text }
        }
        _ => number.to_string(),
    }
}

/// Writes compact JSON as the grammar takes it. The recursion is bounded by JSON's reader.
fn spell(value: &Value, text: &mut String) {
    match value {
        Value::Number(number) => text.push_str(&decimal(number)),
        // The one character that JSON lets stand and the grammar wants escaped.
        Value::String(string) => {
            text.push_str(&Value::String(string.clone()).to_string().replace('\u{7F}', "\\u007F"));
        }
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                spell(item, text);
            }
            text.push(']');
        }
        Value::Object(members) => {
            text.push('{');
            for (index, (key, member)) in members.iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                spell(&Value::String(key.clone()), text);
                text.push(':');
                spell(member, text);
            }
            text.push('}');
        }
        Value::Null | Value::Bool(_) => text.push_str(&value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::TokenId;

    fn vocabulary() -> Vocabulary {
        let tokens = (0..=255u8).map(|byte| vec![byte]).collect();
        let encode = |text: &[u8]| text.iter().map(|&byte| TokenId(u32::from(byte))).collect();
        Vocabulary::from_parts(tokens, encode).unwrap()
    }

    #[test]
    fn key_order_and_spelling_do_not_count() {
        let schema = json!({"type": "object", "properties": {
            "n": {"type": "integer"}, "u": {"enum": [{"x": 1, "y": 2.5}]},
            "m": {"anyOf": [
                {"properties": {"a": {}, "kind": {"const": "one"}}, "required": ["kind"]},
                {"properties": {"kind": {"const": "two"}, "a": {}}, "required": ["kind"]}]}}});
        let instance = json!({"m": {"a": 1, "kind": "two"}, "u": {"y": 2.5, "x": 1.0}, "n": 5.0});
        let found = accepts(&vocabulary(), &schema, &instance);
        assert!(found.accepted(), "{found:?}");
    }

    #[test]
    fn says_where_the_grammar_stops() {
        let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
        let found = accepts(&vocabulary(), &schema, &json!({"n": "five"}));
        assert_eq!(found.support, Support::Exact);
        assert_eq!(found.grammar, Err(Stop { offset: 5, text: "{\"n\":\"five\"}".into() }));
        assert_eq!(found.validation.unwrap_err().pointer, "/n");
        let refused = accepts(&vocabulary(), &json!({"$ref": "#/gone"}), &json!({}));
        assert!(matches!(refused.support, Support::Refused(_)) && !refused.accepted());
    }

    #[test]
    fn numbers_are_compared_by_value_without_loss() {
        assert!(same(&json!(1), &json!(1.0)) && same(&json!(-0.0), &json!(0)));
        assert!(!same(&json!(9_007_199_254_740_993_i64), &json!(9_007_199_254_740_992.0)));
        let any = |value: Value| {
            accepts(&vocabulary(), &json!({"additionalProperties": {"type": "integer"}}), &value)
        };
        assert!(any(json!({"a": 1e30, "b": 5.0, "c": -0.0})).accepted());
        assert!(accepts(&vocabulary(), &json!({}), &json!({"a": 1.5e300, "b": 1e-7})).accepted());
    }

    #[test]
    fn every_character_can_be_written() {
        let all: String =
            (0..0x180u32).chain([0x2028, 0xE000, 0xFFFD, 0x1_F600]).filter_map(char::from_u32).collect();
        let found = accepts(&vocabulary(), &json!({}), &json!({"a": all.clone(), all: 1}));
        assert!(found.accepted(), "{found:?}");
    }
}
