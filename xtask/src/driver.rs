//! Conformance vectors through a program that answers commands on its standard input (`needle-c/tests/driver.c`).

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use needle_core::ErrorCode;
use serde_json::{Value, json};

use crate::process::{root, say};

/// CPUs round f32 differently.
const TOLERANCE: f64 = 0.02;
const EVENTS: [&str; 4] = ["text", "tool_name", "call_finished", "done"];

/// Runs every vector; the program takes the model's folder.
pub(crate) fn conformance(program: &mut Command) -> Result<(), String> {
    let path = root().join("tests/conformance/vectors.json");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let vectors: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let cases = vectors["cases"].as_array().ok_or("the vectors have no cases")?;
    let mut driver = Driver::start(program)?;
    for case in cases {
        driver.check(case, &vectors["toolsets"]).map_err(|problem| format!("{}: {problem}", case["name"]))?;
    }
    driver.stop()?;
    say(&format!("{} vectors are answered as expected", cases.len()));
    Ok(())
}

struct Driver {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// An answer: events, then a decision, an error or nothing.
struct Answer {
    events: Vec<Value>,
    end: End,
}

enum End {
    Ok,
    Decision(Value),
    Error(Value),
}

impl Driver {
    fn start(program: &mut Command) -> Result<Self, String> {
        program.current_dir(root()).arg("models/default").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = program.spawn().map_err(|error| format!("the driver: {error}"))?;
        let commands = child.stdin.take().ok_or("the driver has no input")?;
        let answers = BufReader::new(child.stdout.take().ok_or("the driver has no output")?);
        Ok(Self { child, commands, answers })
    }

    fn stop(self) -> Result<(), String> {
        let Self { mut child, commands, .. } = self;
        drop(commands);
        let status = child.wait().map_err(|error| error.to_string())?;
        if status.success() { Ok(()) } else { Err(format!("the driver: {status}")) }
    }

    fn check(&mut self, case: &Value, toolsets: &Value) -> Result<(), String> {
        let tools = match (case["tools_text"].as_str(), case["toolset"].as_str()) {
            (Some(text), _) => text.to_owned(),
            (None, Some(name)) => toolsets[name].to_string(),
            (None, None) => return Err("has no tools".into()),
        };
        let options = case.get("options").map_or("{}".into(), Value::to_string);
        let expected = &case["expect"];
        let settings = [
            format!("tools {}", hex(&tools)),
            format!("options {}", hex(&options)),
            format!("cancel {}", u8::from(case["cancel"] == true)),
        ];
        for setting in settings {
            if let End::Error(error) = self.ask(&setting)?.end {
                return same(&error, &expected["error"]);
            }
        }
        let queries = case["queries"].as_array().ok_or("has no queries")?;
        for _ in 0..case["repeat"].as_u64().unwrap_or(1) {
            for (index, query) in queries.iter().enumerate() {
                let answer = self.ask(&format!("decide {}", hex(query.as_str().unwrap_or_default())))?;
                match answer.end {
                    End::Ok => return Err("was answered without a decision".into()),
                    End::Error(error) => return same(&error, &expected["error"]),
                    End::Decision(found) => same_decision(found, &expected["decisions"][index])?,
                }
                if let Some(events) = expected.get("events") {
                    same(&answer.events.into(), &events[index])?;
                }
            }
        }
        same(&Value::Null, &expected["error"])
    }

    fn ask(&mut self, command: &str) -> Result<Answer, String> {
        writeln!(self.commands, "{command}").map_err(|error| format!("the driver: {error}"))?;
        let mut events = Vec::new();
        loop {
            let mut line = String::new();
            self.answers.read_line(&mut line).map_err(|error| format!("the driver: {error}"))?;
            let words: Vec<&str> = line.trim_end_matches('\n').split(' ').collect();
            let end = match words.as_slice() {
                ["ok"] => End::Ok,
                ["decision", json] => {
                    End::Decision(serde_json::from_str(&unhex(json)?).map_err(|error| error.to_string())?)
                }
                ["error", status, message] => {
                    let code = ErrorCode::ALL.into_iter().find(|code| (*code as i32).to_string() == *status);
                    let name = code.map_or("unknown", ErrorCode::name);
                    End::Error(json!({"code": name, "message": unhex(message)?}))
                }
                ["event", kind, call, text] => {
                    events.push(event(kind, call, &unhex(text)?)?);
                    continue;
                }
                _ => return Err(format!("the driver answered {line:?}")),
            };
            return Ok(Answer { events, end });
        }
    }
}

fn event(kind: &str, call: &str, text: &str) -> Result<Value, String> {
    let kind = kind.parse().ok().and_then(|index: usize| EVENTS.get(index)).ok_or("an event of no kind")?;
    let call: usize = call.parse().map_err(|_| "an event of no call")?;
    Ok(match *kind {
        "text" => json!({"type": kind, "text": text}),
        "tool_name" => json!({"type": kind, "call": call, "name": text}),
        "call_finished" => json!({"type": kind, "call": call}),
        _ => json!({"type": kind}),
    })
}

fn same_decision(mut found: Value, expected: &Value) -> Result<(), String> {
    let mut expected = expected.clone();
    let confidences = [&mut found, &mut expected].map(|decision| {
        let confidence = decision["confidence"].as_f64();
        if let Some(fields) = decision.as_object_mut() {
            fields.shift_remove("confidence");
            fields.shift_remove("timings");
            if fields.get("reason").is_some_and(|reason| reason == "low_confidence") {
                // It quotes the confidence.
                fields.shift_remove("detail");
            }
        }
        confidence
    });
    same(&found, &expected)?;
    match confidences {
        [None, None] => Ok(()),
        [Some(found), Some(expected)] if (found - expected).abs() <= TOLERANCE => Ok(()),
        [found, expected] => Err(format!("the confidence is {found:?}, expected {expected:?}")),
    }
}

fn same(found: &Value, expected: &Value) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("found {found}, expected {expected}")) }
}

fn hex(text: &str) -> String {
    let digits: Vec<String> = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

fn unhex(hex: &str) -> Result<String, String> {
    let digits: Vec<char> = hex.chars().collect();
    let bytes = digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16));
    let bytes: Vec<u8> = bytes.collect::<Result<_, _>>().map_err(|error| format!("{hex:?}: {error}"))?;
    String::from_utf8(bytes).map_err(|error| error.to_string())
}
