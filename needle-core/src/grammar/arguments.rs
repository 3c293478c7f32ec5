//! One tool's part of the grammar: its name and, after it, its arguments bound to the schema.

use std::sync::Arc;

use llguidance::Matcher;
use llguidance::api::TopLevelGrammar;
use serde_json::{Value, json};

use crate::TokenId;

use super::blame::blame;
use super::inspect::inspect;
use super::keywords::can_be_left_out;
use super::names::{self, AFTER_NAME, quoted};
use super::prepare::{Prepared, leave_out, prepare};
use super::support::{SchemaProblem, Support};
use super::vocabulary::Vocabulary;

/// Keywords that the grammar leaves out of one schema because its compiler cannot take them.
const MAX_LEFT_OUT: usize = 32;
/// Longest reason kept of the compiler's message, in characters.
const MAX_REASON: usize = 200;
/// What ends a call, and with it either the answer or the way to the next name.
pub(super) const LAST_CALL: &str = "}]";
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
    loop {
        let why = match matcher(vocabulary, call_grammar(name, &prepared.schema)) {
            Ok(matcher) => return Ok((problems, matcher)),
            Err(why) => why,
        };
        let problem = leave_culprit_out(vocabulary, &mut prepared, &why)?;
        problems.push(problem);
        if problems.len() > MAX_LEFT_OUT {
            return Err(SchemaProblem::at(
                "",
                format!("more than {MAX_LEFT_OUT} keywords cannot be followed"),
            ));
        }
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
) -> Result<SchemaProblem, SchemaProblem> {
    let mut reason = why.to_owned();
    let culprit = blame(&prepared.schema, &mut |schema| {
        let result = matcher(vocabulary, schema_grammar(schema));
        if let Err(error) = &result {
            reason.clone_from(error);
        }
        result.is_ok()
    });
    let problem = SchemaProblem::at(prepared.original(&culprit.pointer()), reason);
    let keyword = culprit.keyword.filter(|keyword| can_be_left_out(keyword) || keyword == "oneOf");
    match keyword {
        Some(keyword) if leave_out(&mut prepared.schema, &culprit.schema, &keyword) => {
            let why = format!("is checked only when the call is complete ({})", problem.why);
            Ok(SchemaProblem { why, ..problem })
        }
        _ => Err(problem),
    }
}

/// From the first byte of the name to the end of the call.
fn call_grammar(name: &str, schema: &Value) -> TopLevelGrammar {
    let before = json!(format!("{}{AFTER_NAME}", quoted(name)));
    let (last, next) = (json!(LAST_CALL), json!(NEXT_CALL));
    let schema = compact(schema);
    TopLevelGrammar::from_lark(format!(
        "start: {before} arguments after\narguments: %json {schema}\nafter: {last} | {next}\n"
    ))
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

/// The first line of a message, without what follows a panic's or the parser's.
fn short(message: &str) -> String {
    let line = message.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("no reason given");
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
