//! Figures over judged rows.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::Row;
use super::expected::{ArgumentKind, Expected, matched, matches};
use crate::call::ToolCall;
use crate::router::{Decision, HandoffReason, Outcome};

/// One row with what came of it.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The row's name.
    pub id: Value,
    /// The row's group.
    pub suite: Option<String>,
    /// The row's query.
    pub query: String,
    /// What was expected.
    pub expected: Vec<Expected>,
    /// The calls that the model wrote, made or suppressed; empty for a refusal.
    pub calls: Vec<ToolCall>,
    /// The decision on them.
    pub decision: Decision,
    /// Whether the model's answer was whole JSON.
    pub is_parsed: bool,
    /// Whether the model's answer is right, whatever was decided about it.
    pub is_right: bool,
}

impl Judged {
    /// Compares an outcome with what the row expects.
    pub fn new(row: Row, outcome: &Outcome) -> Self {
        let expected = row.expected();
        let calls = match &outcome.decision {
            Decision::Call { calls, .. } => calls.clone(),
            Decision::Handoff { suppressed_calls, .. } => suppressed_calls.clone(),
        };
        // Without a whole answer there are no calls; that is right only where none was expected.
        let is_right = matches(&calls, &expected) && !is_invalid(&outcome.decision);
        let (decision, is_parsed) = (outcome.decision.clone(), outcome.features.is_some());
        Self {
            id: row.id,
            suite: row.suite,
            query: row.query,
            expected,
            calls,
            decision,
            is_parsed,
            is_right,
        }
    }
}

fn is_invalid(decision: &Decision) -> bool {
    matches!(decision.reason(), Some(HandoffReason::UnsupportedSchema | HandoffReason::InvalidArguments))
        && !matches!(decision, Decision::Handoff { suppressed_calls, .. } if suppressed_calls.is_empty())
}

/// Rows of similar confidence.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Bin {
    /// Rows in this tenth of the confidence.
    pub rows: usize,
    /// Mean confidence of them.
    pub confidence: f64,
    /// Share of them that was right.
    pub accuracy: f64,
}

/// How many of some things there are, and which share of them is right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Share {
    /// How many.
    pub count: usize,
    /// Share of them that is right.
    pub accuracy: f64,
}

/// Figures of one evaluation; shares are of 1, and none where there is nothing to count.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Rows.
    pub rows: usize,
    /// Rows whose answer is exactly right, refusals included.
    pub exact: Option<f64>,
    /// The same by the rows' suites.
    pub suites: BTreeMap<String, Share>,
    /// F1 of the tools' names over all calls (micro).
    pub name_f1: Option<f64>,
    /// F1 of whole calls (micro).
    pub call_f1: Option<f64>,
    /// Right arguments in calls of a right tool.
    pub argument_accuracy: Option<f64>,
    /// The same by the type that was expected.
    pub arguments: BTreeMap<ArgumentKind, Share>,
    /// Rows without a right call where none was written.
    pub refusal_accuracy: Option<f64>,
    /// Rows with a right call that is exactly right.
    pub call_accuracy: Option<f64>,
    /// Answers that are whole JSON.
    pub parse_rate: Option<f64>,
    /// Written calls that fit their schemas.
    pub schema_valid_rate: Option<f64>,
    /// Rows decided as calls.
    pub coverage: Option<f64>,
    /// Rows decided as calls that are right.
    pub precision: Option<f64>,
    /// Expected calibration error of the confidence over ten bins (Naeini et al., 2015).
    pub ece: Option<f64>,
    /// Ten bins of confidence.
    pub reliability: Vec<Bin>,
    /// Hand-offs by reason.
    pub handoffs: BTreeMap<&'static str, usize>,
    /// Median time of a decision in milliseconds.
    pub latency_p50_ms: Option<f64>,
    /// 95th percentile of it.
    pub latency_p95_ms: Option<f64>,
}

impl Report {
    /// The figures of these rows.
    pub fn new(rows: &[Judged]) -> Self {
        let share = |of: &dyn Fn(&Judged) -> bool, among: &dyn Fn(&Judged) -> bool| {
            let all = rows.iter().filter(|row| among(row));
            ratio(all.clone().filter(|row| of(row)).count(), all.count())
        };
        let made = |row: &Judged| row.decision.reason().is_none();
        let mut handoffs = BTreeMap::new();
        for reason in rows.iter().filter_map(|row| row.decision.reason()) {
            *handoffs.entry(reason.name()).or_insert(0) += 1;
        }
        let mut latencies: Vec<f64> = rows.iter().map(|row| row.decision.timings().total_ms).collect();
        latencies.sort_by(f64::total_cmp);
        let (reliability, ece) = reliability(rows);
        let arguments: Vec<_> = rows.iter().flat_map(judged_arguments).collect();
        Self {
            rows: rows.len(),
            exact: share(&|row| row.is_right, &|_| true),
            suites: by(rows.iter().filter_map(|row| Some((row.suite.clone()?, row.is_right)))),
            name_f1: f1(rows, |row| {
                let mut names: Vec<&str> = row.expected.iter().map(|call| call.name.as_str()).collect();
                let found = row.calls.iter().filter(|call| {
                    let index = names.iter().position(|name| *name == call.name);
                    index.map(|index| names.swap_remove(index)).is_some()
                });
                found.count()
            }),
            call_f1: f1(rows, |row| matched(&row.calls, &row.expected)),
            argument_accuracy: ratio(arguments.iter().filter(|(_, right)| *right).count(), arguments.len()),
            arguments: by(arguments.iter().copied()),
            refusal_accuracy: share(&|row| row.calls.is_empty(), &|row| row.expected.is_empty()),
            call_accuracy: share(&|row| row.is_right, &|row| !row.expected.is_empty()),
            parse_rate: share(&|row| row.is_parsed, &|_| true),
            schema_valid_rate: share(&|row| !is_invalid(&row.decision), &|row| !row.calls.is_empty()),
            coverage: share(&made, &|_| true),
            precision: share(&|row| row.is_right, &made),
            ece,
            reliability,
            handoffs,
            latency_p50_ms: percentile(&latencies, 50),
            latency_p95_ms: percentile(&latencies, 95),
        }
    }
}

fn ratio(part: usize, all: usize) -> Option<f64> {
    (all > 0).then(|| part as f64 / all as f64)
}

/// Harmonic mean of precision and recall of what `right` counts.
fn f1(rows: &[Judged], right: impl Fn(&Judged) -> usize) -> Option<f64> {
    let right: usize = rows.iter().map(right).sum();
    let both: usize = rows.iter().map(|row| row.calls.len() + row.expected.len()).sum();
    ratio(2 * right, both)
}

/// The arguments of a row's calls of right tools.
fn judged_arguments(row: &Judged) -> impl Iterator<Item = (ArgumentKind, bool)> {
    row.calls.iter().flat_map(|call| {
        // Of several expected calls of this tool, the one that it fits best.
        let fits = row.expected.iter().filter(|expected| expected.name == call.name);
        let judged = fits.map(|expected| expected.judge(call));
        judged.max_by_key(|judged| judged.iter().filter(|(_, right)| *right).count()).unwrap_or_default()
    })
}

/// Counts things of each kind, and those of them that are right.
fn by<K: Ord>(things: impl Iterator<Item = (K, bool)>) -> BTreeMap<K, Share> {
    let mut kinds: BTreeMap<K, Share> = BTreeMap::new();
    for (kind, right) in things {
        let share = kinds.entry(kind).or_default();
        share.count += 1;
        share.accuracy += f64::from(u8::from(right));
    }
    for share in kinds.values_mut() {
        share.accuracy /= share.count as f64;
    }
    kinds
}

/// The value below or at which `percent` of the sorted values lie (nearest rank).
fn percentile(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

fn reliability(rows: &[Judged]) -> (Vec<Bin>, Option<f64>) {
    const BINS: usize = 10;
    let mut bins = vec![Bin::default(); BINS];
    for row in rows {
        let Some(confidence) = row.decision.confidence() else { continue };
        let confidence = f64::from(confidence.get());
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a confidence is within 0 to 1"
        )]
        let index = ((confidence * BINS as f64) as usize).min(BINS - 1);
        bins[index].rows += 1;
        bins[index].confidence += confidence;
        bins[index].accuracy += f64::from(u8::from(row.is_right));
    }
    let rated: usize = bins.iter().map(|bin| bin.rows).sum();
    let mut error = 0.0;
    for bin in bins.iter_mut().filter(|bin| bin.rows > 0) {
        let count = bin.rows as f64;
        error += (bin.confidence - bin.accuracy).abs() / rated as f64;
        bin.confidence /= count;
        bin.accuracy /= count;
    }
    (bins, (rated > 0).then_some(error))
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "literals read better without a reference")]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::calibration::{FEATURE_COUNT, Features};

    /// A row that expects `gold` and was decided as `decision`.
    fn judged(gold: Value, mut decision: Value, ms: f64) -> Judged {
        decision["timings"] = json!({"encode_ms": 0.0, "decode_ms": ms, "total_ms": ms});
        let suite = if gold == json!([]) { Value::Null } else { "calls".into() };
        let row = json!({"query": "q", "answers": gold, "suite": suite}).to_string();
        let row = Row::parse("rows", 3, &row).unwrap();
        let features = Some(Features([0.0; FEATURE_COUNT]));
        let decision = serde_json::from_value(decision).unwrap();
        let outcome = Outcome { decision, text: String::new(), trace: None, features };
        Judged::new(row, &outcome)
    }

    fn call(name: &str, arguments: Value) -> Value {
        json!({"name": name, "arguments": arguments})
    }

    #[test]
    fn figures_of_rows_counted_by_hand() {
        let made = |calls: Value, confidence: f64| json!({"decision": "call", "calls": calls, "confidence": confidence});
        let held = |reason: &str, calls: Value, confidence: f64| json!({"decision": "handoff", "reason": reason, "detail": "", "suppressed_calls": calls, "confidence": confidence});
        let a = call("a", json!({"x": 1, "y": 2}));
        let rows = [
            judged(json!([a]), made(json!([a]), 0.95), 1.0),
            judged(json!([a]), made(json!([call("a", json!({"x": 1, "y": 3}))]), 0.85), 2.0),
            judged(json!([a]), held("low_confidence", json!([a]), 0.35), 3.0),
            judged(json!([]), held("no_matching_tool", json!([]), 0.55), 4.0),
            judged(json!([]), made(json!([call("b", json!({}))]), 0.55), 5.0),
        ];
        let report = Report::new(&rows);
        let close = |found: Option<f64>, wanted: f64| {
            assert!((found.unwrap() - wanted).abs() < 1e-6, "{found:?} {wanted}");
        };
        close(report.exact, 3.0 / 5.0);
        let suites = BTreeMap::from([("calls".to_owned(), Share { count: 3, accuracy: 2.0 / 3.0 })]);
        assert_eq!(report.suites, suites);
        close(report.name_f1, 2.0 * 3.0 / (4.0 + 3.0));
        close(report.call_f1, 2.0 * 2.0 / (4.0 + 3.0));
        close(report.argument_accuracy, 5.0 / 6.0);
        assert_eq!(report.arguments[&ArgumentKind::Number], Share { count: 6, accuracy: 5.0 / 6.0 });
        close(report.refusal_accuracy, 0.5);
        close(report.call_accuracy, 2.0 / 3.0);
        close(report.coverage, 3.0 / 5.0);
        close(report.precision, 1.0 / 3.0);
        close(report.latency_p50_ms, 3.0);
        close(report.latency_p95_ms, 5.0);
        close(report.ece, (0.05 + 0.85 + 0.65 + 0.1) / 5.0);
        assert_eq!(report.handoffs["low_confidence"], 1);
        assert_eq!(rows[0].id, 3);
    }

    #[test]
    fn invalid_calls_are_never_right_and_nothing_gives_no_figures() {
        let a = call("a", json!({}));
        let invalid = json!({"decision": "handoff", "reason": "unsupported_schema", "detail": "", "suppressed_calls": [a], "confidence": null});
        let report = Report::new(&[judged(json!([a]), invalid, 1.0)]);
        assert_eq!((report.exact, report.schema_valid_rate, report.ece), (Some(0.0), Some(0.0), None));
        assert_eq!(Report::new(&[]).exact, None);
    }
}
