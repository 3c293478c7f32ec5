//! The last gate: arguments against their tool's schema, independent of the grammar.

mod work;

use jsonschema::{Draft, PatternOptions};
use serde_json::Value;

use crate::grammar::{SchemaProblem, inspect};

/// Longest message kept, in characters.
const MAX_MESSAGE: usize = 300;
/// Steps of one regular expression on one string before it counts as failed.
const MAX_PATTERN_STEPS: usize = 100_000;
/// Bytes of one compiled regular expression.
const MAX_PATTERN_SIZE: usize = 4 << 20;
/// Levels of JSON in arguments.
const MAX_DEPTH: usize = 64;

/// Why arguments do not fit their schema.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct ValidationFailure {
    /// JSON pointer into the arguments.
    pub pointer: String,
    /// What is wrong there.
    pub message: String,
}

impl std::fmt::Display for ValidationFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "at {:?}: {}", self.pointer, self.message)
    }
}

/// A compiled schema of one tool's parameters.
///
/// JSON Schema 2020-12, or the draft that `$schema` names; formats are asserted; nothing is fetched.
#[derive(Debug)]
pub struct Validator {
    compiled: jsonschema::Validator,
    /// The schema, where references can multiply the work.
    multiplied: Option<Value>,
}

impl Validator {
    /// Compiles a tool's parameters.
    ///
    /// # Errors
    /// The keyword for which the schema cannot be used, as for [`crate::grammar::Support::Refused`].
    pub fn compile(parameters: &Value) -> Result<Self, SchemaProblem> {
        inspect(parameters)?;
        let patterns = PatternOptions::fancy_regex()
            .backtrack_limit(MAX_PATTERN_STEPS)
            .size_limit(MAX_PATTERN_SIZE)
            .dfa_size_limit(MAX_PATTERN_SIZE);
        let mut options =
            jsonschema::options().offline().should_validate_formats(true).with_pattern_options(patterns);
        if !names_known_draft(parameters) {
            options = options.with_draft(Draft::Draft202012);
        }
        match options.build(parameters) {
            Ok(compiled) => {
                let multiplied = work::has_references(parameters).then(|| parameters.clone());
                Ok(Self { compiled, multiplied })
            }
            Err(error) => {
                Err(SchemaProblem::at(error.instance_path().as_str(), shortened(&error.to_string())))
            }
        }
    }

    /// Checks a call's arguments.
    ///
    /// # Errors
    /// The first place that does not fit.
    pub fn validate(&self, arguments: &Value) -> Result<(), ValidationFailure> {
        let whole = |message: String| Err(ValidationFailure { pointer: String::new(), message });
        if deeper_than(arguments, MAX_DEPTH) {
            return whole(format!("is nested more than {MAX_DEPTH} levels deep"));
        }
        if self.multiplied.as_ref().is_some_and(|schema| !work::is_bounded(schema, arguments)) {
            return whole("cannot be checked in bounded time: the schema multiplies with each level".into());
        }
        self.compiled.validate(arguments).map_err(|error| ValidationFailure {
            pointer: error.instance_path().as_str().to_owned(),
            message: shortened(&error.to_string()),
        })
    }
}

/// Whether `$schema` names a draft that the validator brings along.
fn names_known_draft(schema: &Value) -> bool {
    let name = schema.get("$schema").and_then(Value::as_str).unwrap_or_default();
    let name = name.trim_end_matches('#').trim_start_matches("https://").trim_start_matches("http://");
    matches!(
        name.strip_prefix("json-schema.org/"),
        Some(
            "draft-04/schema"
                | "draft-06/schema"
                | "draft-07/schema"
                | "draft/2019-09/schema"
                | "draft/2020-12/schema"
        )
    )
}

fn deeper_than(value: &Value, depth: usize) -> bool {
    let mut open = vec![(value, 0)];
    while let Some((value, level)) = open.pop() {
        match value {
            Value::Object(map) => open.extend(map.values().map(|one| (one, level + 1))),
            Value::Array(list) => open.extend(list.iter().map(|one| (one, level + 1))),
            _ => {}
        }
        if level > depth {
            return true;
        }
    }
    false
}

fn shortened(message: &str) -> String {
    match message.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn failure(schema: &Value, arguments: &Value) -> Option<String> {
        Validator::compile(schema).unwrap().validate(arguments).err().map(|one| one.to_string())
    }

    #[test]
    fn says_where_arguments_do_not_fit() {
        let schema = json!({"type": "object", "properties": {"at": {"items": {"format": "date"}}}});
        assert_eq!(failure(&schema, &json!({"at": ["2024-02-29"]})), None);
        assert_eq!(
            failure(&schema, &json!({"at": ["2024-02-29", "soon"]})).unwrap(),
            "at \"/at/1\": \"soon\" is not a \"date\""
        );
        let long = json!({"at": ["x".repeat(1000)]});
        assert!(failure(&schema, &long).unwrap().chars().count() < 400);
    }

    #[test]
    fn refuses_schemas_that_are_wrong_or_stand_elsewhere() {
        let problem = |schema: &Value| Validator::compile(schema).unwrap_err();
        let found = problem(&json!({"properties": {"a": {"type": "int"}}}));
        assert_eq!((found.keyword.as_str(), found.pointer.as_str()), ("type", "/properties/a/type"));
        assert_eq!(problem(&json!({"items": {"$ref": "https://example.com/x"}})).pointer, "/items/$ref");
        assert_eq!(problem(&json!({"properties": {"a": {"$ref": "file:///etc/passwd"}}})).keyword, "$ref");
        assert_eq!(problem(&json!({"allOf": [{"$ref": "#"}]})).keyword, "$ref");
        assert!(
            Validator::compile(&json!({"$schema": "https://example.com/mine", "type": "object"})).is_ok()
        );
        assert!(Validator::compile(&json!({"pattern": "("})).is_err());
    }

    #[test]
    fn recursive_schemas_end() {
        let schema = json!({"properties": {"a": {"$ref": "#"}}, "additionalProperties": false});
        let mut value = json!({});
        for _ in 0..60 {
            value = json!({"a": value});
        }
        assert_eq!(failure(&schema, &value), None);
        for _ in 0..60 {
            value = json!({"a": value});
        }
        assert!(failure(&schema, &value).unwrap().contains("levels"));
        let leaf = json!({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]});
        let doubling = json!({"anyOf": [leaf, leaf]});
        let mut value = json!({});
        for _ in 0..40 {
            value = json!({"a": value});
        }
        assert!(failure(&doubling, &value).unwrap().contains("bounded time"));
        assert!(!failure(&doubling, &json!({"a": {"a": {}}})).unwrap().contains("bounded time"));
        let next = |n: usize| json!({"$ref": format!("#/$defs/{}", n + 1)});
        let quarters: serde_json::Map<String, Value> =
            (0..12).map(|n| (n.to_string(), json!({"not": {"anyOf": vec![next(n); 4]}}))).collect();
        let mut flat = json!({"$ref": "#/$defs/0", "$defs": quarters});
        flat["$defs"]["12"] = json!({"type": "null"});
        assert!(failure(&flat, &json!({})).unwrap().contains("bounded time"));
    }
}
