//! The one error type of the crate: what is wrong, where, and what to do.
//!
//! Doubt is not an error: an unsure model hands off. An error is the caller's or a file's fault.

use std::path::PathBuf;

/// Result of every fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong; the fields hold the values, the message says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A checkpoint is truncated, hostile, or does not have the promised shape.
    #[error("checkpoint {origin}: {problem}")]
    Checkpoint {
        /// The file, or "buffer".
        origin: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// `config.json` (or the pickle's config) is missing a field or holds an impossible value.
    #[error("model config, {field}: {problem}")]
    Config {
        /// The field's name.
        field: &'static str,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A tokenizer file is damaged or of an unsupported kind.
    #[error("tokenizer {origin}: {problem}")]
    Tokenizer {
        /// The file, or "buffer".
        origin: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A tool definition cannot be understood.
    #[error("tool {tool}, at {pointer:?}: {problem}")]
    Tool {
        /// The tool's name, or its index in the list such as `#3`.
        tool: String,
        /// JSON pointer into the tool definition; empty for the whole.
        pointer: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A tool that only the model's provider can run, or that takes no JSON arguments.
    #[error(
        "tool {tool} of type {kind:?} cannot be called locally: only functions with JSON arguments can; leave it out or hand the request off"
    )]
    ProviderTool {
        /// The tool's name, or its index in the list such as `#3`.
        tool: String,
        /// The kind as given, such as `web_search`.
        kind: String,
    },
    /// An input is larger than the model or the configured limit takes.
    #[error("{what} is {actual}, the limit is {limit}")]
    Limit {
        /// What was measured, with its unit.
        what: &'static str,
        /// The value found.
        actual: usize,
        /// The largest value taken.
        limit: usize,
    },
    /// An option has an impossible value.
    #[error("option {name}: {problem}")]
    Option {
        /// The option's name.
        name: &'static str,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A row of a data file cannot be read.
    #[error("{origin}, line {line}: {problem}")]
    Row {
        /// The file.
        origin: String,
        /// Line number from 1.
        line: usize,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The caller cancelled the call.
    #[error("the call was cancelled")]
    Cancelled,
    /// The caller's deadline passed before the call was finished.
    #[error("the deadline passed before the call was finished")]
    DeadlineExceeded,
    /// A broken invariant of this library; please report it with the message.
    #[error("internal error ({0}); please report it")]
    Internal(String),
}

/// Stable identity of an [`Error`]: a number for C and a `snake_case` name for every other language.
///
/// Codes are never reused or renumbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
#[non_exhaustive]
pub enum ErrorCode {
    /// `io`
    Io = 1,
    /// `checkpoint`
    Checkpoint = 2,
    /// `config`
    Config = 3,
    /// `tokenizer`
    Tokenizer = 4,
    /// `tool`
    Tool = 5,
    /// `limit`
    Limit = 6,
    /// `option`
    Option = 7,
    /// `row`
    Row = 8,
    /// `cancelled`
    Cancelled = 9,
    /// `deadline_exceeded`
    DeadlineExceeded = 10,
    /// `internal`
    Internal = 11,
    /// `provider_tool`
    ProviderTool = 12,
}

impl ErrorCode {
    /// Every code, in the order of its number.
    pub const ALL: [Self; 12] = [
        Self::Io,
        Self::Checkpoint,
        Self::Config,
        Self::Tokenizer,
        Self::Tool,
        Self::Limit,
        Self::Option,
        Self::Row,
        Self::Cancelled,
        Self::DeadlineExceeded,
        Self::Internal,
        Self::ProviderTool,
    ];

    /// The stable `snake_case` name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Io => "io",
            Self::Checkpoint => "checkpoint",
            Self::Config => "config",
            Self::Tokenizer => "tokenizer",
            Self::Tool => "tool",
            Self::Limit => "limit",
            Self::Option => "option",
            Self::Row => "row",
            Self::Cancelled => "cancelled",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Internal => "internal",
            Self::ProviderTool => "provider_tool",
        }
    }
}

impl Error {
    /// The stable identity of this error.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Io { .. } => ErrorCode::Io,
            Self::Checkpoint { .. } => ErrorCode::Checkpoint,
            Self::Config { .. } => ErrorCode::Config,
            Self::Tokenizer { .. } => ErrorCode::Tokenizer,
            Self::Tool { .. } => ErrorCode::Tool,
            Self::ProviderTool { .. } => ErrorCode::ProviderTool,
            Self::Limit { .. } => ErrorCode::Limit,
            Self::Option { .. } => ErrorCode::Option,
            Self::Row { .. } => ErrorCode::Row,
            Self::Cancelled => ErrorCode::Cancelled,
            Self::DeadlineExceeded => ErrorCode::DeadlineExceeded,
            Self::Internal(_) => ErrorCode::Internal,
        }
    }

    /// An I/O error with the file it happened on.
    pub fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One error of every code with the message that a user sees; a new code must be added here.
    #[test]
    fn every_code_has_a_message_that_says_what_where_and_what_to_do() {
        let missing = std::io::Error::new(std::io::ErrorKind::NotFound, "no such file");
        let examples = [
            (Error::io("m/config.json", missing), "m/config.json: no such file"),
            (
                Error::Checkpoint { origin: "m.pkl".into(), problem: "ends inside a string".into() },
                "checkpoint m.pkl: ends inside a string",
            ),
            (
                Error::Config { field: "d_model", problem: "is 0; must be 1 to 16384".into() },
                "model config, d_model: is 0; must be 1 to 16384",
            ),
            (
                Error::Tokenizer { origin: "tokenizer.json".into(), problem: "is not JSON".into() },
                "tokenizer tokenizer.json: is not JSON",
            ),
            (
                Error::Tool {
                    tool: "set_timer".into(),
                    pointer: "/parameters/properties/minutes".into(),
                    problem: "\"type\" is \"int\"; JSON Schema says \"integer\"".into(),
                },
                "tool set_timer, at \"/parameters/properties/minutes\": \"type\" is \"int\"; JSON Schema says \"integer\"",
            ),
            (
                Error::Limit { what: "the number of tools", actual: 5000, limit: 4096 },
                "the number of tools is 5000, the limit is 4096",
            ),
            (
                Error::Option { name: "threshold", problem: "is 2; must be 0 to 1".into() },
                "option threshold: is 2; must be 0 to 1",
            ),
            (
                Error::Row { origin: "rows.jsonl".into(), line: 3, problem: "has no \"query\"".into() },
                "rows.jsonl, line 3: has no \"query\"",
            ),
            (Error::Cancelled, "the call was cancelled"),
            (Error::DeadlineExceeded, "the deadline passed before the call was finished"),
            (Error::Internal("empty mask".into()), "internal error (empty mask); please report it"),
            (
                Error::ProviderTool { tool: "#0".into(), kind: "web_search".into() },
                "tool #0 of type \"web_search\" cannot be called locally: only functions with JSON arguments can; leave it out or hand the request off",
            ),
        ];
        let codes: Vec<ErrorCode> = examples.iter().map(|(error, _)| error.code()).collect();
        assert_eq!(codes, ErrorCode::ALL);
        for (error, message) in examples {
            assert_eq!(error.to_string(), message);
        }
        for (index, code) in ErrorCode::ALL.into_iter().enumerate() {
            assert_eq!(code as usize, index + 1, "{}", code.name());
        }
    }
}
