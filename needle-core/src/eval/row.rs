//! Labelled rows, one JSON object per line.

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::Value;

use super::expected::Expected;
use crate::call::ToolCall;
use crate::error::{Error, Result};

/// Right values of each argument by the tool's name, `""` where the argument may be left out.
pub type PossibleCall = IndexMap<String, IndexMap<String, Vec<Value>>>;

/// A query with its tools and the calls that would be right; fields of other names are ignored.
#[derive(Clone, Debug, Deserialize)]
pub struct Row {
    /// What to call the row in a report, a text or a number; rows without one get their line number.
    #[serde(default)]
    pub id: Value,
    /// The group of rows that this one is counted with, such as an app.
    pub suite: Option<String>,
    /// The user's words.
    pub query: String,
    /// The tools, in any form that [`crate::tool::parse`] reads; none where all rows share a list.
    #[serde(default)]
    pub tools: Value,
    /// The right calls; an empty list where no tool fits.
    pub answers: Option<Vec<ToolCall>>,
    /// Further right values by `tool.argument`; `null` means that the argument may be left out.
    #[serde(default)]
    pub accept: IndexMap<String, Vec<Value>>,
    /// Right values per call and argument as the Berkeley Function-Calling Leaderboard gives them; taken instead of
    /// `answers` where there are any.
    pub possible_answer: Option<Vec<PossibleCall>>,
}

impl Row {
    /// Reads one line of a file.
    ///
    /// # Errors
    /// [`Error::Row`] with the line's number, counted from 1, and what is wrong.
    pub fn parse(origin: &str, line: usize, text: &str) -> Result<Self> {
        let wrong = |problem: String| Error::Row { origin: origin.into(), line, problem };
        let row: Self = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        // Without this a misspelt key would make every row a refusal.
        if row.answers.is_none() && row.possible_answer.is_none() {
            return Err(wrong("has no `answers`; give an empty list where no tool fits".into()));
        }
        let id = if row.id.is_null() { line.into() } else { row.id };
        Ok(Self { id, ..row })
    }

    /// The calls that an answer must consist of; none for a refusal.
    pub fn expected(&self) -> Vec<Expected> {
        match &self.possible_answer {
            Some(possible) if !possible.is_empty() => {
                possible.iter().flatten().map(|(name, slots)| Expected::from_possible(name, slots)).collect()
            }
            _ => {
                let answers = self.answers.iter().flatten();
                answers.map(|call| Expected::from_answer(call, &self.accept)).collect()
            }
        }
    }
}
