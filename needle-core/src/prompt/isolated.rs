//! Our prompt: every tool a segment of its own that depends on nothing but the tool.
//!
//! A tool is written as pieces, each tokenised by itself, so that a segment is the concatenation of its pieces
//! whatever stands next to them:
//!
//! ```text
//! tool    = <tools> name <desc> description(64) params
//! params  = { (<req> | <opt>) key " " type [<desc> description(32)] }
//! type    = "heat"|"cool" | string | string date | integer | [type] | {params} | object | type|type | any
//! query   = <s> text
//! ```
//! A description is cut to the number of ids in brackets and loses its spaces.

use serde_json::Value;

use super::TextEncoder;
use super::python_json::{self, Escape};
use crate::error::{Error, Result};
use crate::tokenizer::TokenId;
use crate::tool::{ToolSpec, reference};

/// `<s>`: begins the query.
pub const BOS: TokenId = TokenId(2);
/// `<tools>`: begins a tool.
pub const TOOLS: TokenId = TokenId(5);
/// `<desc>`: a description follows.
pub const DESC: TokenId = TokenId(6);
/// `<req>`: a required parameter follows.
pub const REQ: TokenId = TokenId(7);
/// `<opt>`: an optional parameter follows.
pub const OPT: TokenId = TokenId(8);

/// Ids that a tool's description takes at most.
const TOOL_WORDS: usize = 64;
/// Ids that a parameter's description takes at most.
const PARAMETER_WORDS: usize = 32;
/// Schemas one inside the other, references included; deeper ones are `any`. Keeps the stack small.
const MAX_DEPTH: usize = 128;

/// A part of a segment that is tokenised by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// One special token.
    Special(TokenId),
    /// All tokens of a text.
    Text(String),
    /// The first `max` tokens of a text, tokens of exactly one space not counted and left out.
    Words {
        /// The text.
        text: String,
        /// Largest number of ids.
        max: usize,
    },
}

/// The pieces of a tool's segment, about the first `limit` of them: a segment of `n` ids needs at most `3 n`.
///
/// The limit is what keeps references that multiply from being written out without end.
pub fn tool_pieces(tool: &ToolSpec, snake_name: &str, limit: usize) -> Vec<Piece> {
    let mut writer = Writer { root: &tool.parameters, pieces: Vec::new(), limit, depth: 0, open: Vec::new() };
    writer.special(TOOLS);
    writer.text(snake_name);
    writer.special(DESC);
    if !tool.description.is_empty() {
        writer.words(&tool.description, TOOL_WORDS);
    }
    writer.parameters(&tool.parameters);
    writer.pieces
}

/// The ids of a tool's segment, cut to `max_seq_len`.
pub fn tool_segment(
    tokenizer: &impl TextEncoder,
    tool: &ToolSpec,
    snake_name: &str,
    max_seq_len: usize,
) -> Vec<TokenId> {
    let mut ids = Vec::new();
    for piece in tool_pieces(tool, snake_name, max_seq_len.saturating_mul(3)) {
        if ids.len() >= max_seq_len {
            break;
        }
        match piece {
            Piece::Special(id) => ids.push(id),
            Piece::Text(text) => ids.extend(tokenizer.encode(&text)),
            Piece::Words { text, max } => {
                let words = tokenizer.encode(&text).into_iter().filter(|id| !tokenizer.is_space(*id));
                ids.extend(words.take(max));
            }
        }
    }
    ids.truncate(max_seq_len);
    ids
}

/// The ids of the query's segment.
///
/// # Errors
/// [`Error::Limit`] if they are more than `max_seq_len`: a query that was cut would be another query.
pub fn query_segment(tokenizer: &impl TextEncoder, query: &str, max_seq_len: usize) -> Result<Vec<TokenId>> {
    let mut ids = vec![BOS];
    ids.extend(tokenizer.encode(query));
    if ids.len() > max_seq_len {
        let what = "the length of the query in tokens";
        return Err(Error::Limit { what, actual: ids.len(), limit: max_seq_len });
    }
    Ok(ids)
}

/// The walk over one tool's schema.
struct Writer<'a> {
    root: &'a Value,
    pieces: Vec<Piece>,
    limit: usize,
    depth: usize,
    /// Targets of the references being expanded.
    open: Vec<&'a str>,
}

impl<'a> Writer<'a> {
    fn special(&mut self, id: TokenId) {
        self.pieces.push(Piece::Special(id));
    }

    fn text(&mut self, text: impl Into<String>) {
        self.pieces.push(Piece::Text(text.into()));
    }

    fn words(&mut self, text: &str, max: usize) {
        self.pieces.push(Piece::Words { text: text.to_owned(), max });
    }

    /// Each property of an object schema: whether it is required, its key, type and description.
    fn parameters(&mut self, object: &'a Value) {
        let required = object.get("required").and_then(Value::as_array);
        let properties = object.get("properties").and_then(Value::as_object);
        for (key, schema) in properties.into_iter().flatten() {
            if self.pieces.len() >= self.limit {
                return;
            }
            let is_required = required.is_some_and(|names| names.iter().any(|name| name == key));
            self.special(if is_required { REQ } else { OPT });
            self.text(key);
            self.text(" ");
            self.kind(schema);
            let description = schema.get("description").and_then(Value::as_str).unwrap_or_default();
            if !description.is_empty() {
                self.special(DESC);
                self.words(description, PARAMETER_WORDS);
            }
        }
    }

    /// The type of a value, with references resolved.
    fn kind(&mut self, schema: &'a Value) {
        if self.depth >= MAX_DEPTH {
            return self.text("any");
        }
        self.depth += 1;
        match schema.get("$ref").and_then(Value::as_str) {
            None => self.resolved_kind(schema),
            Some(target) => match reference::resolve(self.root, target) {
                Some(found) if !self.open.contains(&target) => {
                    self.open.push(target);
                    self.kind(found);
                    self.open.pop();
                }
                _ => self.text("any"),
            },
        }
        self.depth -= 1;
    }

    /// The type of a value whose schema is not a reference.
    fn resolved_kind(&mut self, schema: &'a Value) {
        let list = |key: &str| schema.get(key).and_then(Value::as_array);
        if let Some(choices) = list("enum") {
            let choices: Vec<String> = choices.iter().map(raw_json).collect();
            return self.text(choices.join("|"));
        }
        if let Some(value) = schema.get("const") {
            return self.text(raw_json(value));
        }
        let alternatives = ["anyOf", "oneOf"].into_iter().filter_map(list).find(|list| !list.is_empty());
        if let Some(alternatives) = alternatives {
            return self.joined(alternatives, Self::kind);
        }
        match (schema.get("type"), list("allOf").map(Vec::as_slice)) {
            (Some(Value::Array(kinds)), _) => {
                self.joined(kinds, |writer, kind| writer.named_kind(kind, schema));
            }
            (Some(kind), _) => self.named_kind(kind, schema),
            (None, Some([only])) => self.kind(only),
            (None, _) => self.text("any"),
        }
    }

    /// Several types with `|` between them.
    fn joined(&mut self, items: &'a [Value], mut write: impl FnMut(&mut Self, &'a Value)) {
        for (index, item) in items.iter().enumerate() {
            if self.pieces.len() >= self.limit {
                return;
            }
            if index > 0 {
                self.text("|");
            }
            write(self, item);
        }
    }

    /// One of the seven types, with what the schema says about its inside.
    fn named_kind(&mut self, kind: &Value, schema: &'a Value) {
        match kind.as_str() {
            Some("string") => match schema.get("format").and_then(Value::as_str) {
                Some(format) if !format.is_empty() => self.text(format!("string {format}")),
                _ => self.text("string"),
            },
            Some(word @ ("number" | "integer" | "boolean" | "null")) => self.text(word),
            Some("array") => {
                self.text("[");
                match schema.get("items") {
                    Some(items) => self.kind(items),
                    None => self.text("any"),
                }
                self.text("]");
            }
            Some("object") if has_properties(schema) => {
                self.text("{");
                self.parameters(schema);
                self.text("}");
            }
            Some("object") => self.text("object"),
            _ => self.text("any"),
        }
    }
}

/// Whether an object schema describes any property.
fn has_properties(schema: &Value) -> bool {
    schema.get("properties").and_then(Value::as_object).is_some_and(|properties| !properties.is_empty())
}

/// A value as compact JSON, non-ASCII kept.
fn raw_json(value: &Value) -> String {
    let text = value.to_string();
    python_json::compact(&text, Escape::Controls).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tool;

    /// One id per byte, 100 above it.
    struct Bytes;

    impl TextEncoder for Bytes {
        fn encode(&self, text: &str) -> Vec<TokenId> {
            text.bytes().map(|byte| TokenId(100 + u32::from(byte))).collect()
        }

        fn is_space(&self, id: TokenId) -> bool {
            id == TokenId(100 + 32)
        }
    }

    /// Ids in writing: specials in angle brackets.
    fn show(ids: &[TokenId]) -> String {
        let letter = |id: &TokenId| match id.0 {
            special @ 0..100 => format!("<{special}>"),
            byte => char::from_u32(byte - 100).into_iter().collect(),
        };
        ids.iter().map(letter).collect()
    }

    fn spec(description: &str, parameters: &Value) -> ToolSpec {
        let list = json!([{"name": "f", "description": description, "parameters": parameters}]);
        tool::parse(&list.to_string()).unwrap().remove(0)
    }

    #[test]
    fn a_segment_is_its_pieces_one_after_the_other() {
        let long = "ab ".repeat(60);
        let parameters = json!({
            "type": "object",
            "properties": {"day": {"type": "string", "format": "date", "description": long}, "n": {"enum": [1, "é"]}},
            "required": ["n"]
        });
        let spec = spec("Say  it.", &parameters);
        let expected = format!("<5>f<6>Sayit.<8>day string date<6>{}<7>n 1|\"Ã©\"", "ab".repeat(16));
        assert_eq!(show(&tool_segment(&Bytes, &spec, "f", 1024)), expected);
        assert_eq!(show(&tool_segment(&Bytes, &spec, "f", 9)), "<5>f<6>Sayit.");
    }

    #[test]
    fn a_query_is_never_cut() {
        assert_eq!(query_segment(&Bytes, "hi", 3).map(|ids| show(&ids)).unwrap(), "<2>hi");
        let error = query_segment(&Bytes, "hi!", 3).unwrap_err();
        assert_eq!(error.to_string(), "the length of the query in tokens is 4, the limit is 3");
    }

    /// Forty definitions that each use the next one twice would be 2^40 types.
    #[test]
    fn multiplying_references_are_cut_off() {
        let mut definitions = serde_json::Map::new();
        for i in 0..40 {
            let next = json!({"$ref": format!("#/$defs/d{}", i + 1)});
            definitions
                .insert(format!("d{i}"), json!({"type": "object", "properties": {"a": next, "b": next}}));
        }
        definitions.insert("d40".into(), json!({"type": "string"}));
        let parameters =
            json!({"type": "object", "properties": {"r": {"$ref": "#/$defs/d0"}}, "$defs": definitions});
        assert_eq!(tool_segment(&Bytes, &spec("", &parameters), "f", 1024).len(), 1024);
    }

    #[test]
    fn long_chains_of_references_do_not_exhaust_the_stack() {
        let mut definitions = serde_json::Map::new();
        for i in 0..20_000 {
            definitions.insert(format!("d{i}"), json!({"$ref": format!("#/$defs/d{}", i + 1)}));
        }
        definitions.insert("d20000".into(), json!({"type": "string"}));
        let parameters =
            json!({"type": "object", "properties": {"r": {"$ref": "#/$defs/d0"}}, "$defs": definitions});
        assert_eq!(show(&tool_segment(&Bytes, &spec("", &parameters), "f", 1024)), "<5>f<6><8>r any");
    }
}
