//! How much of a query its calls leave unexplained: an overlooked wish leaves words behind, and so does a wrong tool.

use std::collections::HashSet;

use serde_json::Value;

use crate::call::ToolCall;
use crate::tool::ToolSpec;

/// A word's first letters in lower case: forms of one word ("opened", "opening") count as the same.
type Stem = [char; 4];

/// The share, 0 to 1, of the query's words that are neither in the calls nor in their tools' descriptions and schemas.
/// Names count in the prompt's spelling, whose words are apart.
pub(crate) fn unexplained<'a>(
    query: &str,
    calls: &[ToolCall],
    tools: impl Iterator<Item = &'a ToolSpec>,
) -> f64 {
    let words: Vec<Stem> = stems(query).collect();
    let mut left: HashSet<Stem> = words.iter().copied().collect();
    let mut explain = |text: &str| {
        for stem in stems(text) {
            left.remove(&stem);
        }
    };
    for (call, tool) in calls.iter().zip(tools) {
        explain(&call.name);
        explain(&tool.description);
        walk(&tool.parameters, &mut explain);
        for (key, value) in &call.arguments {
            explain(key);
            walk(value, &mut explain);
        }
    }
    let count = words.iter().filter(|stem| left.contains(*stem)).count();
    count as f64 / words.len().max(1) as f64
}

fn stems(text: &str) -> impl Iterator<Item = Stem> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(|word| {
        let mut stem = Stem::default();
        for (slot, letter) in stem.iter_mut().zip(word.chars().flat_map(char::to_lowercase)) {
            *slot = letter;
        }
        stem
    })
}

/// Reports all keys, strings and numbers. The recursion is bounded by JSON's reader.
fn walk(value: &Value, report: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) => report(text),
        Value::Number(number) => report(&number.to_string()),
        Value::Array(items) => items.iter().for_each(|item| walk(item, report)),
        Value::Object(members) => {
            for (key, member) in members {
                report(key);
                walk(member, report);
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tool;

    fn share(query: &str, calls: &Value) -> f64 {
        let tools = json!([{"name": "set_blinds", "description": "Opens or closes the blinds.", "parameters": {
            "type": "object", "properties": {"room": {"type": "string"}, "percent": {"type": "integer"}}}}]);
        let tools = tool::parse(&tools.to_string()).unwrap();
        let calls: Vec<ToolCall> = serde_json::from_value(calls.clone()).unwrap();
        unexplained(query, &calls, calls.iter().map(|_| &tools[0]))
    }

    #[test]
    fn words_of_calls_and_tools_are_explained_by_their_stems() {
        let call = json!([{"name": "set_blinds", "arguments": {"room": "Küche", "percent": 40}}]);
        // "opening" is in the description, "the" too, the rest in the call.
        assert!(share("OPENING the blinds: küche, 40!", &call).abs() < 1e-9);
        // "then", "lock", "it" and "ope" of 9.
        let left = share("opening the blinds küche 40 then lock it ope", &call);
        assert!((left - 4.0 / 9.0).abs() < 1e-9, "{left}");
    }

    #[test]
    fn nothing_explains_a_query_without_calls_and_no_words_are_no_doubt() {
        assert!((share("open up", &json!([])) - 1.0).abs() < 1e-9);
        assert!(share("?!", &json!([])).abs() < 1e-9);
    }
}
