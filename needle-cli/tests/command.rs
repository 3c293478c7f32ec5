//! The command as users run it: results, and every bad input with its exit code and message.
#![cfg(feature = "embedded-model")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use assert_cmd::Command;
use serde_json::{Value, json};

fn needle(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("needle").unwrap();
    command.args(arguments);
    command
}

fn root(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path).display().to_string()
}

fn tools() -> String {
    root("examples/tools.json")
}

/// Standard output of a command that must succeed.
fn output(arguments: &[&str]) -> String {
    let output = needle(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Standard error of a command that must refuse its input.
fn refusal(arguments: &[&str]) -> String {
    let output = needle(arguments).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(output.stdout.is_empty());
    message
}

fn file(folder: &tempfile::TempDir, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_query_becomes_calls_and_a_full_decision_on_request() {
    let tools = tools();
    let arguments = ["run", "--tools", &tools, "--threshold", "0", "--query", "set the thermostat to 21"];
    let calls: Value = serde_json::from_str(&output(&arguments)).unwrap();
    assert_eq!(calls, json!([{"name": "set_thermostat", "arguments": {"temperature": 21}}]));
    let full: Value =
        serde_json::from_str(&output(&[&arguments[..], &["--format", "full"]].concat())).unwrap();
    assert_eq!((&full["decision"], &full["calls"]), (&json!("call"), &calls));
    assert!(full["timings"]["total_ms"].as_f64().unwrap() > 0.0);
}

#[test]
fn the_example_of_the_readme_is_answered_as_shown() {
    let query = "dim the lights in the bedroom to 30 percent";
    let answer = output(&["run", "--tools", &tools(), "--query", query]);
    assert_eq!(answer, "[{\"name\":\"dim_lights\",\"arguments\":{\"level\":30,\"room\":\"bedroom\"}}]\n");
    let readme = std::fs::read_to_string(root("README.md")).unwrap();
    assert!(readme.contains(query) && readme.contains(answer.trim_end()));
}

#[test]
fn rows_keep_their_order_and_ids() {
    let folder = tempfile::tempdir().unwrap();
    let own = json!([{"name": "ping", "parameters": {"type": "object", "properties": {}}}]);
    let rows =
        [json!({"id": 7, "query": "lights off please"}), json!({"id": "x", "query": "", "tools": own})];
    let input = file(&folder, "rows.jsonl", rows.map(|row| row.to_string()).join("\n\n"));
    let out = folder.path().join("out.jsonl").display().to_string();
    output(&["run", "--input", &input, "--output", &out, "--tools", &tools()]);
    let text = std::fs::read_to_string(&out).unwrap();
    let decided = lines(&text);
    assert_eq!((&decided[0]["id"], &decided[1]["id"]), (&json!(7), &json!("x")));
    assert_eq!(
        (&decided[1]["decision"], &decided[1]["reason"]),
        (&json!("handoff"), &json!("not_a_user_turn"))
    );

    let broken = file(&folder, "broken.jsonl", "{\"query\": \"hi\"}\n");
    let message = refusal(&["run", "--input", &broken, "--output", &out]);
    assert!(message.contains("line 1: has no tools"), "{message}");
    assert_eq!(std::fs::read_to_string(&out).unwrap(), text, "a failed run leaves the old file");
}

#[test]
fn lines_of_input_are_answered_one_by_one_and_bad_ones_reported() {
    let result = needle(&["run", "--tools", &tools(), "--query", "-", "--format", "full"])
        .write_stdin(b"lights off please\n\xff\xfe\n\ncall mom\n".as_slice())
        .output()
        .unwrap();
    let decided = lines(&String::from_utf8(result.stdout).unwrap());
    assert_eq!((result.status.code(), decided.len()), (Some(0), 4));
    assert!(String::from_utf8_lossy(&result.stderr).contains("line 2: is not UTF-8"));
    assert_eq!(decided[1]["reason"], "not_a_user_turn");
    assert_eq!(decided[2]["reason"], "not_a_user_turn");
}

#[test]
fn queries_too_long_or_empty_are_handed_off() {
    for (query, reason) in [("", "not_a_user_turn"), (&*"word ".repeat(200_000), "input_too_long")] {
        let folder = tempfile::tempdir().unwrap();
        let input = file(&folder, "rows.jsonl", json!({"query": query}).to_string());
        let out = folder.path().join("out.jsonl").display().to_string();
        output(&["run", "--input", &input, "--output", &out, "--tools", &tools()]);
        assert_eq!(lines(&std::fs::read_to_string(&out).unwrap())[0]["reason"], reason);
    }
}

#[test]
fn wrong_usage_and_wrong_tools_are_refused_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let run = |tools: &str| refusal(&["run", "--query", "hi", "--tools", tools]);
    let nothing = json!({"type": "object", "properties": {}});
    let twice =
        json!([{"name": "a", "parameters": nothing}, {"name": "a", "parameters": nothing}]).to_string();
    for (message, expected) in [
        (run("no/such/file.json"), "no/such/file.json"),
        (run(&file(&folder, "text", "hello")), "JSON"),
        (run("[{\"name\": 5}]"), "name"),
        (run(&twice), "already that of tool"),
        (refusal(&["run", "--query", "hi"]), "--tools"),
        (refusal(&["run", "--query", "hi", "--tools", "[]", "--threshold", "2"]), "threshold"),
        (refusal(&["nonsense"]), "nonsense"),
        (refusal(&["eval", "--data", &file(&folder, "rows", "{}")]), "line 1"),
    ] {
        assert!(message.contains(expected), "{expected}: {message}");
    }
}

#[test]
fn wrong_models_are_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let run = |model: &str| refusal(&["run", "--query", "hi", "--tools", &tools(), "--model", model]);
    for (message, expected) in [
        (run(&file(&folder, "system.pkl", b"\x80\x02cos\nsystem\n.")), "os.system"),
        (run(&root("tests/golden/tiny.pkl")), "no tokenizer"),
        (run(&file(&folder, "cut.safetensors", [9, 0, 0, 0, 0, 0, 0, 0, b'{'])), "is no model"),
        (run("no/such/model"), "no/such/model"),
    ] {
        assert!(message.contains(expected), "{expected}: {message}");
    }
}

#[test]
fn checkpoints_become_bundles_that_decide_alike() {
    let folder = tempfile::tempdir().unwrap();
    let (model, tools) = (root("models/default"), tools());
    let decide = |model: &str| output(&["run", "--model", model, "--tools", &tools, "--query", "call mom"]);
    for storage in ["f32", "f16", "int8"] {
        let out = folder.path().join(storage).display().to_string();
        output(&["convert", "--checkpoint", &model, "--out", &out, "--quantize", storage]);
        assert_eq!(decide(&out), decide(&model), "{storage}");
        assert!(refusal(&["convert", "--checkpoint", &model, "--out", &out]).contains("exists"));
    }
    let out = folder.path().join("other").display().to_string();
    let (checkpoint, tokenizer) = (root("tests/golden/tiny.pkl"), root("tests/golden/sp.model"));
    let mixed = refusal(&["convert", "--checkpoint", &checkpoint, "--tokenizer", &tokenizer, "--out", &out]);
    assert!(mixed.contains("2048 tokens, the weights know 512"), "{mixed}");
}

#[test]
fn schemas_are_checked_and_arguments_tried() {
    let shown = output(&["tools", "check", &tools()]);
    assert!(shown.contains("set_timer") && shown.contains("schema: exact"), "{shown}");
    let child = json!({"type": "object", "properties": {"child": {"$ref": "#"}}});
    let recursive = json!([{"name": "t", "parameters": child}]).to_string();
    assert!(output(&["tools", "check", &recursive]).contains("schema: "));
    let folder = tempfile::tempdir().unwrap();
    let schema =
        json!({"type": "object", "properties": {"n": {"type": "integer", "maximum": 5}}, "required": ["n"]});
    let rows =
        [json!({"schema": schema, "instance": {"n": 5}}), json!({"schema": schema, "instance": {"n": 6}})];
    let input = file(&folder, "rows.jsonl", rows.map(|row| row.to_string()).join("\n"));
    let verdicts = lines(&output(&["tools", "accept", "--input", &input]));
    assert_eq!((&verdicts[0]["accepted"], &verdicts[1]["accepted"]), (&json!(true), &json!(false)));
}

#[test]
fn a_bench_measures_every_figure_and_draws_the_latencies() {
    let folder = tempfile::tempdir().unwrap();
    let svg = folder.path().join("latency.svg");
    let short = ["bench", "--seconds", "0.01", "--calls", "3", "--threads", "2", "--json"];
    let report: Value =
        serde_json::from_str(&output(&[&short[..], &["--svg", svg.to_str().unwrap()]].concat())).unwrap();
    let figures = report["figures"].as_array().unwrap();
    let named = |name: &str| figures.iter().find(|figure| figure["name"] == name).unwrap();
    assert!(named("decode")["tokens_per_second"].as_f64().unwrap() > 0.0);
    let call = named("call, 100 tools");
    assert!(call["p99_ms"].as_f64() >= call["p50_ms"].as_f64());
    assert!((1..=call["answer_tokens"].as_u64().unwrap()).contains(&call["choices"].as_u64().unwrap()));
    assert!(std::fs::read_to_string(svg).unwrap().starts_with("<svg"));
    let alone = output(&["bench", "--seconds", "0.01", "--only", "decode"]);
    assert!(alone.starts_with("decode") && alone.lines().count() == 1, "{alone}");
    // In the joint layout ten of the bench's tools are longer than the context.
    let joint = output(&["bench", "--random", "published", "--only", "calls", "--calls", "3"]);
    assert!(joint.starts_with("call, 5 tools") && !joint.contains("10 tools"), "{joint}");
    assert!(refusal(&["bench", "--only", "open", "--svg", "x.svg"]).contains("--only calls"));
    assert!(refusal(&["bench", "--threads", "0"]).contains("threads"));
    assert!(refusal(&["bench", "--seconds", "nan"]).contains("seconds"));
}

#[test]
fn a_calibration_of_another_version_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bundle");
    std::fs::create_dir(&bundle).unwrap();
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        std::fs::copy(root(&format!("models/default/{name}")), bundle.join(name)).unwrap();
    }
    let calibration = bundle.join("calibration.json").display().to_string();
    std::fs::write(&calibration, r#"{"version": 0}"#).unwrap();
    let bundle = bundle.display().to_string();
    let row = |level: u32| {
        let answer = json!({"name": "dim_lights", "arguments": {"room": "kitchen", "level": level}});
        json!({"query": format!("dim the kitchen to {level}"), "answers": [answer]}).to_string() + "\n"
    };
    let data = file(&folder, "rows.jsonl", (1..30).map(row).collect::<String>());
    let run = ["run", "--model", &bundle, "--tools", &tools(), "--query", "dim the kitchen to 5"];
    assert!(refusal(&run).contains("needle calibrate"));
    output(&[
        "calibrate",
        "--model",
        &bundle,
        "--data",
        &data,
        "--tools",
        &tools(),
        "--output",
        &calibration,
    ]);
    assert!(output(&run).starts_with('['));
}

#[test]
fn every_command_shows_an_example() {
    for command in [
        &["run"][..],
        &["eval"],
        &["bench"],
        &["calibrate"],
        &["convert"],
        &["pull"],
        &["playground"],
        &["tools", "check"],
        &["tools", "accept"],
    ] {
        let help = output(&[command, &["--help"]].concat());
        assert!(help.contains("Example"), "{command:?}");
    }
}

#[test]
fn shadow_compares_with_a_large_model() {
    let folder = tempfile::tempdir().unwrap();
    let tool = json!({"type": "function", "function": {
        "name": "dim_lights",
        "description": "Dim the lights in a room to a brightness level.",
        "parameters": {"type": "object", "properties": {
            "room": {"type": "string"}, "level": {"type": "integer"},
        }, "required": ["room", "level"]},
    }});
    let row = |ask: &str, calls: &Value| {
        json!({
            "request": {"messages": [{"role": "user", "content": ask}], "tools": [tool]},
            "response": {
                "choices": [{"message": {"content": null, "tool_calls": calls}}],
                "usage": {"total_tokens": 100},
            },
        })
        .to_string()
    };
    let call = |level: u8| {
        let arguments = json!({"level": level, "room": "Bedroom"}).to_string();
        json!([{"function": {"name": "dim_lights", "arguments": arguments}}])
    };
    let rows = [
        row("dim the lights in the bedroom to 30 percent", &call(30)),
        row("dim the lights in the bedroom to 40 percent", &call(4)),
        row("why is the sky blue", &Value::Null),
    ];
    let log = file(&folder, "log.jsonl", rows.join("\n"));
    let svg = folder.path().join("curve.svg").display().to_string();
    let report: Value = serde_json::from_str(&output(&[
        "shadow",
        "--log",
        &log,
        "--json",
        "--agreement",
        "0.5",
        "--svg",
        &svg,
    ]))
    .unwrap();
    assert_eq!((&report["requests"], &report["large_model_calls"]), (&json!(3), &json!(2)));
    assert_eq!(report["by_tool"]["dim_lights"], json!({"asked": 2, "answered": 2, "agreed": 1}));
    assert_eq!((&report["tokens_saved"], &report["tokens"]), (&json!(200), &json!(300)));
    assert_eq!(report["handed_off"], json!({"no_matching_tool": 1}));
    assert!(std::fs::read_to_string(&svg).unwrap().contains("<polyline points=\""));
    let text = output(&["shadow", "--log", &log]);
    assert!(text.contains("3 requests, of which the large model answered 2 with calls"), "{text}");

    let wrong = file(&folder, "wrong.jsonl", "{\"request\": {}}");
    assert!(refusal(&["shadow", "--log", &wrong]).contains("line 1: needs \"request\" and \"response\""));
}
