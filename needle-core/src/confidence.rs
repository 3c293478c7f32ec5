//! How sure the engine is that an answer is right: features of the decoder's trace, weighed by the model's
//! [`Calibration`].
//!
//! | feature | what | an answer without it |
//! |---|---|---|
//! | `refusal` | 1 if the answer is `[]` | 0 |
//! | `min_log_probability` | ln of the smallest probability (among allowed tokens) of any choice | 0 |
//! | `mean_log_probability` | mean of these ln over all choices | 0 |
//! | `max_removed_mass` | largest probability mass that the grammar removed at a choice | 0 |
//! | `opening_log_odds` | ln(p/(1-p)) of the opening that was taken: a call, or `[]` | 14 |
//! | `opening_surprise` | surprise of the choice between a call and `[]` | 0 |
//! | `name_surprise` | surprise of all choices of tool names | 0 |
//! | `argument_surprise` | surprise of all choices of arguments | 0 |
//! | `retrieval_margin` | cosine of the chosen tools (the least; of the best candidate in a refusal) minus that of the best tool that retrieval left out | 1 |
//! | `ungrounded_arguments` | arguments that are not in the query (see [`crate::grounding`]), at most 4 | 0 |
//! | `log_calls` | ln(1 + number of calls) | 0 |
//! | `surprise` | surprise of all choices | 0 |
//! | `refused_similarity` | in a refusal, the best cosine of a tool's static embedding with the query's | 0 |
//! | `unexplained_words` | share of the query's words that are neither in the calls nor in their tools' descriptions and schemas; words with the same first four letters count as one | 0 |
//!
//! The surprise of choices is the root of minus the sum of their ln probabilities: what is nearly certain still
//! differs by it.
//!
//! Logarithms of probabilities are cut at -14 (about one in a million).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::calibration::{Calibration, FEATURE_COUNT, Features};
use crate::trace::{Choice, ChoiceKind, Trace};

/// The probability that an answer is right, within 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "f32")]
#[schemars(extend("minimum" = 0, "maximum" = 1))]
pub struct Confidence(f32);

impl Confidence {
    /// The confidence in an answer with these features.
    pub fn of(calibration: &Calibration, features: &Features) -> Self {
        #[allow(clippy::cast_possible_truncation, reason = "rounding a probability to f32 is intended")]
        let probability = calibration.probability(features) as f32;
        Self(if probability.is_finite() { probability.clamp(0.0, 1.0) } else { 0.0 })
    }

    /// The number.
    pub fn get(self) -> f32 {
        self.0
    }
}

impl TryFrom<f32> for Confidence {
    type Error = &'static str;

    fn try_from(value: f32) -> Result<Self, Self::Error> {
        if (0.0..=1.0).contains(&value) { Ok(Self(value)) } else { Err("a confidence is within 0 to 1") }
    }
}

/// What the features need beside the trace.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// Number of calls in the answer; 0 is a refusal.
    pub calls: usize,
    /// Arguments that are not in the query.
    pub ungrounded: usize,
    /// See the module's table; `None` if retrieval left no tool out.
    pub retrieval_margin: Option<f32>,
    /// The best cosine of a candidate's static embedding with the query's; `None` if the model has none.
    pub similarity: Option<f32>,
    /// Share of the query's words that neither the calls nor their tools account for, 0 to 1.
    pub unexplained: f64,
}

/// Logarithms are cut here, so that one impossible choice does not drown all other features.
const FLOOR: f64 = -14.0;

/// The features of an answer; see the module's table.
pub fn features(trace: &Trace, circumstances: Circumstances) -> Features {
    let logs: Vec<f64> = trace.choices.iter().map(log_probability).collect();
    let removed = |choice: &Choice| choice.unmasked.map_or(0.0, |all| 1.0 - f64::from(all.allowed_mass));
    let refusal = circumstances.calls == 0;
    let taken = trace.empty_probability.map(|empty| if refusal { empty } else { 1.0 - empty });
    let surprise = |kind: ChoiceKind| root(trace.of(kind).map(log_probability).sum());
    let mut values = [
        f64::from(u8::from(refusal)),
        logs.iter().copied().fold(0.0, f64::min),
        logs.iter().sum::<f64>() / logs.len().max(1) as f64,
        trace.choices.iter().map(removed).fold(0.0, f64::max),
        taken.map_or(-FLOOR, |p| log(f64::from(p)) - log(1.0 - f64::from(p))),
        surprise(ChoiceKind::Opening),
        surprise(ChoiceKind::Name),
        surprise(ChoiceKind::Arguments),
        f64::from(circumstances.retrieval_margin.unwrap_or(1.0)),
        circumstances.ungrounded.min(4) as f64,
        (1.0 + circumstances.calls as f64).ln(),
        root(logs.iter().sum()),
        if refusal { f64::from(circumstances.similarity.unwrap_or_default()) } else { 0.0 },
        if refusal { 0.0 } else { circumstances.unexplained },
    ];
    debug_assert_eq!(values.len(), FEATURE_COUNT);
    for value in &mut values {
        if !value.is_finite() {
            // Only a broken checkpoint yields NaN; the worst value makes its answers untrusted.
            *value = FLOOR;
        }
    }
    Features(values)
}

fn log_probability(choice: &Choice) -> f64 {
    log(f64::from(choice.probability))
}

/// The surprise of choices whose logarithms of probabilities come to `sum`.
fn root(sum: f64) -> f64 {
    (-sum).max(0.0).sqrt()
}

fn log(probability: f64) -> f64 {
    probability.ln().clamp(FLOOR, 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TokenId;
    use crate::trace::{Stop, Unmasked};

    fn choice(kind: ChoiceKind, probability: f32) -> Choice {
        Choice {
            kind,
            call: 0,
            position: 0,
            token: TokenId(7),
            allowed: 2,
            probability,
            margin: 2.0 * probability - 1.0,
            unmasked: Some(Unmasked { probability: probability / 2.0, allowed_mass: 0.5 }),
            evidence: None,
        }
    }

    #[test]
    fn features_of_a_call_and_a_refusal() {
        let trace = Trace {
            choices: vec![choice(ChoiceKind::Opening, 0.8), choice(ChoiceKind::Name, 0.5)],
            tokens: vec![TokenId(7); 2],
            stop: Stop::Complete,
            empty_probability: Some(0.2),
        };
        let circumstances = Circumstances {
            calls: 1,
            ungrounded: 9,
            retrieval_margin: Some(0.25),
            similarity: Some(0.5),
            unexplained: 0.75,
        };
        let call = features(&trace, circumstances);
        let (opening, name): (f64, f64) = (0.8_f64.ln(), 0.5_f64.ln());
        let surprises = [(-opening).sqrt(), (-name).sqrt(), 0.0];
        let expected = [
            &[0.0, name, 0.4_f64.ln() / 2.0, 0.5, 4.0_f64.ln()][..],
            &surprises,
            &[0.25, 4.0, 2.0_f64.ln(), (-opening - name).sqrt(), 0.0, 0.75],
        ]
        .concat();
        for (index, value) in expected.into_iter().enumerate() {
            assert!((call.0[index] - value).abs() < 1e-6, "{index}: {} is not {value}", call.0[index]);
        }
        let refusal = features(&trace, Circumstances { calls: 0, ungrounded: 0, ..circumstances });
        assert!(refusal.is_refusal() && (refusal.0[4] + 4.0_f64.ln()).abs() < 1e-6);
        assert!((refusal.0[12] - 0.5).abs() < 1e-6 && refusal.0[13].abs() < 1e-6);
    }

    #[test]
    fn a_confidence_is_always_within_its_range() {
        assert!(Confidence::try_from(f32::NAN).is_err() && Confidence::try_from(1.5).is_err());
        assert!(serde_json::from_str::<Confidence>("-0.1").is_err());
        assert_eq!(serde_json::to_string(&Confidence::try_from(0.5).unwrap()).unwrap(), "0.5");
    }
}
