//! Where in a tool definition the reader is, for error messages.

use serde_json::Value;

use crate::error::{Error, Result};

/// A tool and a path of keys into its definition.
pub(super) struct Location {
    tool: String,
    keys: Vec<String>,
}

impl Location {
    /// The root of a tool's definition; `tool` is its name, or its index such as `#3`.
    pub(super) fn of(tool: String) -> Self {
        Self { tool, keys: Vec::new() }
    }

    /// The same place, once the tool's name is known.
    pub(super) fn renamed(&self, tool: &str) -> Self {
        Self { tool: tool.to_owned(), keys: self.keys.clone() }
    }

    /// Runs `step` one key deeper.
    pub(super) fn inside<R>(&mut self, key: &str, step: impl FnOnce(&mut Self) -> R) -> R {
        self.keys.push(key.to_owned());
        let result = step(self);
        self.keys.pop();
        result
    }

    /// The JSON pointer (RFC 6901) of this place.
    pub(super) fn pointer(&self) -> String {
        self.keys.iter().flat_map(|key| ["/".to_owned(), escape(key)]).collect()
    }

    /// An error at this place.
    pub(super) fn error(&self, problem: impl Into<String>) -> Error {
        self.error_at(self.pointer(), problem)
    }

    /// An error of this tool at a place noted earlier.
    pub(super) fn error_at(&self, pointer: String, problem: impl Into<String>) -> Error {
        Error::Tool { tool: self.tool.clone(), pointer, problem: problem.into() }
    }

    /// An error at this place, as a result.
    pub(super) fn fail<T>(&self, problem: impl Into<String>) -> Result<T> {
        Err(self.error(problem))
    }
}

/// One key of a JSON pointer, escaped.
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// A value in the words of an error message: short scalars themselves, else the kind.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
        Value::String(text) if text.chars().count() > 60 => "a long string".into(),
        scalar => scalar.to_string(),
    }
}
