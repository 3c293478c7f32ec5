//! Requests through a router with the shipped model.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::{Arc, LazyLock};

use needle_core::router::{Routed, Seen};
use needle_core::{Api, Decision, HandoffReason, Hooks, Model, Policy, Router};
use serde_json::{Value, json};

static MODEL: LazyLock<Arc<Model>> =
    LazyLock::new(|| Model::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/default")).unwrap());

fn router(policy: &Value) -> Router {
    Router::new(&MODEL, Policy::from_json(&policy.to_string()).unwrap(), 1).unwrap()
}

fn dim_lights() -> Value {
    json!({
        "name": "dim_lights",
        "description": "Dim the lights in a room to a brightness level.",
        "parameters": {
            "type": "object",
            "properties": {
                "room": {"type": "string", "description": "Room where the lights are"},
                "level": {"type": "integer", "minimum": 0, "maximum": 100, "description": "Brightness in percent"},
            },
            "required": ["room", "level"],
        },
    })
}

fn chat(tool: &Value) -> Value {
    json!({
        "model": "large",
        "messages": [{"role": "user", "content": "dim the lights in the bedroom to 30 percent"}],
        "tools": [{"type": "function", "function": tool}],
    })
}

fn decide(router: &Router, body: &Value) -> Routed {
    router.decide(Api::Chat, &body.to_string(), Hooks::default()).unwrap()
}

fn reason(policy: &Value, body: &Value) -> Option<HandoffReason> {
    decide(&router(policy), body).decision.reason()
}

#[test]
fn every_api_is_answered_with_the_same_call() {
    let router = router(&json!({"threshold": 0}));
    let ask = json!([{"role": "user", "content": "dim the lights in the bedroom to 30 percent"}]);
    let mut flat = dim_lights();
    flat["type"] = "function".into();
    let mut anthropic = dim_lights();
    anthropic["input_schema"] = anthropic.as_object_mut().unwrap().remove("parameters").unwrap();
    for (api, body) in [
        (Api::Chat, chat(&dim_lights())),
        (Api::Responses, json!({"input": ask, "tools": [flat]})),
        (Api::Messages, json!({"messages": ask, "tools": [anthropic]})),
    ] {
        let routed = router.decide(api, &body.to_string(), Hooks::default()).unwrap();
        let calls = json!(routed.decision.calls());
        let expected = json!([{"name": "dim_lights", "arguments": {"room": "bedroom", "level": 30}}]);
        assert_eq!(calls, expected, "{}", api.name());
        let Seen { message, tools, cached, prepare_ms } = routed.seen;
        assert_eq!((message, tools, cached), (Some(0), 1, false));
        assert!(prepare_ms > 0.0);
    }
    assert!(decide(&router, &chat(&dim_lights())).seen.cached);
}

#[test]
fn strict_schemas_get_the_nulls_that_they_require() {
    let mut tool = dim_lights();
    tool["parameters"]["properties"]["scene"] = json!({"anyOf": [{"type": "string"}, {"type": "null"}]});
    tool["parameters"]["required"] = json!(["room", "level", "scene"]);
    tool["parameters"]["additionalProperties"] = json!(false);
    let routed = decide(&router(&json!({"threshold": 0})), &chat(&tool));
    let text = serde_json::to_string(&routed.decision.calls()[0].arguments).unwrap();
    assert_eq!(text, r#"{"room":"bedroom","level":30,"scene":null}"#);
}

#[test]
fn what_the_policy_does_not_allow_is_handed_off_with_the_calls_it_would_have_made() {
    let body = chat(&dim_lights());
    let mut destructive = body.clone();
    destructive["tools"][0]["annotations"] = json!({"destructiveHint": true});
    let low_confidence = Some(HandoffReason::LowConfidence);
    assert_eq!(reason(&json!({"threshold": 0}), &body), None);
    assert_eq!(reason(&json!({"threshold": 1}), &body), low_confidence);
    assert_eq!(reason(&json!({"threshold": 1, "thresholds": {"dim_lights": 0}}), &body), None);
    assert_eq!(reason(&json!({"threshold": 0, "thresholds": {"dim_lights": 1}}), &body), low_confidence);
    assert_eq!(reason(&json!({"threshold": 0, "destructive_threshold": 1}), &destructive), low_confidence);
    assert_eq!(reason(&json!({"threshold": 0, "destructive_threshold": 0}), &destructive), None);
    let denied = decide(&router(&json!({"threshold": 0, "never": ["dim_lights"]})), &body).decision;
    let Decision::Handoff { reason, suppressed_calls, .. } = denied else { panic!("{denied:?}") };
    assert_eq!((reason, suppressed_calls.len()), (HandoffReason::DeniedTool, 1));
}

#[test]
fn what_only_the_large_model_can_do_is_handed_off() {
    let threshold = json!({"threshold": 0});
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut body = chat(&dim_lights());
        change(&mut body);
        body
    };
    let with_search =
        changed(&|body| body["tools"].as_array_mut().unwrap().push(json!({"type": "web_search"})));
    assert_eq!(reason(&threshold, &with_search), Some(HandoffReason::UnsupportedRequest));
    assert_eq!(reason(&json!({"threshold": 0, "provider_tools": "ignore"}), &with_search), None);
    for (body, expected) in [
        (changed(&|body| body["tools"] = Value::Null), HandoffReason::NoMatchingTool),
        (changed(&|body| body["tools"] = json!([])), HandoffReason::NoMatchingTool),
        (changed(&|body| body["tools"] = json!([{"name": 1}])), HandoffReason::UnsupportedSchema),
        (changed(&|body| body["tool_choice"] = json!("none")), HandoffReason::UnsupportedRequest),
        (
            changed(&|body| body["tool_choice"] = json!({"type": "function", "function": {"name": "other"}})),
            HandoffReason::NoMatchingTool,
        ),
        (
            changed(&|body| body["messages"][0]["content"] = json!("why is the sky blue")),
            HandoffReason::NoMatchingTool,
        ),
    ] {
        assert_eq!(reason(&threshold, &body), Some(expected), "{body}");
    }
    assert_eq!(
        reason(&json!({"threshold": 0, "deadline_ms": 0}), &chat(&dim_lights())),
        Some(HandoffReason::Deadline)
    );
    let no_json = router(&threshold).decide(Api::Chat, "[]", Hooks::default()).unwrap();
    assert_eq!(no_json.decision.reason(), Some(HandoffReason::UnsupportedRequest));
}

#[test]
fn the_nearest_tools_are_those_that_the_ask_is_about() {
    let mut body = chat(&dim_lights());
    for (name, description) in
        [("play_song", "Play a song by its title."), ("send_email", "Send an email to somebody.")]
    {
        let function = json!({"name": name, "description": description});
        body["tools"].as_array_mut().unwrap().push(json!({"type": "function", "function": function}));
    }
    let router = router(&json!({}));
    let nearest = |body: &Value| router.nearest(Api::Chat, &body.to_string(), 2).unwrap();
    let found = nearest(&body);
    assert_eq!((found.len(), found[0].0.as_str()), (2, "dim_lights"));
    assert!(found[0].1 > found[1].1 && found[0].1 <= 1.0 + 1e-3);
    body["messages"][0]["role"] = "assistant".into();
    assert_eq!(nearest(&body), []);
}

#[test]
fn a_full_cache_forgets_and_threads_do_not_mix_their_requests() {
    let router = router(&json!({"threshold": 0, "cached_toolsets": 2}));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let router = &router;
            scope.spawn(move || {
                for level in 1..=12 {
                    let mut tool = dim_lights();
                    // Every thread has a catalogue of its own, four times as many as are kept.
                    tool["description"] = format!("Dim the lights in a room ({thread}).").into();
                    let mut body = chat(&tool);
                    body["messages"][0]["content"] =
                        format!("dim the lights in the bedroom to {level} percent").into();
                    let routed = decide(router, &body);
                    assert_eq!(routed.decision.calls()[0].arguments["level"], level, "{routed:?}");
                }
            });
        }
    });
}
