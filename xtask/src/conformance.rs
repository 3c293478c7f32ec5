//! The vectors that every language runs: inputs from here, expectations from the engine with the shipped model.
//!
//! `tests/conformance/README.md` describes the file.

mod inputs;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use needle_core::{Catalogue, Decision, Error, Event, Hooks, Model, Options, Session, tool};
use serde_json::{Value, json};

use inputs::Case;

/// Writes `vectors.json` into `folder`.
pub(crate) fn write(folder: &Path, model: &Path) -> Result<(), String> {
    let model = Model::open(model).map_err(|error| error.to_string())?;
    let toolsets = inputs::toolsets();
    let mut cases = Vec::new();
    for case in inputs::cases() {
        let tools = match (&case.tools_text, &case.toolset) {
            (Some(text), _) => text.clone(),
            (None, name) => toolsets[*name].to_string(),
        };
        let expect = match run(&model, &tools, &case) {
            Ok(expect) => expect,
            Err(error) => json!({"error": {"code": error.code().name(), "message": error.to_string()}}),
        };
        cases.push(case.json(&expect));
    }
    let vectors = json!({"toolsets": toolsets, "cases": cases});
    let text = serde_json::to_string_pretty(&vectors).map_err(|error| error.to_string())?;
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(folder.join("vectors.json"), text + "\n"))
        .map_err(|error| format!("{}: {error}", folder.display()))
}

/// What the engine does with a case.
fn run(model: &Arc<Model>, tools: &str, case: &Case) -> Result<Value, Error> {
    let catalogue = Catalogue::compile(model, tool::parse(tools)?)?;
    let options = Options::from_json(&case.options.to_string())?;
    let mut session = Session::new(model);
    let (mut decisions, mut events) = (Vec::new(), Vec::new());
    for query in &case.queries {
        let mut seen = Vec::new();
        let mut listener = |event: Event<'_>| seen.push(event_json(event));
        let cancel = case.cancel.then(|| Arc::new(AtomicBool::new(true)));
        let hooks = Hooks { cancel, on_event: Some(&mut listener) };
        let outcome = session.decide_with(&catalogue, query, &options, hooks)?;
        decisions.push(timeless(&outcome.decision));
        events.push(seen);
    }
    Ok(if case.events {
        json!({"decisions": decisions, "events": events})
    } else {
        json!({"decisions": decisions})
    })
}

fn event_json(event: Event<'_>) -> Value {
    match event {
        Event::Text(text) => json!({"type": "text", "text": text}),
        Event::ToolName { call, name } => json!({"type": "tool_name", "call": call, "name": name}),
        Event::CallFinished { call } => json!({"type": "call_finished", "call": call}),
        Event::Done => json!({"type": "done"}),
    }
}

/// A decision without its times, which differ from run to run.
fn timeless(decision: &Decision) -> Value {
    let mut json = json!(decision);
    if let Some(map) = json.as_object_mut() {
        map.remove("timings");
    }
    json
}
