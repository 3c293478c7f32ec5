//! Comparing calls with what was expected.
//!
//! Strings compare without letter case, outer punctuation and runs of spaces, numbers as numbers, lists in order;
//! the order of calls does not count. Values of `possible_answer` compare as in the Berkeley Function-Calling
//! Leaderboard's AST check (gorilla, `ast_checker.py`): strings without the characters ` ,./-_*^`.

use indexmap::IndexMap;
use serde_json::{Map, Value};

use crate::call::ToolCall;

/// One call that must be among the answer's.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// The tool's name.
    pub name: String,
    /// Every argument that may be there; any other one is wrong.
    pub arguments: IndexMap<String, Slot>,
}

/// What one argument may be.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    accepted: Vec<Value>,
    may_be_absent: bool,
    fold: Fold,
}

/// What is not looked at when strings are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fold {
    /// Letter case, outer punctuation, runs of white space.
    Edges,
    /// Letter case and the leaderboard's characters.
    Leaderboard,
}

impl Expected {
    /// From the right call and further values by `tool.argument`.
    pub(super) fn from_answer(call: &ToolCall, accept: &IndexMap<String, Vec<Value>>) -> Self {
        let mut arguments: IndexMap<String, Slot> = call
            .arguments
            .iter()
            .map(|(key, value)| {
                let slot = Slot { accepted: vec![value.clone()], may_be_absent: false, fold: Fold::Edges };
                (key.clone(), slot)
            })
            .collect();
        for (path, values) in accept {
            let Some(key) = path.strip_prefix(call.name.as_str()).and_then(|rest| rest.strip_prefix('.'))
            else {
                continue;
            };
            let slot = arguments.entry(key.to_owned()).or_insert_with(|| Slot {
                accepted: Vec::new(),
                may_be_absent: true,
                fold: Fold::Edges,
            });
            slot.may_be_absent |= values.contains(&Value::Null);
            slot.accepted.extend(values.iter().filter(|value| !value.is_null()).cloned());
        }
        Self { name: call.name.clone(), arguments }
    }

    /// From the leaderboard's lists, where `""` says that an argument may be left out.
    pub(super) fn from_possible(name: &str, slots: &IndexMap<String, Vec<Value>>) -> Self {
        let slot = |values: &Vec<Value>| Slot {
            accepted: values.clone(),
            may_be_absent: values.iter().any(|value| value == ""),
            fold: Fold::Leaderboard,
        };
        let arguments = slots.iter().map(|(key, values)| (key.clone(), slot(values))).collect();
        Self { name: name.to_owned(), arguments }
    }

    /// Whether a call is this one.
    pub fn is(&self, call: &ToolCall) -> bool {
        call.name == self.name
            && call.arguments.keys().all(|key| self.arguments.contains_key(key))
            && self.arguments.iter().all(|(key, slot)| slot.fits(call.arguments.get(key)))
    }

    /// The arguments (those expected, and those that should not be there), each with its kind and whether it is right.
    pub fn judge(&self, call: &ToolCall) -> Vec<(ArgumentKind, bool)> {
        let expected = self
            .arguments
            .iter()
            .filter(|(key, slot)| !slot.may_be_absent || call.arguments.contains_key(key.as_str()))
            .map(|(key, slot)| (slot.kind(), slot.fits(call.arguments.get(key))));
        let unwanted = call.arguments.keys().filter(|key| !self.arguments.contains_key(*key));
        expected.chain(unwanted.map(|_| (ArgumentKind::Unwanted, false))).collect()
    }
}

/// The JSON type of an expected argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ArgumentKind {
    /// A string.
    String,
    /// An integer or another number.
    Number,
    /// True or false.
    Boolean,
    /// A list.
    Array,
    /// An object.
    Object,
    /// Null, or one of several types.
    Other,
    /// An argument that was not expected at all.
    Unwanted,
}

impl ArgumentKind {
    /// The stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Array => "array",
            Self::Object => "object",
            Self::Other => "other",
            Self::Unwanted => "unwanted",
        }
    }
}

impl Slot {
    fn kind(&self) -> ArgumentKind {
        let mut values = self.accepted.iter().filter(|value| **value != "");
        match values.next() {
            Some(Value::String(_)) => ArgumentKind::String,
            Some(Value::Number(_)) => ArgumentKind::Number,
            Some(Value::Bool(_)) => ArgumentKind::Boolean,
            Some(Value::Array(_)) => ArgumentKind::Array,
            Some(Value::Object(_)) => ArgumentKind::Object,
            Some(Value::Null) | None => ArgumentKind::Other,
        }
    }

    fn fits(&self, found: Option<&Value>) -> bool {
        found.map_or(self.may_be_absent, |found| {
            self.accepted.iter().any(|wanted| same(found, wanted, self.fold))
        })
    }
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let slots = self.arguments.iter().map(|(key, slot)| {
            let values: Vec<String> = slot.accepted.iter().map(ToString::to_string).collect();
            let absent = if slot.may_be_absent { " or none" } else { "" };
            format!("{key}: {}{absent}", values.join(" or "))
        });
        write!(f, "{}({})", self.name, slots.collect::<Vec<_>>().join(", "))
    }
}

/// Whether an answer consists of exactly the expected calls, in any order.
pub fn matches(calls: &[ToolCall], expected: &[Expected]) -> bool {
    calls.len() == expected.len() && matched(calls, expected) == calls.len()
}

/// How many calls find an expected call of their own: a largest matching, since one call may be several.
pub(super) fn matched(calls: &[ToolCall], expected: &[Expected]) -> usize {
    let mut owners = vec![None; expected.len()];
    (0..calls.len())
        .filter(|&call| claim(call, calls, expected, &mut owners, &mut vec![false; expected.len()]))
        .count()
}

/// Finds an expected call for `call`, moving others to further ones of theirs (Kuhn's augmenting paths).
fn claim(
    call: usize,
    calls: &[ToolCall],
    expected: &[Expected],
    owners: &mut [Option<usize>],
    tried: &mut [bool],
) -> bool {
    for index in 0..expected.len() {
        if tried[index] || !expected[index].is(&calls[call]) {
            continue;
        }
        tried[index] = true;
        if owners[index].is_none_or(|owner| claim(owner, calls, expected, owners, tried)) {
            owners[index] = Some(call);
            return true;
        }
    }
    false
}

fn same(found: &Value, wanted: &Value, fold: Fold) -> bool {
    match (found, wanted) {
        (Value::String(a), Value::String(b)) => folded(a, fold) == folded(b, fold),
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b, fold))
        }
        (Value::Object(a), Value::Object(b)) => same_object(a, b, fold),
        _ => found == wanted,
    }
}

/// The leaderboard gives a list of acceptable values for each key of an object, at any depth.
fn same_object(found: &Map<String, Value>, wanted: &Map<String, Value>, fold: Fold) -> bool {
    let fits = |key: &String, wanted: &Value| match (found.get(key), wanted, fold) {
        (None, Value::Array(accepted), Fold::Leaderboard) => accepted.iter().any(|value| value == ""),
        (Some(found), Value::Array(accepted), Fold::Leaderboard) => {
            accepted.iter().any(|wanted| same(found, wanted, fold))
        }
        (found, wanted, _) => found.is_some_and(|found| same(found, wanted, fold)),
    };
    found.keys().all(|key| wanted.contains_key(key)) && wanted.iter().all(|(key, wanted)| fits(key, wanted))
}

fn folded(text: &str, fold: Fold) -> String {
    match fold {
        Fold::Edges => {
            let text = text.trim_matches(|c: char| !c.is_alphanumeric());
            text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
        }
        Fold::Leaderboard => {
            let text: String = text.chars().filter(|c| !" ,./-_*^".contains(*c)).collect();
            text.to_lowercase().replace('\'', "\"")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Row;
    use super::*;

    fn calls(value: Value) -> Vec<ToolCall> {
        serde_json::from_value(value).unwrap()
    }

    fn expected(row: Value) -> Vec<Expected> {
        let mut row = row;
        row["query"] = json!("q");
        Row::parse("rows", 1, &row.to_string()).unwrap().expected()
    }

    #[test]
    fn answers_compare_loosely_where_people_do() {
        let gold = expected(json!({
            "answers": [
                {"name": "wake", "arguments": {"time": "6:15 tomorrow", "backup": true}},
                {"name": "heat", "arguments": {"to": 21}},
            ],
            "accept": {"wake.time": ["6:15"], "wake.backup": [null], "heat.room": ["hall"]},
        }));
        let right = [
            json!([{"name": "heat", "arguments": {"to": 21.0}}, {"name": "wake", "arguments": {"time": "6:15"}}]),
            json!([{"name": "wake", "arguments": {"time": " 6:15  TOMORROW.", "backup": true}},
                   {"name": "heat", "arguments": {"to": 21, "room": "hall"}}]),
        ];
        let wrong = [
            json!([{"name": "heat", "arguments": {"to": 21}}]),
            json!([{"name": "wake", "arguments": {"time": "6:15", "backup": false}}, {"name": "heat", "arguments": {"to": 21}}]),
            json!([{"name": "wake", "arguments": {"time": "6:15", "day": 1}}, {"name": "heat", "arguments": {"to": 21}}]),
            json!([{"name": "wake", "arguments": {}}, {"name": "heat", "arguments": {"to": "21"}}]),
        ];
        assert!(right.into_iter().all(|answer| matches(&calls(answer), &gold)));
        assert!(!wrong.into_iter().any(|answer| matches(&calls(answer), &gold)));
        let gold_overlaps = expected(json!({
            "answers": [{"name": "f", "arguments": {"x": "a"}}, {"name": "f", "arguments": {"x": "b"}}],
            "accept": {"f.x": ["a"]},
        }));
        let both =
            calls(json!([{"name": "f", "arguments": {"x": "a"}}, {"name": "f", "arguments": {"x": "b"}}]));
        assert!(
            matches(&both, &gold_overlaps) && matches(&[both[1].clone(), both[0].clone()], &gold_overlaps)
        );
        let half = calls(json!([{"name": "wake", "arguments": {"time": "7", "backup": true, "day": 1}}]));
        assert_eq!(
            gold[0].judge(&half[0]),
            [(ArgumentKind::String, false), (ArgumentKind::Boolean, true), (ArgumentKind::Unwanted, false)]
        );
    }

    #[test]
    fn possible_answers_compare_as_on_the_leaderboard() {
        let gold = expected(json!({"answers": [], "possible_answer": [
            {"f": {"city": ["New York, NY", "NYC"], "unit": ["", "C"], "at": [{"lat": [1, 1.5], "alt": [""]}]}},
        ]}));
        let is = |arguments: Value| matches(&calls(json!([{"name": "f", "arguments": arguments}])), &gold);
        assert!(is(json!({"city": "new york ny", "at": {"lat": 1.5}})));
        assert!(is(json!({"city": "N-Y-C", "unit": "c", "at": {"lat": 1}})));
        assert!(!is(json!({"city": "NYC", "unit": "F", "at": {"lat": 1}})));
        assert!(!is(json!({"city": "NYC", "at": {"lat": 2}})));
        assert!(!is(json!({"at": {"lat": 1}})));
    }
}
