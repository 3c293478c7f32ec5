//! How often local calls are those that a large model made, by confidence.

use indexmap::IndexMap;
use serde::Serialize;

use super::expected::{Expected, matches};
use crate::call::ToolCall;

/// One request that both have answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// The local calls, whatever the threshold; none for a refusal.
    pub local: Vec<ToolCall>,
    /// The local confidence; 0 if there is none.
    pub confidence: f64,
    /// The large model's calls; none if it answered in words.
    pub large: Vec<ToolCall>,
}

/// A point of the curve: what would be answered locally from a confidence on, and how much of it agrees.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// The confidence.
    pub threshold: f64,
    /// Share of all requests that would be answered locally.
    pub coverage: f64,
    /// Share of those whose calls are the large model's.
    pub agreement: f64,
}

/// How one tool fares at a threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ToolAgreement {
    /// Requests that the large model answered with this tool.
    pub asked: usize,
    /// Requests that would be answered locally with this tool.
    pub answered: usize,
    /// Those of them that agree.
    pub agreed: usize,
}

impl Pair {
    /// Whether the calls are the large model's, in any order, compared as in [`super::Expected`].
    pub fn agrees(&self) -> bool {
        let wanted: Vec<Expected> =
            self.large.iter().map(|call| Expected::from_answer(call, &IndexMap::new())).collect();
        !self.local.is_empty() && matches(&self.local, &wanted)
    }
}

/// The curve from the highest confidence down, one point for each that occurs with calls.
pub fn curve(pairs: &[Pair]) -> Vec<Point> {
    let mut called: Vec<(f64, bool)> = pairs
        .iter()
        .filter(|pair| !pair.local.is_empty())
        .map(|pair| (pair.confidence, pair.agrees()))
        .collect();
    called.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut points: Vec<Point> = Vec::new();
    let mut agreed = 0;
    for (index, (confidence, agrees)) in called.iter().enumerate() {
        agreed += usize::from(*agrees);
        let answered = index + 1;
        let point = Point {
            threshold: *confidence,
            coverage: answered as f64 / pairs.len() as f64,
            agreement: f64::from(u32::try_from(agreed).unwrap_or(u32::MAX)) / answered as f64,
        };
        match points.last_mut() {
            // Equal confidences are answered together or not at all.
            Some(last) if last.threshold.total_cmp(confidence).is_eq() => *last = point,
            _ => points.push(point),
        }
    }
    points
}

/// The point with the most coverage that reaches a wanted agreement.
pub fn threshold_for(curve: &[Point], agreement: f64) -> Option<Point> {
    curve.iter().rev().find(|point| point.agreement >= agreement).copied()
}

/// Every tool's agreement at a threshold, by name.
pub fn by_tool(pairs: &[Pair], threshold: f64) -> IndexMap<String, ToolAgreement> {
    let mut tools: IndexMap<String, ToolAgreement> = IndexMap::new();
    for pair in pairs {
        for call in &pair.large {
            tools.entry(call.name.clone()).or_default().asked += 1;
        }
        if pair.confidence < threshold {
            continue;
        }
        for call in &pair.local {
            let tool = tools.entry(call.name.clone()).or_default();
            tool.answered += 1;
            tool.agreed += usize::from(pair.agrees());
        }
    }
    tools.sort_keys();
    tools
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(local: &str, confidence: f64, large: &str) -> Pair {
        let calls = |text| crate::call::parse(text).unwrap();
        Pair { local: calls(local), confidence, large: calls(large) }
    }

    const A: &str = r#"[{"name":"a","arguments":{"x":"One"}}]"#;
    const B: &str = r#"[{"name":"b","arguments":{}}]"#;

    #[test]
    fn the_curve_counts_what_is_answered_from_a_confidence_on() {
        let folded = r#"[{"name":"a","arguments":{"x":"one."}}]"#;
        let pairs = [pair(A, 0.9, folded), pair(A, 0.5, B), pair(B, 0.5, B), pair("[]", 0.8, B)];
        let points = curve(&pairs);
        let shown: Vec<String> = points
            .iter()
            .map(|p| format!("{:.2} {:.2} {:.2}", p.threshold, p.coverage, p.agreement))
            .collect();
        assert_eq!(shown, ["0.90 0.25 1.00", "0.50 0.75 0.67"]);
        assert_eq!(threshold_for(&points, 0.9), Some(points[0]));
        assert_eq!(threshold_for(&points, 0.6), Some(points[1]));
        assert_eq!(threshold_for(&[], 0.6), None);
        let tools = by_tool(&pairs, 0.6);
        assert_eq!(tools["a"], ToolAgreement { asked: 1, answered: 1, agreed: 1 });
        assert_eq!(tools["b"], ToolAgreement { asked: 3, answered: 0, agreed: 0 });
    }
}
