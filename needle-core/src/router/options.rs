//! What a caller may set for a decision.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What to do with arguments that the query does not contain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Grounding {
    /// Nothing.
    Off,
    /// List them in the decision.
    #[default]
    Report,
    /// Hand off with `ungrounded_arguments`.
    Enforce,
}

/// Settings of one decision; every field has a default, unknown fields are refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Confidence below which a call becomes a hand-off, 0 to 1; by default the one in the model's
    /// calibration. A model without calibration knows no confidence and takes only 0 here.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub threshold: Option<f32>,
    /// Most calls in one answer; more is a hand-off with `multi_step`.
    #[schemars(range(min = 1, max = 64))]
    pub max_calls: usize,
    /// Longest answer in tokens; more is a hand-off with `output_limit`.
    #[schemars(range(min = 1, max = 8192))]
    pub max_output_tokens: usize,
    /// Time for one decision in milliseconds, looked at between steps; running out before there is an answer is an error.
    pub deadline_ms: Option<u64>,
    /// What to do with arguments that the query does not contain.
    pub grounding: Grounding,
    /// Most tools that take part in one decision; of a larger catalogue, this many are retrieved.
    #[schemars(range(min = 1, max = 1024))]
    pub max_candidates: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            threshold: None,
            max_calls: 8,
            max_output_tokens: 512,
            deadline_ms: None,
            grounding: Grounding::default(),
            max_candidates: 16,
        }
    }
}

impl Options {
    /// Reads options from JSON text.
    ///
    /// # Errors
    /// [`Error::Option`] for unknown fields, wrong types and values out of range.
    pub fn from_json(json: &str) -> Result<Self> {
        let refuse = |problem| Error::Option { name: "options", problem };
        if !json.trim_start().starts_with('{') {
            // A list would be read as the fields in their order.
            return Err(refuse("are no JSON object".into()));
        }
        let options: Self = serde_json::from_str(json).map_err(|error| refuse(error.to_string()))?;
        options.validate()?;
        Ok(options)
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Error::Option`] names the first option that is out of range.
    pub fn validate(&self) -> Result<()> {
        if let Some(threshold) = self.threshold
            && !(0.0..=1.0).contains(&threshold)
        {
            return Err(Error::Option {
                name: "threshold",
                problem: format!("is {threshold}; must be 0 to 1"),
            });
        }
        for (name, value, limit) in [
            ("max_calls", self.max_calls, 64),
            ("max_output_tokens", self.max_output_tokens, 8192),
            ("max_candidates", self.max_candidates, 1024),
        ] {
            if value == 0 || value > limit {
                return Err(Error::Option { name, problem: format!("is {value}; must be 1 to {limit}") });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_strict_and_defaults_fill_the_rest() {
        assert_eq!(Options::from_json("{}").unwrap(), Options::default());
        let options = Options::from_json(r#"{"threshold":0.5,"grounding":"enforce"}"#).unwrap();
        assert_eq!((options.threshold, options.grounding), (Some(0.5), Grounding::Enforce));
        for (json, message) in [
            (r#"{"treshold":0.5}"#, "option options: unknown field `treshold`"),
            (r#"{"threshold":1.5}"#, "option threshold: is 1.5; must be 0 to 1"),
            (r#"{"max_calls":0}"#, "option max_calls: is 0; must be 1 to 64"),
            (r#"{"max_calls":-1}"#, "option options: invalid value"),
            ("[0.5]", "option options: are no JSON object"),
        ] {
            let error = Options::from_json(json).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
