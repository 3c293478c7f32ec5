//! Labelled rows, one JSON object per line.

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::Value;

use super::expected::Expected;
use crate::call::ToolCall;
use crate::error::{Error, Result};

/// A query with its tools and the calls that would be right; fields of other names are ignored.
#[derive(Clone, Debug, Deserialize)]
pub struct Row {
    /// What to call the row in a report; rows without one get their line number.
    #[serde(default)]
    pub id: String,
    /// The user's words.
    pub query: String,
    /// The tools, in any form that [`crate::tool::parse`] reads; none where all rows share a list.
    #[serde(default)]
    pub tools: Value,
    /// The right calls; empty where no tool fits.
    #[serde(default)]
    pub answers: Vec<ToolCall>,
    /// Further right values by `tool.argument`; `null` means that the argument may be left out.
    #[serde(default)]
    pub accept: IndexMap<String, Vec<Value>>,
    /// Right values per call and argument as the Berkeley Function-Calling Leaderboard gives them; taken instead of
    /// `answers` where there are any.
    #[serde(default)]
    pub possible_answer: Vec<IndexMap<String, IndexMap<String, Vec<Value>>>>,
}

impl Row {
    /// Reads one line of a file.
    ///
    /// # Errors
    /// [`Error::Row`] with the line's number, counted from 1, and what is wrong.
    pub fn parse(origin: &str, line: usize, text: &str) -> Result<Self> {
        let mut row: Self = serde_json::from_str(text).map_err(|error| Error::Row {
            origin: origin.into(),
            line,
            problem: error.to_string(),
        })?;
        if row.id.is_empty() {
            row.id = line.to_string();
        }
        Ok(row)
    }

    /// The calls that an answer must consist of; none for a refusal.
    pub fn expected(&self) -> Vec<Expected> {
        if self.possible_answer.is_empty() {
            self.answers.iter().map(|call| Expected::from_answer(call, &self.accept)).collect()
        } else {
            self.possible_answer
                .iter()
                .flatten()
                .map(|(name, slots)| Expected::from_possible(name, slots))
                .collect()
        }
    }
}
