//! From queries to decisions with networks of random weights: whatever such a network writes, the promises hold.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/formula.rs"]
mod formula;
#[path = "support/network.rs"]
mod network;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use formula::Sizes;
use needle_core::calibration::{Calibration, FEATURE_COUNT, Features};
use needle_core::catalogue::CompiledTool;
use needle_core::checkpoint::config::{Layout, ModelConfig, StaticEmbeddingConfig};
use needle_core::nn::static_embedding;
use needle_core::nn::weights::Weights;
use needle_core::prompt::isolated;
use needle_core::tokenizer::Tokenizer;
use needle_core::trace::{Choice, ChoiceKind, Stop, Trace};
use needle_core::validation::Validator;
use needle_core::{
    Catalogue, Decision, Error, Event, Grounding, HandoffReason, Hooks, Model, Options, Session, TokenId,
    tool,
};
use serde_json::{Value, json};

const SIZES: Sizes = Sizes {
    vocab_size: 2048,
    d_model: 64,
    num_heads: 4,
    num_kv_heads: 2,
    num_encoder_layers: 2,
    num_decoder_layers: 2,
    contrastive_dim: 16,
};
const QUERIES: [&str; 5] =
    ["set a timer for ten minutes", "lights", "日本 weather?", "a", "call \"mom\" \\ now"];

fn model(layout: Layout, copy_head: bool) -> Arc<Model> {
    build(&ModelConfig { layout, max_seq_len: 512, ..network::config(SIZES, copy_head) })
}

/// A model whose static embedding counts so much.
fn model_with_odds(name_weight: f32, opening_weight: f32, opening_cosine: f32) -> Arc<Model> {
    let odds = StaticEmbeddingConfig { dim: 16, name_weight, opening_weight, opening_cosine };
    build(&ModelConfig { static_embedding: Some(odds), max_seq_len: 512, ..network::config(SIZES, true) })
}

/// A model that tries so many answers beside the greedy one.
fn model_with_alternatives(max_alternatives: usize) -> Arc<Model> {
    build(&ModelConfig { max_alternatives, max_seq_len: 512, ..network::config(SIZES, true) })
}

fn build(config: &ModelConfig) -> Arc<Model> {
    let layout = config.layout;
    let weights = Weights::load(config, &mut network::FormulaSource(SIZES)).unwrap();
    let tokenizer = match layout {
        Layout::Isolated => Tokenizer::from_json(include_bytes!("../../tests/golden/pieces.tokenizer.json")),
        Layout::Joint => Tokenizer::from_sentencepiece(include_bytes!("../../tests/golden/sp.model")),
    };
    Model::from_parts(weights, tokenizer.unwrap(), None).unwrap()
}

/// One model of each kind, built once.
fn models() -> &'static [Arc<Model>; 5] {
    static MODELS: OnceLock<[Arc<Model>; 5]> = OnceLock::new();
    MODELS.get_or_init(|| {
        [
            model(Layout::Isolated, true),
            model(Layout::Isolated, false),
            model(Layout::Joint, false),
            model_with_odds(20.0, 10.0, 0.4),
            model_with_alternatives(4),
        ]
    })
}

fn tools() -> Value {
    json!([
        {"name": "setTimer", "description": "Start a timer", "parameters": {"type": "object",
            "properties": {"minutes": {"type": "integer", "minimum": 1, "maximum": 90}}, "required": ["minutes"]}},
        {"name": "灯をつける", "description": "Light", "parameters": {"type": "object",
            "properties": {"room": {"enum": ["küche", "bad"]}, "on": {"type": "boolean"}}, "required": ["on"]}},
        {"name": "lights_off", "parameters": {"type": "object", "properties": {}}},
        {"name": "lights", "parameters": {"type": "object",
            "properties": {"tags": {"type": "array", "items": {"type": "string", "maxLength": 3}, "maxItems": 2}}}},
    ])
}

fn catalogue(model: &Arc<Model>, tools: &Value) -> Arc<Catalogue> {
    Catalogue::compile(model, tool::parse(&tools.to_string()).unwrap()).unwrap()
}

/// Short answers keep tests quick; random networks rarely stop by themselves.
fn short() -> Options {
    Options { max_output_tokens: 60, max_calls: 2, ..Options::default() }
}

/// A decision without its times, which differ from run to run.
fn timeless(decision: &Decision) -> Value {
    let mut json = serde_json::to_value(decision).unwrap();
    json.as_object_mut().unwrap().remove("timings");
    json
}

#[test]
fn made_calls_always_fit_their_schemas_and_keep_the_callers_names() {
    let definitions = tools();
    let mut made = 0;
    for model in models() {
        let catalogue = catalogue(model, &definitions);
        let mut session = Session::new(model);
        for query in QUERIES {
            let decision = session.decide(&catalogue, query, &short()).unwrap();
            for call in decision.calls() {
                let tool =
                    definitions.as_array().unwrap().iter().find(|tool| tool["name"] == call.name).unwrap();
                let validator = Validator::compile(&tool["parameters"]).unwrap();
                validator.validate(&Value::Object(call.arguments.clone())).unwrap();
                made += 1;
            }
        }
    }
    assert!(made > 0, "random networks made no call at all");
}

#[test]
fn sessions_carry_nothing_over_and_batches_decide_alike() {
    for model in models() {
        let catalogue = catalogue(model, &tools());
        let mut used = Session::new(model);
        let batch = used.decide_batch(&catalogue, &QUERIES, &short()).unwrap();
        for (query, decided) in QUERIES.iter().zip(&batch) {
            let fresh = Session::new(model).decide(&catalogue, query, &short()).unwrap();
            assert_eq!(timeless(decided), timeless(&fresh), "{query}");
        }
    }
}

#[test]
fn models_and_catalogues_are_shared_by_threads() {
    let model = &models()[0];
    let catalogue = catalogue(model, &tools());
    let decide = || timeless(&Session::new(model).decide(&catalogue, QUERIES[0], &short()).unwrap());
    let expected = decide();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(decide)).collect();
        assert!(threads.into_iter().all(|thread| thread.join().unwrap() == expected));
    });
}

#[test]
fn the_stream_is_the_answer_and_names_come_as_the_caller_wrote_them() {
    let known: Vec<String> =
        tools().as_array().unwrap().iter().map(|tool| tool["name"].to_string()).collect();
    for model in models() {
        let catalogue = catalogue(model, &tools());
        for query in QUERIES {
            let (mut text, mut names, mut finished, mut is_done) = (String::new(), 0, 0, false);
            let mut listener = |event: Event<'_>| match event {
                Event::Text(piece) => text.push_str(piece),
                Event::ToolName { call, name } => {
                    assert_eq!(call, names);
                    assert!(known.contains(&json!(name).to_string()), "{name}");
                    names += 1;
                }
                Event::CallFinished { call } => {
                    assert_eq!(call, finished);
                    finished += 1;
                }
                Event::Done => is_done = true,
            };
            let hooks = Hooks { cancel: None, on_event: Some(&mut listener) };
            let outcome = Session::new(model).decide_with(&catalogue, query, &short(), hooks).unwrap();
            // An answer that was cut off may end inside a character, which the stream keeps back.
            assert_eq!(text.trim_start(), outcome.text.trim_start().trim_end_matches('\u{FFFD}'));
            assert!(is_done && finished <= names);
            if outcome.trace.unwrap().stop == Stop::Complete {
                assert_eq!(finished, names, "{}", outcome.text);
            }
        }
    }
}

#[test]
fn alternatives_only_make_answers_more_probable() {
    /// As the search scores an answer: what the grammar forbids counts against arguments.
    fn log_probability(trace: &Trace) -> f64 {
        let of = |choice: &Choice| match (choice.kind, choice.unmasked) {
            (ChoiceKind::Arguments | ChoiceKind::Continuation, Some(all)) => all.probability,
            _ => choice.probability,
        };
        trace.choices.iter().map(|choice| f64::from(of(choice)).ln()).sum()
    }
    let [greedy, few, many] = [0, 1, 16].map(|most| {
        let model = model_with_alternatives(most);
        let catalogue = catalogue(&model, &tools());
        QUERIES.map(|query| {
            let outcome = Session::new(&model)
                .decide_with(&catalogue, query, &Options::default(), Hooks::default())
                .unwrap();
            (outcome.text, outcome.trace.unwrap())
        })
    });
    let mut changed = 0;
    for ((greedy, few), many) in greedy.iter().zip(&few).zip(&many) {
        for (before, after) in [(greedy, few), (few, many)] {
            assert!(log_probability(&after.1) >= log_probability(&before.1) - 1e-9);
            assert_eq!(after.1.choices.iter().any(|choice| choice.margin < 0.0), after.0 != greedy.0);
            changed += usize::from(after.0 != before.0);
        }
    }
    assert!(changed > 0, "no answer was ever improved");
}

#[test]
fn limits_end_in_a_hand_off_and_never_in_half_an_answer() {
    for model in models() {
        let catalogue = catalogue(model, &tools());
        for most in 1..20 {
            let options = Options { max_output_tokens: most, ..Options::default() };
            let mut told = String::new();
            let mut listener = |event: Event<'_>| {
                if let Event::Text(piece) = event {
                    told.push_str(piece);
                }
            };
            let hooks = Hooks { cancel: None, on_event: Some(&mut listener) };
            let outcome = Session::new(model).decide_with(&catalogue, QUERIES[0], &options, hooks).unwrap();
            assert!(outcome.text.trim_start().starts_with(told.trim_start()), "{told} of {}", outcome.text);
            let reason = outcome.decision.reason();
            assert!(reason.is_none() || outcome.decision.calls().is_empty());
            if most < 3 {
                assert!(
                    matches!(reason, Some(HandoffReason::OutputLimit | HandoffReason::NoMatchingTool)),
                    "{reason:?}"
                );
            }
        }
    }
}

#[test]
fn cancelled_and_overdue_decisions_are_errors() {
    let model = &models()[0];
    let catalogue = catalogue(model, &tools());
    let cancel = Arc::new(AtomicBool::new(false));
    let mut listener = |_: Event<'_>| cancel.store(true, Ordering::Relaxed);
    let hooks = Hooks { cancel: Some(Arc::clone(&cancel)), on_event: Some(&mut listener) };
    let result = Session::new(model).decide_with(&catalogue, QUERIES[0], &short(), hooks);
    assert!(matches!(result, Err(Error::Cancelled)));
    let options = Options { deadline_ms: Some(0), ..short() };
    let result = Session::new(model).decide(&catalogue, QUERIES[0], &options);
    assert!(matches!(result, Err(Error::DeadlineExceeded)));
}

#[test]
fn what_cannot_be_asked_is_handed_off_without_asking() {
    let nothing = json!([]);
    for model in models() {
        for (query, tools, reason) in [
            (" \n\t", tools(), HandoffReason::NotAUserTurn),
            ("hello", nothing.clone(), HandoffReason::NoMatchingTool),
            (&*"word ".repeat(200_000), tools(), HandoffReason::InputTooLong),
            (&*"a b ".repeat(400), tools(), HandoffReason::InputTooLong),
        ] {
            let catalogue = catalogue(model, &tools);
            let outcome =
                Session::new(model).decide_with(&catalogue, query, &short(), Hooks::default()).unwrap();
            assert_eq!(outcome.decision.reason(), Some(reason));
            assert!(outcome.trace.is_none() && outcome.text.is_empty());
        }
    }
}

#[test]
fn large_catalogues_are_searched_and_others_are_not() {
    let tool =
        |i: usize| json!({"name": format!("tool_{i}"), "parameters": {"type": "object", "properties": {}}});
    let many: Value = (0..40).map(tool).collect();
    for model in models() {
        let catalogue = catalogue(model, &many);
        let mut session = Session::new(model);
        let features = |most: usize, session: &mut Session| {
            let options = Options { max_candidates: most, ..short() };
            session.decide_with(&catalogue, "use a tool", &options, Hooks::default()).unwrap().features
        };
        let (few, all) = (features(5, &mut session), features(40, &mut session));
        // The retrieval margin is 1 where nothing was left out.
        assert!(few.is_none_or(|features| features.0[8] < 1.0));
        assert!(all.is_none_or(|features| (features.0[8] - 1.0).abs() < 1e-9));
    }
}

#[test]
fn the_static_embedding_decides_where_it_counts_more_than_the_network() {
    let names = ["play_music", "get_weather", "turn_on", "find_flight", "add_note"];
    let tool = |name: &&str| json!({"name": name, "parameters": {"type": "object", "properties": {}}});
    let tools: Value = names.iter().map(tool).collect();
    let queries = (0..40).map(|i| format!("{i} {}", QUERIES[i % QUERIES.len()]));
    let (of_names, of_opening) = (model_with_odds(300.0, 0.0, 0.0), model_with_odds(0.0, 300.0, 1.0));
    let meaning = |tokens: &[TokenId]| static_embedding::embed(of_names.weights(), tokens).unwrap().unwrap();
    let tokenizer = of_names.tokenizer();
    let nearest = |catalogue: &Catalogue, query: &str| {
        let query = meaning(&isolated::query_segment(tokenizer, query, 512).unwrap());
        let cosine = |tool: &CompiledTool| -> f32 {
            let tool = isolated::tool_segment(tokenizer, tool.spec(), tool.snake_name(), 512);
            meaning(&tool).iter().zip(&query).map(|(a, b)| a * b).sum()
        };
        let mut ranked: Vec<(f32, &str)> =
            catalogue.tools().iter().map(|tool| (cosine(tool), tool.spec().name.as_str())).collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        // Of nearly equal cosines the network may choose.
        (ranked[0].0 - ranked[1].0 > 0.05).then(|| ranked[0].1.to_owned())
    };
    assert!(meaning(&[]).iter().all(|&x| x == 0.0));
    let mut calls = 0;
    for query in queries {
        let decide = |model: &Arc<Model>| {
            Session::new(model).decide(&catalogue(model, &tools), &query, &short()).unwrap()
        };
        assert_eq!(decide(&of_opening).reason(), Some(HandoffReason::NoMatchingTool), "{query}");
        if let Decision::Call { calls: made, .. } = decide(&of_names) {
            let nearest = nearest(&catalogue(&of_names, &tools), &query);
            calls += usize::from(nearest.is_some());
            assert!(nearest.is_none_or(|name| made[0].name == name), "{query}: {made:?}");
        }
    }
    assert!(calls > 0);
}

#[test]
fn thresholds_need_calibration_and_grounding_is_enforced_on_request() {
    let model = &models()[0];
    let options = Options { threshold: Some(0.5), ..short() };
    let refused = Session::new(model).decide(&catalogue(model, &tools()), "a", &options).unwrap_err();
    assert!(refused.to_string().contains("needle calibrate"), "{refused}");

    // Every answer looks alike to this calibration, so its confidence is one number.
    let rows: Vec<(Features, bool)> =
        (0..40).map(|i| (Features([f64::from(i % 2); FEATURE_COUNT]), i % 4 == 0)).collect();
    let calibrated = model.with_calibration(Some(Calibration::fit(&rows, 0.9).unwrap()));
    let say = json!([{"name": "say", "parameters": {"type": "object",
        "properties": {"text": {"type": "string", "pattern": "^(ja|nein)$"}}, "required": ["text"]}}]);
    let catalogue = catalogue(&calibrated, &say);
    let mut session = Session::new(&calibrated);
    let mut ask = |query: &str, threshold: f32, grounding: Grounding| {
        let options = Options { threshold: Some(threshold), grounding, ..short() };
        session.decide(&catalogue, query, &options).unwrap()
    };
    // Which queries a random network answers with a call is chance; some are.
    let queries: Vec<String> = (0..60).map(|i| format!("query {i} {}", "x ".repeat(i % 7))).collect();
    let is_call = |query: &&String| ask(query, 0.0, Grounding::Off).reason().is_none();
    let query = queries.iter().find(is_call).unwrap();
    let mut decide = |threshold, grounding| ask(query, threshold, grounding);
    let free = decide(0.0, Grounding::Report);
    let Decision::Call { calls, confidence, ungrounded, .. } = &free else { unreachable!("{free:?}") };
    assert!(confidence.is_some() && !ungrounded.is_empty());
    let low = decide(1.0, Grounding::Off);
    let Decision::Handoff { reason, suppressed_calls, .. } = &low else { unreachable!("{low:?}") };
    assert_eq!((*reason, suppressed_calls), (HandoffReason::LowConfidence, calls));
    assert_eq!(decide(0.0, Grounding::Enforce).reason(), Some(HandoffReason::UngroundedArguments));
    let other = Session::new(model).decide(&catalogue, "a", &Options::default()).unwrap_err();
    assert!(other.to_string().contains("another model"), "{other}");
}
