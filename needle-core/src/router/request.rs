//! What a router needs of a request to a large model, whichever API it is written for.

use std::fmt;

use serde_json::{Map, Value};

use super::HandoffReason;
use crate::error::{Error, Result};

/// The API that a request is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Api {
    /// `OpenAI`'s `POST /v1/chat/completions`.
    Chat,
    /// `OpenAI`'s `POST /v1/responses`.
    Responses,
    /// Anthropic's `POST /v1/messages`.
    Messages,
}

impl Api {
    /// Every API.
    pub const ALL: [Self; 3] = [Self::Chat, Self::Responses, Self::Messages];

    /// The stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Responses => "responses",
            Self::Messages => "messages",
        }
    }
}

impl std::str::FromStr for Api {
    type Err = Error;

    /// Finds an API by its stable name.
    ///
    /// # Errors
    /// [`Error::Option`] for any other name.
    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|api| api.name() == name).ok_or_else(|| {
            let problem = format!("is {name:?}; must be chat, responses or messages");
            Error::Option { name: "api", problem }
        })
    }
}

/// A request, read as far as a decision needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The newest ask of a human, without what harnesses put around it; empty if the request cannot be decided.
    pub ask: String,
    /// Index of the message that holds it.
    pub message: Option<usize>,
    /// The tools, as JSON text; empty if there are none.
    pub tools: String,
    /// The only tool that may be called.
    pub only: Option<String>,
    /// Whether one answer may hold several calls.
    pub parallel: bool,
    /// Why the request cannot be decided locally, whatever the tools are.
    pub obstacle: Option<(HandoffReason, String)>,
}

/// Who speaks in one message, as far as it matters.
enum Turn {
    /// A human's text; `media` if there is more than text.
    Human { text: String, media: bool },
    /// What a system or developer prompt says.
    System,
    /// The large model, or a tool's result.
    Machine,
}

/// Tags in which harnesses put what no human said.
const HARNESS_TAGS: [&str; 5] =
    ["system-reminder", "system_reminder", "environment_details", "context_summary", "conversation_summary"];

impl Request {
    /// Reads the JSON body of a request. Whatever cannot be decided locally becomes an obstacle, not an error: what is
    /// no JSON here, such as half a surrogate pair or Python's `NaN`, may still mean something to the large model.
    pub fn parse(api: Api, json: &str) -> Self {
        match serde_json::from_str(json) {
            Ok(body) => Self::read(api, &body),
            Err(error) => Self {
                obstacle: Some((
                    HandoffReason::UnsupportedRequest,
                    format!("the request is no JSON object: {error}"),
                )),
                ..Self::read(api, &Map::new())
            },
        }
    }

    /// As [`Self::parse`], for a body that is read already.
    pub fn read(api: Api, body: &Map<String, Value>) -> Self {
        let mut request = Self {
            ask: String::new(),
            message: None,
            tools: present(body, "tools").map_or_else(String::new, Value::to_string),
            only: None,
            parallel: present(body, "parallel_tool_calls") != Some(&Value::Bool(false)),
            obstacle: None,
        };
        let turns: Vec<Turn> = match (api, present(body, "messages"), present(body, "input")) {
            (Api::Chat | Api::Messages, Some(Value::Array(messages)), _) => {
                messages.iter().map(turn).collect()
            }
            (Api::Responses, _, Some(Value::Array(items))) => items.iter().map(turn).collect(),
            (Api::Responses, _, Some(Value::String(text))) => vec![human(text)],
            _ => Vec::new(),
        };
        request.find_ask(&turns);
        if let Some(what) = beyond_calls(api, body) {
            request.refuse(HandoffReason::UnsupportedRequest, what);
        }
        request.read_choice(present(body, "tool_choice"));
        request
    }

    /// The last message must be a human's; system prompts behind it do not count.
    fn find_ask(&mut self, turns: &[Turn]) {
        let last = turns.iter().enumerate().rfind(|(_, turn)| !matches!(turn, Turn::System));
        match last {
            Some((_, Turn::Human { media: true, .. })) => {
                self.refuse(HandoffReason::UnsupportedRequest, "the message holds more than text");
            }
            Some((index, Turn::Human { text, .. })) => {
                let ask = without_harness(text);
                if ask.is_empty() {
                    self.refuse(
                        HandoffReason::NotAUserTurn,
                        "the last message holds nothing that a human said",
                    );
                }
                self.ask = ask;
                self.message = Some(index);
            }
            _ => self.refuse(HandoffReason::NotAUserTurn, "the last message is not a human's"),
        }
    }

    fn read_choice(&mut self, choice: Option<&Value>) {
        let Some(choice) = choice else { return };
        if choice["disable_parallel_tool_use"] == true {
            self.parallel = false;
        }
        let kind = choice.as_str().or_else(|| choice["type"].as_str()).unwrap_or_default();
        match kind {
            "auto" | "required" | "any" => {}
            "none" => self.refuse(HandoffReason::UnsupportedRequest, "tool_choice forbids calls"),
            "function" | "tool" => {
                let name = choice["function"]["name"].as_str().or_else(|| choice["name"].as_str());
                self.only = name.map(str::to_owned);
                if name.is_none() {
                    self.refuse(HandoffReason::UnsupportedRequest, "tool_choice names no tool");
                }
            }
            other => {
                self.refuse(
                    HandoffReason::UnsupportedRequest,
                    format_args!("tool_choice is of type {other:?}"),
                );
            }
        }
    }

    /// The first obstacle counts.
    fn refuse(&mut self, reason: HandoffReason, detail: impl fmt::Display) {
        self.obstacle.get_or_insert_with(|| (reason, detail.to_string()));
    }
}

/// What a request wants beside calls of its tools, if a call would not be all of the answer.
fn beyond_calls(api: Api, body: &Map<String, Value>) -> Option<&'static str> {
    let kind =
        |value: Option<&Value>| value.and_then(|value| value["type"].as_str()).unwrap_or("text").to_owned();
    let format = match api {
        Api::Chat => kind(present(body, "response_format")),
        Api::Responses => kind(present(body, "text").and_then(|text| text.get("format"))),
        Api::Messages => kind(present(body, "output_format")),
    };
    let any = |keys: &[&str]| keys.iter().any(|key| present(body, key).is_some_and(|value| *value != false));
    if format != "text" {
        Some("it wants structured output")
    } else if any(&["previous_response_id", "conversation", "prompt"]) {
        Some("its conversation is kept by the provider")
    } else if any(&["audio", "web_search_options", "logprobs", "top_logprobs", "background"]) {
        Some("it wants what only the provider has")
    } else if present(body, "n").and_then(Value::as_u64).is_some_and(|n| n > 1) {
        Some("it wants several answers")
    } else {
        None
    }
}

/// One message or item of any API.
fn turn(message: &Value) -> Turn {
    match (message["role"].as_str(), message["type"].as_str()) {
        (Some("system" | "developer"), _) => Turn::System,
        (Some("user"), None | Some("message")) => match &message["content"] {
            Value::String(text) => human(text),
            Value::Array(parts) => human_parts(parts),
            _ => Turn::Machine,
        },
        _ => Turn::Machine,
    }
}

fn human(text: &str) -> Turn {
    Turn::Human { text: text.to_owned(), media: false }
}

/// Anthropic sends tool results as a user's message: then nobody asks anything.
fn human_parts(parts: &[Value]) -> Turn {
    let mut texts = Vec::new();
    let mut media = false;
    for part in parts {
        match (part["type"].as_str(), part["text"].as_str()) {
            (Some("tool_result"), _) => return Turn::Machine,
            (Some("text" | "input_text"), Some(text)) => texts.push(text),
            _ => media = true,
        }
    }
    Turn::Human { text: texts.join("\n"), media }
}

/// The text without tagged blocks of harnesses; one that is not closed goes to the end.
fn without_harness(text: &str) -> String {
    let mut rest = text.to_owned();
    for tag in HARNESS_TAGS {
        let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
        while let Some(start) = rest.find(&open) {
            let end = rest[start..].find(&close).map_or(rest.len(), |end| start + end + close.len());
            rest.replace_range(start..end, " ");
        }
    }
    rest.trim().to_owned()
}

/// A key's value; null counts as absent, for clients write every field.
fn present<'a>(map: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    map.get(key).filter(|value| !value.is_null())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(api: Api, body: &Value) -> Request {
        Request::parse(api, &body.to_string())
    }

    fn reason(api: Api, body: &Value) -> Option<HandoffReason> {
        read(api, body).obstacle.map(|(reason, _)| reason)
    }

    #[test]
    fn the_ask_is_the_last_human_message_without_what_harnesses_add() {
        let chat = json!({"messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": "hi"},
            {"role": "user", "content": [
                {"type": "text", "text": "<system-reminder>todo</system-reminder>dim the"},
                {"type": "text", "text": "lights <environment_details>x"},
            ]},
            {"role": "system", "content": "Remember the rules."},
        ]});
        let request = read(Api::Chat, &chat);
        assert_eq!((request.ask.as_str(), request.message), ("dim the\nlights", Some(3)));
        assert_eq!(request.obstacle, None);
        assert_eq!(read(Api::Responses, &json!({"input": "dim the lights"})).ask, "dim the lights");
        let items = json!({"input": [{"role": "user", "content": [{"type": "input_text", "text": "dim"}]}]});
        assert_eq!(read(Api::Responses, &items).ask, "dim");
    }

    #[test]
    fn whoever_is_no_human_is_handed_off() {
        let not_a_user_turn = Some(HandoffReason::NotAUserTurn);
        for messages in [
            json!([]),
            json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]),
            json!([{"role": "user", "content": "a"}, {"role": "tool", "tool_call_id": "1", "content": "b"}]),
            json!([{"role": "user", "content": "<system-reminder>a</system-reminder>"}]),
            json!([{"role": "user", "content": null}]),
        ] {
            assert_eq!(reason(Api::Chat, &json!({"messages": messages})), not_a_user_turn, "{messages}");
        }
        let result =
            json!({"messages": [{"role": "user", "content": [{"type": "tool_result", "content": "1"}]}]});
        assert_eq!(reason(Api::Messages, &result), not_a_user_turn);
        let output = json!({"input": [{"type": "function_call_output", "call_id": "1", "output": "1"}]});
        assert_eq!(reason(Api::Responses, &output), not_a_user_turn);
    }

    #[test]
    fn what_a_call_does_not_answer_is_handed_off() {
        let messages = json!([{"role": "user", "content": "hi"}]);
        for (key, value) in [
            ("response_format", json!({"type": "json_object"})),
            ("tool_choice", json!("none")),
            ("tool_choice", json!({"type": "allowed_tools"})),
            ("n", json!(2)),
            ("logprobs", json!(true)),
        ] {
            let body = json!({"messages": messages, key: value});
            assert_eq!(reason(Api::Chat, &body), Some(HandoffReason::UnsupportedRequest), "{body}");
        }
        let body =
            json!({"messages": messages, "logprobs": false, "n": 1, "response_format": {"type": "text"}});
        assert_eq!(reason(Api::Chat, &body), None);
        let image = json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]);
        assert_eq!(reason(Api::Chat, &json!({"messages": image})), Some(HandoffReason::UnsupportedRequest));
        let kept = json!({"input": "hi", "previous_response_id": "r"});
        assert_eq!(reason(Api::Responses, &kept), Some(HandoffReason::UnsupportedRequest));
    }

    #[test]
    fn tool_choice_is_read_in_every_spelling() {
        for choice in [
            json!({"type": "function", "function": {"name": "ping"}}),
            json!({"type": "function", "name": "ping"}),
            json!({"type": "tool", "name": "ping"}),
        ] {
            let body = json!({"messages": [{"role": "user", "content": "hi"}], "tool_choice": choice});
            assert_eq!(read(Api::Chat, &body).only.as_deref(), Some("ping"));
        }
        let anthropic = json!({"messages": [{"role": "user", "content": "hi"}],
            "tool_choice": {"type": "auto", "disable_parallel_tool_use": true}});
        assert!(!read(Api::Messages, &anthropic).parallel);
    }

    #[test]
    fn what_is_no_json_object_is_handed_off() {
        let surrogate = r#"{"messages": [{"role": "user", "content": "dim \ud800"}]}"#;
        for text in ["[]", "{", r#"{"temperature": NaN}"#, surrogate] {
            let (reason, detail) = Request::parse(Api::Chat, text).obstacle.unwrap();
            assert_eq!(reason, HandoffReason::UnsupportedRequest, "{text}");
            assert!(detail.starts_with("the request is no JSON object: "), "{detail}");
        }
    }
}
