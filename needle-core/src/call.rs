//! Calls: the finished text of an answer, read back as data with the caller's spelling of each tool's name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One call of one tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    /// The tool's name, as the caller spelled it.
    pub name: String,
    /// Its arguments, in the order of the tool's schema.
    pub arguments: serde_json::Map<String, serde_json::Value>,
}

/// Reads the text of a finished answer; the names are still those of the prompt.
///
/// `None` for text that is no list of calls. The grammar lets none through, except for numbers beyond the
/// range of a 64-bit float and the like, which JSON's own reader refuses.
pub fn parse(text: &str) -> Option<Vec<ToolCall>> {
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_and_refuses_what_is_no_call_list() {
        let calls = parse(r#"[{"name":"a","arguments":{"z":1,"b":{"é":[null]}}}]"#).unwrap();
        assert_eq!(calls[0].arguments.keys().collect::<Vec<_>>(), ["z", "b"]);
        assert_eq!(
            serde_json::to_string(&calls).unwrap(),
            r#"[{"name":"a","arguments":{"z":1,"b":{"é":[null]}}}]"#
        );
        assert_eq!(parse("[]"), Some(Vec::new()));
        for wrong in ["", "{}", "[1]", r#"[{"name":"a"}]"#, r#"[{"name":"a","arguments":{"n":1e999}}]"#] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
