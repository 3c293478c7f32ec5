//! What a router may answer itself.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Grounding, Options};
use crate::error::{Error, Result};
use crate::tool::Annotations;

/// What to do when some tools are the provider's own, such as a web search.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProviderTools {
    /// Hand off: the request may need them.
    #[default]
    HandOff,
    /// Decide as if they were not there.
    Ignore,
}

/// Settings of a router; every field has a default, unknown fields are refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Confidence below which a call is handed off, 0 to 1; by default the one in the model's calibration.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub threshold: Option<f32>,
    /// The same for single tools, by name; it counts instead of `threshold`.
    pub thresholds: BTreeMap<String, f32>,
    /// The least for tools that are marked destructive (MCP's annotations) and have no threshold of their own.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub destructive_threshold: f32,
    /// Tools that are never called locally.
    pub never: Vec<String>,
    /// What to do when some tools are the provider's own.
    pub provider_tools: ProviderTools,
    /// What to do with arguments that the query does not contain.
    pub grounding: Grounding,
    /// Most calls in one answer; more is a hand-off with `multi_step`.
    #[schemars(range(min = 1, max = 64))]
    pub max_calls: usize,
    /// Longest answer in tokens; more is a hand-off with `output_limit`.
    #[schemars(range(min = 1, max = 8192))]
    pub max_output_tokens: usize,
    /// Time for one decision in milliseconds; running out is a hand-off with `deadline`.
    pub deadline_ms: Option<u64>,
    /// Most tools that take part in one decision; of a larger catalogue, this many are retrieved.
    #[schemars(range(min = 1, max = 1024))]
    pub max_candidates: usize,
    /// Lists of tools that are kept compiled; the one not used for longest goes first.
    #[schemars(range(min = 1, max = 65536))]
    pub cached_toolsets: usize,
}

impl Default for Policy {
    fn default() -> Self {
        let Options { max_calls, max_output_tokens, max_candidates, .. } = Options::default();
        Self {
            threshold: None,
            thresholds: BTreeMap::new(),
            destructive_threshold: 0.95,
            never: Vec::new(),
            provider_tools: ProviderTools::default(),
            grounding: Grounding::Enforce,
            max_calls,
            max_output_tokens,
            deadline_ms: None,
            max_candidates,
            cached_toolsets: 64,
        }
    }
}

impl Policy {
    /// Reads a policy from JSON text.
    ///
    /// # Errors
    /// [`Error::Option`] for unknown fields, wrong types and values out of range.
    pub fn from_json(json: &str) -> Result<Self> {
        let refuse = |problem| Error::Option { name: "policy", problem };
        if !json.trim_start().starts_with('{') {
            return Err(refuse("is no JSON object".into()));
        }
        let policy: Self = serde_json::from_str(json).map_err(|error| refuse(error.to_string()))?;
        policy.validate()?;
        Ok(policy)
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Error::Option`] names the first setting that is out of range.
    pub fn validate(&self) -> Result<()> {
        self.options(true).validate()?;
        for (name, threshold) in self
            .thresholds
            .values()
            .map(|t| ("thresholds", t))
            .chain([("destructive_threshold", &self.destructive_threshold)])
        {
            if !(0.0..=1.0).contains(threshold) {
                return Err(Error::Option { name, problem: format!("is {threshold}; must be 0 to 1") });
            }
        }
        if !(1..=65536).contains(&self.cached_toolsets) {
            let problem = format!("is {}; must be 1 to 65536", self.cached_toolsets);
            return Err(Error::Option { name: "cached_toolsets", problem });
        }
        Ok(())
    }

    /// The options of one decision; thresholds are this policy's own business.
    pub(super) fn options(&self, parallel: bool) -> Options {
        Options {
            threshold: self.threshold,
            max_calls: if parallel { self.max_calls } else { 1 },
            max_output_tokens: self.max_output_tokens,
            deadline_ms: self.deadline_ms,
            grounding: self.grounding,
            max_candidates: self.max_candidates,
        }
    }

    /// Whether calls need a confidence that only a calibrated model has.
    pub(super) fn wants_confidence(&self) -> bool {
        self.threshold.is_some_and(|threshold| threshold > 0.0)
            || self.thresholds.values().any(|threshold| *threshold > 0.0)
    }

    /// The confidence that a call of one tool needs; `usual` is the model's own threshold.
    pub(super) fn bar(&self, tool: &str, annotations: Annotations, usual: f32) -> f32 {
        if let Some(threshold) = self.thresholds.get(tool) {
            return *threshold;
        }
        let threshold = self.threshold.unwrap_or(usual);
        let destructive = annotations.destructive == Some(true) && annotations.read_only != Some(true);
        if destructive { threshold.max(self.destructive_threshold) } else { threshold }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_strict_and_ranges_are_checked() {
        assert_eq!(Policy::from_json("{}").unwrap(), Policy::default());
        for (json, message) in [
            (r#"{"treshold":1}"#, "option policy: unknown field"),
            (r#"{"thresholds":{"a":2}}"#, "option thresholds: is 2"),
            (r#"{"destructive_threshold":-1}"#, "option destructive_threshold: is -1"),
            (r#"{"max_calls":0}"#, "option max_calls: is 0"),
            (r#"{"cached_toolsets":0}"#, "option cached_toolsets: is 0"),
            ("[]", "option policy: is no JSON object"),
        ] {
            let error = Policy::from_json(json).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }

    #[test]
    fn destructive_tools_need_more_unless_they_have_their_own_bar() {
        let policy = Policy::from_json(r#"{"threshold":0.5,"thresholds":{"wipe":0.6}}"#).unwrap();
        let destructive = Annotations { destructive: Some(true), ..Annotations::default() };
        let harmless = Annotations { read_only: Some(true), ..destructive };
        let bars = [
            policy.bar("list", Annotations::default(), 0.8),
            policy.bar("delete", destructive, 0.8),
            policy.bar("delete", harmless, 0.8),
            policy.bar("wipe", destructive, 0.8),
            Policy::default().bar("list", Annotations::default(), 0.8),
        ];
        assert_eq!(bars.map(|bar| format!("{bar:.2}")), ["0.50", "0.95", "0.50", "0.60", "0.80"]);
    }
}
