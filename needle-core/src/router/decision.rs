//! What a decision is: calls to make, or a hand-off to a larger model with its reason.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::call::ToolCall;
use crate::confidence::Confidence;
use crate::grounding::UngroundedArgument;

/// Why the engine does not answer itself. Names are stable: dashboards count them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HandoffReason {
    /// The confidence is below the threshold.
    LowConfidence,
    /// The model answered `[]`, or there are no tools.
    NoMatchingTool,
    /// The answer needs more calls than allowed.
    MultiStep,
    /// The schema of the chosen tool is beyond the grammar, or the answer does not validate against it.
    UnsupportedSchema,
    /// Query or tools do not fit the model's context.
    InputTooLong,
    /// The query is empty.
    NotAUserTurn,
    /// With [`super::Grounding::Enforce`]: an argument is not in the query.
    UngroundedArguments,
    /// The answer did not end within `max_output_tokens`.
    OutputLimit,
    /// The answer obeys the grammar but is no usable value, such as a number beyond any range.
    InvalidArguments,
    /// The request wants more than calls of its own tools: structured output, media, a provider's tool.
    UnsupportedRequest,
    /// The chosen tool is on the list of those that are never called locally.
    DeniedTool,
    /// A router's deadline passed.
    Deadline,
}

impl HandoffReason {
    /// Every reason.
    pub const ALL: [Self; 12] = [
        Self::LowConfidence,
        Self::NoMatchingTool,
        Self::MultiStep,
        Self::UnsupportedSchema,
        Self::InputTooLong,
        Self::NotAUserTurn,
        Self::UngroundedArguments,
        Self::OutputLimit,
        Self::InvalidArguments,
        Self::UnsupportedRequest,
        Self::DeniedTool,
        Self::Deadline,
    ];

    /// The stable `snake_case` name.
    pub fn name(self) -> &'static str {
        match self {
            Self::LowConfidence => "low_confidence",
            Self::NoMatchingTool => "no_matching_tool",
            Self::MultiStep => "multi_step",
            Self::UnsupportedSchema => "unsupported_schema",
            Self::InputTooLong => "input_too_long",
            Self::NotAUserTurn => "not_a_user_turn",
            Self::UngroundedArguments => "ungrounded_arguments",
            Self::OutputLimit => "output_limit",
            Self::InvalidArguments => "invalid_arguments",
            Self::UnsupportedRequest => "unsupported_request",
            Self::DeniedTool => "denied_tool",
            Self::Deadline => "deadline",
        }
    }
}

/// Where the time went, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Timings {
    /// Prompt and encoder, retrieval included.
    pub encode_ms: f64,
    /// Decoder and grammar.
    pub decode_ms: f64,
    /// The whole decision.
    pub total_ms: f64,
}

/// Calls to make, or a hand-off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum Decision {
    /// These calls answer the query; each validates against its tool's schema.
    Call {
        /// At least one call, in the order to make them.
        calls: Vec<ToolCall>,
        /// Probability that all of it is right; none without calibration.
        confidence: Option<Confidence>,
        /// Arguments that the query does not contain.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        ungrounded: Vec<UngroundedArgument>,
        /// Where the time went.
        timings: Timings,
    },
    /// Ask a larger model.
    Handoff {
        /// Why.
        reason: HandoffReason,
        /// What exactly, in words for a log.
        detail: String,
        /// Probability that the answer (for `no_matching_tool`: the refusal) is right; none without
        /// calibration or where the model was not asked.
        confidence: Option<Confidence>,
        /// The calls that the model would have made, if they could be read; never make them unseen.
        suppressed_calls: Vec<ToolCall>,
        /// Arguments that the query does not contain.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        ungrounded: Vec<UngroundedArgument>,
        /// Where the time went.
        timings: Timings,
    },
}

impl Decision {
    /// A hand-off before the model was asked.
    pub(super) fn unasked(reason: HandoffReason, detail: String, timings: Timings) -> Self {
        Self::Handoff {
            reason,
            detail,
            confidence: None,
            suppressed_calls: Vec::new(),
            ungrounded: Vec::new(),
            timings,
        }
    }

    /// The calls to make; empty for a hand-off.
    pub fn calls(&self) -> &[ToolCall] {
        match self {
            Self::Call { calls, .. } => calls,
            Self::Handoff { .. } => &[],
        }
    }

    /// Why it is a hand-off, if it is one.
    pub fn reason(&self) -> Option<HandoffReason> {
        match self {
            Self::Call { .. } => None,
            Self::Handoff { reason, .. } => Some(*reason),
        }
    }

    /// The confidence, if the model is calibrated.
    pub fn confidence(&self) -> Option<Confidence> {
        match self {
            Self::Call { confidence, .. } | Self::Handoff { confidence, .. } => *confidence,
        }
    }

    /// Where the time went.
    pub fn timings(&self) -> Timings {
        match self {
            Self::Call { timings, .. } | Self::Handoff { timings, .. } => *timings,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_stable() {
        let call = Decision::Call {
            calls: crate::call::parse(r#"[{"name":"getTime","arguments":{"zone":"CET"}}]"#).unwrap(),
            confidence: Confidence::try_from(0.5).ok(),
            ungrounded: Vec::new(),
            timings: Timings::default(),
        };
        let json = serde_json::to_string(&call).unwrap();
        assert_eq!(
            json,
            r#"{"decision":"call","calls":[{"name":"getTime","arguments":{"zone":"CET"}}],"confidence":0.5,"timings":{"encode_ms":0.0,"decode_ms":0.0,"total_ms":0.0}}"#
        );
        assert_eq!(serde_json::from_str::<Decision>(&json).unwrap(), call);
    }

    #[test]
    fn reasons_have_the_names_that_serde_writes() {
        for reason in HandoffReason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.name());
        }
    }
}
