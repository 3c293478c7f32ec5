//! Local answers, in the form of each API.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use needle_core::{Api, ToolCall};
use serde_json::{Map, Value, json};

use super::events::{Event, events};

/// An answer with these calls; with none, an assistant that says nothing.
pub(super) fn answer(api: Api, request: &Map<String, Value>, calls: &[ToolCall]) -> Response {
    let streamed = request.get("stream").is_some_and(|stream| *stream == true);
    let answer = Answer::new(request, calls);
    match (api, streamed) {
        (Api::Chat, false) => json_body(&answer.chat()),
        (Api::Chat, true) => events(&answer.chat_chunks(request)),
        (Api::Responses, false) => json_body(&answer.response("completed")),
        (Api::Responses, true) => events(&answer.response_events()),
        (Api::Messages, false) => json_body(&answer.message()),
        (Api::Messages, true) => events(&answer.message_events()),
    }
}

/// An error in the form that the clients of all APIs read.
pub(super) fn error(status: StatusCode, message: &str) -> Response {
    let body = json!({"error": {"message": message, "type": "needle_error", "code": status.as_u16(), "param": null}});
    (status, json_body(&body)).into_response()
}

pub(super) fn json_body(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

/// What an answer is made of.
struct Answer {
    model: Value,
    id: String,
    created: u64,
    calls: Vec<Call>,
}

struct Call {
    id: String,
    name: String,
    input: Value,
    /// `input` as JSON text.
    arguments: String,
}

impl Answer {
    fn new(request: &Map<String, Value>, calls: &[ToolCall]) -> Self {
        let calls = calls.iter().map(|call| {
            let input = Value::Object(call.arguments.clone());
            Call { id: unique(), name: call.name.clone(), arguments: input.to_string(), input }
        });
        Self {
            model: request.get("model").cloned().unwrap_or_else(|| "needle".into()),
            id: unique(),
            created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
            calls: calls.collect(),
        }
    }

    fn finish_reason(&self) -> &'static str {
        if self.calls.is_empty() { "stop" } else { "tool_calls" }
    }

    /// `content` is null beside calls, as the large models have it.
    fn content(&self) -> Value {
        if self.calls.is_empty() { "".into() } else { Value::Null }
    }

    fn chat(&self) -> Value {
        let calls: Vec<Value> = self.calls.iter().map(Call::chat).collect();
        let mut message = json!({"role": "assistant", "content": self.content(), "refusal": null});
        if !calls.is_empty() {
            message["tool_calls"] = calls.into();
        }
        json!({
            "id": format!("chatcmpl-{}", self.id),
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": [{
                "index": 0, "message": message, "logprobs": null, "finish_reason": self.finish_reason(),
            }],
            "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        })
    }

    fn chat_chunks(&self, request: &Map<String, Value>) -> Vec<Event> {
        let chunk = |choices: Value| {
            json!({
                "id": format!("chatcmpl-{}", self.id),
                "object": "chat.completion.chunk",
                "created": self.created,
                "model": self.model,
                "choices": choices,
            })
        };
        let mut delta = json!({"role": "assistant", "content": self.content()});
        if !self.calls.is_empty() {
            let calls = self.calls.iter().enumerate().map(|(index, call)| {
                let mut call = call.chat();
                call["index"] = index.into();
                call
            });
            delta["tool_calls"] = calls.collect();
        }
        let mut events = vec![
            Event::data(&chunk(json!([{"index": 0, "delta": delta, "finish_reason": null}]))),
            Event::data(&chunk(json!([{"index": 0, "delta": {}, "finish_reason": self.finish_reason()}]))),
        ];
        if request.get("stream_options").is_some_and(|options| options["include_usage"] == true) {
            let mut usage = chunk(json!([]));
            usage["usage"] = json!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0});
            events.push(Event::data(&usage));
        }
        events.push(Event { name: None, data: "[DONE]".into() });
        events
    }

    fn response(&self, status: &str) -> Value {
        let output: Vec<Value> = if status == "completed" { self.items() } else { Vec::new() };
        json!({
            "id": format!("resp_{}", self.id),
            "object": "response",
            "created_at": self.created,
            "status": status,
            "error": null,
            "incomplete_details": null,
            "instructions": null,
            "metadata": {},
            "model": self.model,
            "output": output,
            "parallel_tool_calls": true,
            "temperature": null,
            "tool_choice": "auto",
            "tools": [],
            "top_p": null,
            "usage": {
                "input_tokens": 0, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 0,
                "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 0,
            },
        })
    }

    /// The items of a response's output.
    fn items(&self) -> Vec<Value> {
        if self.calls.is_empty() {
            let text = json!({"type": "output_text", "text": "", "annotations": []});
            return vec![json!({
                "type": "message", "id": format!("msg_{}", self.id), "role": "assistant", "status": "completed",
                "content": [text],
            })];
        }
        self.calls.iter().map(|call| call.item("completed", &call.arguments)).collect()
    }

    fn response_events(&self) -> Vec<Event> {
        let mut events = vec![
            ("response.created", json!({"response": self.response("in_progress")})),
            ("response.in_progress", json!({"response": self.response("in_progress")})),
        ];
        for (index, item) in self.items().into_iter().enumerate() {
            let Some(call) = self.calls.get(index) else {
                events.push(("response.output_item.added", json!({"output_index": index, "item": item})));
                events.push(("response.output_item.done", json!({"output_index": index, "item": item})));
                continue;
            };
            let part = |key: &str| json!({"output_index": index, "item_id": item["id"], key: call.arguments});
            let begun = json!({"output_index": index, "item": call.item("in_progress", "")});
            events.push(("response.output_item.added", begun));
            events.push(("response.function_call_arguments.delta", part("delta")));
            events.push(("response.function_call_arguments.done", part("arguments")));
            events.push(("response.output_item.done", json!({"output_index": index, "item": item})));
        }
        events.push(("response.completed", json!({"response": self.response("completed")})));
        let numbered = events.into_iter().enumerate().map(|(number, (name, mut data))| {
            data["type"] = name.into();
            data["sequence_number"] = number.into();
            Event { name: Some(name), data: data.to_string() }
        });
        numbered.collect()
    }

    fn message(&self) -> Value {
        let content: Vec<Value> = self.calls.iter().map(|call| call.block(&call.input)).collect();
        let stop_reason = if content.is_empty() { "end_turn" } else { "tool_use" };
        json!({
            "id": format!("msg_{}", self.id),
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": null,
            "usage": {"input_tokens": 0, "output_tokens": 0},
        })
    }

    fn message_events(&self) -> Vec<Event> {
        let whole = self.message();
        let mut begun = whole.clone();
        begun["content"] = json!([]);
        begun["stop_reason"] = Value::Null;
        let mut events = vec![("message_start", json!({"message": begun}))];
        for (index, call) in self.calls.iter().enumerate() {
            let delta = json!({"type": "input_json_delta", "partial_json": call.arguments});
            let block = call.block(&json!({}));
            events.push(("content_block_start", json!({"index": index, "content_block": block})));
            events.push(("content_block_delta", json!({"index": index, "delta": delta})));
            events.push(("content_block_stop", json!({"index": index})));
        }
        let delta = json!({"stop_reason": whole["stop_reason"], "stop_sequence": null});
        events.push(("message_delta", json!({"delta": delta, "usage": {"output_tokens": 0}})));
        events.push(("message_stop", json!({})));
        let named = events.into_iter().map(|(name, mut data)| {
            data["type"] = name.into();
            Event { name: Some(name), data: data.to_string() }
        });
        named.collect()
    }
}

impl Call {
    fn chat(&self) -> Value {
        json!({
            "id": format!("call_{}", self.id),
            "type": "function",
            "function": {"name": self.name, "arguments": self.arguments},
        })
    }

    fn item(&self, status: &str, arguments: &str) -> Value {
        json!({
            "type": "function_call",
            "id": format!("fc_{}", self.id),
            "call_id": format!("call_{}", self.id),
            "name": self.name,
            "arguments": arguments,
            "status": status,
        })
    }

    fn block(&self, input: &Value) -> Value {
        json!({"type": "tool_use", "id": format!("toolu_{}", self.id), "name": self.name, "input": input})
    }
}

/// An id that no other answer of this process has, and hardly one of another: the time, the process and a count.
fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros());
    format!("needle{now:x}{:x}{count:x}", std::process::id())
}
