//! One tool's part of the grammar: its name and, after it, its arguments bound to the schema.

use std::sync::Arc;

use llguidance::Matcher;
use llguidance::api::TopLevelGrammar;
use serde_json::{Value, json};

use crate::TokenId;

use super::blame::{blame, with_definitions};
use super::inspect::inspect;
use super::keywords::can_be_left_out;
use super::names::{self, AFTER_NAME, quoted};
use super::prepare::{Prepared, leave_out, prepare};
use super::support::{SchemaProblem, Support};
use super::vocabulary::Vocabulary;

/// Keywords that the grammar leaves out of one schema because its compiler cannot take them.
const MAX_LEFT_OUT: usize = 64;
/// Bytes of schemas that are compiled in search of such keywords; about a second of work.
const MAX_SEARCH: usize = 4_000_000;
/// Bytes that arguments may begin with without a choice; a schema whose values never end forces more.
const MAX_FORCED: usize = 16_384;
/// Longest reason kept of the compiler's message, in characters.
const MAX_REASON: usize = 200;
/// What begins an answer with a call.
pub(super) const FIRST_CALL: &str = "[{\"name\":\"";
/// What ends a call, and with it either the answer or the way to the next name.
pub(super) const LAST_CALL: &str = "}]";
/// Stands where another call's name begins: no token holds both what comes before and a part of it.
const NO_NAME: &str = "\u{e000}";
/// See [`LAST_CALL`].
pub(super) const NEXT_CALL: &str = "},{\"name\":\"";

/// The grammar of one tool; cloning shares it.
#[derive(Clone, Debug)]
pub struct ToolGrammar(Arc<Compiled>);

struct Compiled {
    name: String,
    path: Vec<TokenId>,
    support: Support,
    matcher: Option<Matcher>,
}

impl std::fmt::Debug for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compiled")
            .field("name", &self.name)
            .field("support", &self.support)
            .finish_non_exhaustive()
    }
}

impl ToolGrammar {
    /// Compiles a tool: `name` as the answer spells it, `parameters` the JSON Schema of its arguments.
    ///
    /// A keyword that the compiler cannot take is left to validation where that only lets more through.
    /// Never fails: a schema that cannot be used is [`Support::Refused`].
    pub fn compile(vocabulary: &Vocabulary, name: &str, parameters: &Value) -> Self {
        let (support, matcher) = match compile(vocabulary, name, parameters) {
            Ok((problems, matcher)) if problems.is_empty() => (Support::Exact, Some(matcher)),
            Ok((problems, matcher)) => (Support::Lenient(problems), Some(matcher)),
            Err(problem) => (Support::Refused(problem), None),
        };
        Self(Arc::new(Compiled { name: name.into(), path: names::path(vocabulary, name), support, matcher }))
    }

    /// The name as the answer spells it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// How far the grammar follows the schema.
    pub fn support(&self) -> &Support {
        &self.0.support
    }

    /// The tokens of the name up to the one that holds the closing quote.
    pub(super) fn path(&self) -> &[TokenId] {
        &self.0.path
    }

    /// A matcher from the first byte of the name to the end of the call; `None` for a refused tool.
    pub(super) fn matcher(&self) -> Option<Matcher> {
        self.0.matcher.clone()
    }
}

/// The matcher and the keywords left to validation.
fn compile(
    vocabulary: &Vocabulary,
    name: &str,
    parameters: &Value,
) -> Result<(Vec<SchemaProblem>, Matcher), SchemaProblem> {
    let mut problems = inspect(parameters)?;
    let mut prepared = prepare(parameters)?;
    let mut search = MAX_SEARCH;
    loop {
        let why = match matcher_from_name(vocabulary, name, &prepared.schema) {
            Ok(matcher) => {
                begins(vocabulary, name, &matcher)?;
                return Ok((problems, matcher));
            }
            Err(why) => why,
        };
        problems.push(leave_culprit_out(vocabulary, &mut prepared, &why, &mut search)?);
        if problems.len() > MAX_LEFT_OUT {
            let why = format!("more than {MAX_LEFT_OUT} keywords cannot be followed");
            return Err(SchemaProblem::at("", why));
        }
    }
}

/// Tries the first step of the arguments: a schema may compile and yet be too large to follow, or force
/// arguments without end.
fn begins(vocabulary: &Vocabulary, name: &str, matcher: &Matcher) -> Result<(), SchemaProblem> {
    let mut matcher = matcher.clone();
    let before = format!("{}{AFTER_NAME}{{", quoted(name));
    let tokens: Vec<_> = vocabulary.encode(before.as_bytes()).into_iter().map(|token| token.0).collect();
    let refused = |why: &str| {
        Err(SchemaProblem::at(
            "",
            format!("cannot be followed: {why}; make it smaller or let its values end"),
        ))
    };
    if let Err(error) = matcher.consume_tokens(&tokens) {
        return refused(&short(&error.to_string()));
    }
    let forced = matcher.compute_ff_bytes().len();
    if forced > MAX_FORCED {
        return refused(&format!("it begins with more than {MAX_FORCED} bytes that are always the same"));
    }
    match matcher.compute_mask_or_eos() {
        Ok(_) => Ok(()),
        Err(error) => refused(&short(&error.to_string())),
    }
}

/// Takes the keyword that the compilation failed on out of the schema.
///
/// # Errors
/// The keyword, if leaving it out would keep valid arguments from being written.
fn leave_culprit_out(
    vocabulary: &Vocabulary,
    prepared: &mut Prepared,
    why: &str,
    search: &mut usize,
) -> Result<SchemaProblem, SchemaProblem> {
    let culprit = blame(&prepared.schema, &mut |schema| {
        *search = search.checked_sub(schema.to_string().len())?;
        Some(matcher(vocabulary, schema_grammar(schema)).is_ok())
    });
    let alone = prepared.schema.pointer(&culprit.schema).map(|schema| {
        let schema = with_definitions(schema, prepared.schema.get("$defs"));
        matcher(vocabulary, schema_grammar(&schema))
    });
    let reason = alone.and_then(Result::err).unwrap_or_else(|| why.to_owned());
    let problem = SchemaProblem::at(prepared.original(&culprit.pointer()), reason);
    // What no value satisfies stays so with a keyword less.
    let possible = !problem.why.starts_with("Unsatisfiable");
    let keyword = culprit.keyword.filter(|keyword| possible && can_be_left_out(keyword));
    match keyword {
        Some(keyword) if leave_out(&mut prepared.schema, &culprit.schema, &keyword) => {
            let why = if keyword == "oneOf" {
                "the alternatives may overlap; that one alone fits is checked when the call is complete"
                    .into()
            } else {
                format!("is checked only when the call is complete ({})", problem.why)
            };
            Ok(SchemaProblem { why, ..problem })
        }
        _ => Err(problem),
    }
}

/// The matcher of [`answer_grammar`] where the first call's name begins.
fn matcher_from_name(vocabulary: &Vocabulary, name: &str, schema: &Value) -> Result<Matcher, String> {
    let mut matcher = matcher(vocabulary, answer_grammar(name, schema))?;
    let bytes: Vec<u32> =
        FIRST_CALL.bytes().filter_map(|byte| vocabulary.byte_token(byte)).map(|token| token.0).collect();
    matcher.consume_tokens(&bytes).map_err(|error| short(&error.to_string()))?;
    Ok(matcher)
}

/// The whole answer whose first call is of this tool.
///
/// Another call is there for what leads to its name; [`super::Constraint`] goes on with that tool's grammar.
fn answer_grammar(name: &str, schema: &Value) -> TopLevelGrammar {
    let mut arguments = schema.clone();
    let definitions = arguments.as_object_mut().and_then(|map| map.remove("$defs"));
    let call = json!({"type": "object", "properties": {"name": {"const": name}, "arguments": arguments},
        "required": ["name", "arguments"], "additionalProperties": false});
    let next = json!({"type": "object", "properties": {"name": {"const": NO_NAME}},
        "required": ["name"], "additionalProperties": false});
    let answer = json!({"type": "array", "prefixItems": [call], "items": next, "minItems": 1});
    schema_grammar(&with_definitions(&answer, definitions.as_ref()))
}

fn schema_grammar(schema: &Value) -> TopLevelGrammar {
    TopLevelGrammar::from_json_schema(compact(schema))
}

/// The schema with the compiler's options for compact JSON.
fn compact(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Value::Object(map) = &mut schema {
        let options = json!({"item_separator": ",", "key_separator": ":", "whitespace_flexible": false});
        map.insert("x-guidance".into(), options);
    }
    schema
}

/// Compiles a grammar; the error is one short line.
fn matcher(vocabulary: &Vocabulary, grammar: TopLevelGrammar) -> Result<Matcher, String> {
    let matcher = Matcher::new(vocabulary.factory().create_parser(grammar));
    match matcher.get_error() {
        None => Ok(matcher),
        Some(error) => Err(short(&error)),
    }
}

/// The line of a message that says what is wrong: the last of a regular expression's, else the first.
fn short(message: &str) -> String {
    let mut lines = message.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or("no reason given");
    let line = lines.find_map(|line| line.strip_prefix("error: ")).unwrap_or(first);
    let line = line.strip_prefix("panic: ").unwrap_or(line);
    match line.char_indices().nth(MAX_REASON) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

/// Whether the tool's grammar lets `arguments` be written.
///
/// # Errors
/// How many bytes of it the grammar takes.
pub(crate) fn reads(vocabulary: &Vocabulary, tool: &ToolGrammar, arguments: &str) -> Result<(), usize> {
    let mut matcher = tool.matcher().ok_or(0usize)?;
    let before = format!("{}{AFTER_NAME}", quoted(tool.name()));
    let text = format!("{before}{arguments}{LAST_CALL}");
    for (offset, byte) in text.bytes().enumerate() {
        let token = vocabulary.byte_token(byte).ok_or(offset);
        let taken =
            token.is_ok_and(|token| matcher.try_consume_tokens(&[token.0]).is_ok_and(|taken| taken == 1));
        if !taken {
            return Err(offset.saturating_sub(before.len()).min(arguments.len()));
        }
    }
    Ok(())
}
