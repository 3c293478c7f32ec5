//! Schemas that are huge, endless or wrong on purpose: each is compiled or refused in bounded time, and an
//! answer to it ends.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/vocabulary.rs"]
mod support;

use std::time::Instant;

use needle_core::grammar::{Constraint, Step, ToolGrammar};
use needle_core::validation::Validator;
use serde_json::{Map, Value, json};
use support::vocabulary;

#[test]
fn stack() {
    for kb in [2048, 1024, 512, 384, 256, 128] {
        println!("=== {kb} kB");
        for (name, schema) in hostile() {
            println!("{name}");
            std::thread::Builder::new()
                .stack_size(kb << 10)
                .spawn(move || {
                    let tool = ToolGrammar::compile(&vocabulary(), "t", &schema);
                    let _ = Validator::compile(&schema);
                    drop(tool);
                })
                .unwrap()
                .join()
                .unwrap();
        }
    }
}

#[test]
fn zz_explore() {
    let vocabulary = vocabulary();
    let cases: Vec<(&str, Value)> = hostile();
    for (name, schema) in cases {
        println!(">> {name}");
        let start = Instant::now();
        let tool = ToolGrammar::compile(&vocabulary, "t", &schema);
        let compiled = start.elapsed();
        let start = Instant::now();
        let validator = Validator::compile(&schema);
        let validated = start.elapsed();
        let start = Instant::now();
        let mut constraint = Constraint::new(&vocabulary, vec![tool.clone()], 2);
        let mut steps = 0;
        let finish = loop {
            match constraint.step().unwrap() {
                Step::Forced(_) => {}
                Step::Choose { allowed, .. } => {
                    let token = allowed
                        .iter()
                        .nth(if steps == 0 { 1 } else { steps % allowed.len().min(7) })
                        .unwrap();
                    constraint.advance(token).unwrap();
                }
                Step::Finished(finish) => break Some(finish),
            }
            steps += 1;
            if steps > 300 {
                break None;
            }
        };
        let text = String::from_utf8_lossy(constraint.text()).chars().take(60).collect::<String>();
        println!(
            "   {:?} compile, {:?} validator, {:?} for {steps} steps {finish:?}\n   {}\n   {:?}\n   {text}",
            compiled,
            validated,
            start.elapsed(),
            short(&format!("{:?}", tool.support())),
            validator.map(|_| ()).map_err(|e| short(&e.to_string()))
        );
    }
}

fn short(text: &str) -> String {
    text.chars().take(250).collect()
}

fn hostile() -> Vec<(&'static str, Value)> {
    let many = |count: usize, of: &dyn Fn(usize) -> Value| -> Vec<Value> { (0..count).map(of).collect() };
    let map = |count: usize, of: &dyn Fn(usize) -> Value| -> Map<String, Value> {
        (0..count).map(|n| (format!("p{n}"), of(n))).collect()
    };
    let prop = |schema: Value| json!({"type": "object", "properties": {"a": schema}, "required": ["a"], "additionalProperties": false});
    let mut deep_any = json!({"type": "string"});
    for _ in 0..20 {
        deep_any = json!({"anyOf": [deep_any.clone(), {"type": "array", "items": deep_any}]});
        if deep_any.to_string().len() > 200_000 {
            break;
        }
    }
    let mut nested = json!({"type": "null"});
    for _ in 0..40 {
        nested = json!({"type": "object", "properties": {"x": nested}, "required": ["x"]});
    }
    let mut instance = json!(1);
    for _ in 0..45 {
        instance = json!([instance]);
    }
    let chain: Map<String, Value> = (0..60)
        .map(|n| {
            (
                format!("d{n}"),
                if n == 59 {
                    json!({"type": "null"})
                } else {
                    json!({"properties": {"a": {"$ref": format!("#/$defs/d{}", n + 1)}}})
                },
            )
        })
        .collect();
    let chain40: Map<String, Value> = (0..40)
        .map(|n| {
            (
                format!("d{n}"),
                if n == 39 {
                    json!({"type": "null"})
                } else {
                    json!({"allOf": [{"$ref": format!("#/$defs/d{}", n + 1)}, {"type": ["null", "string"]}]})
                },
            )
        })
        .collect();
    vec![
        ("endless", json!({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]})),
        (
            "endless array",
            prop(json!({"$ref": "#/$defs/l"}))
                .as_object()
                .map(|m| {
                    let mut m = m.clone();
                    m.insert(
                        "$defs".into(),
                        json!({"l": {"type": "array", "items": {"$ref": "#/$defs/l"}, "minItems": 1}}),
                    );
                    Value::Object(m)
                })
                .unwrap(),
        ),
        ("512 optional", json!({"properties": map(512, &|_| json!({"type": "string"}))})),
        (
            "512 required",
            json!({"properties": map(512, &|_| json!({"type": "string"})), "required": many(512, &|n| json!(format!("p{n}")))}),
        ),
        ("required 5000", json!({"required": many(5000, &|n| json!(format!("p{n}")))})),
        (
            "enum 4000",
            prop(
                json!({"enum": many(4000, &|n| json!(format!("a value number {n} that is long {}", n * 7919)))}),
            ),
        ),
        ("enum 20000 numbers", prop(json!({"enum": many(20000, &|n| json!(n * 3))}))),
        ("enum 3000 objects", prop(json!({"enum": many(3000, &|n| json!({"k": n}))}))),
        ("pattern nested", prop(json!({"type": "string", "pattern": "^((a{1,1000}){1,1000}){1,1000}$"}))),
        ("pattern repeat", prop(json!({"type": "string", "pattern": "^(([a-z]{0,200}b){0,200}c){0,200}$"}))),
        (
            "pattern parens",
            prop(json!({"type": "string", "pattern": format!("{}a{}", "(".repeat(480), ")".repeat(480))})),
        ),
        ("pattern dots", prop(json!({"type": "string", "pattern": "a.{900}b.{900}c"}))),
        ("pattern catastrophic", prop(json!({"type": "string", "pattern": "^(a+)+$"}))),
        ("pattern backreference", prop(json!({"type": "string", "pattern": "(a)\\1"}))),
        ("pattern look behind", prop(json!({"type": "string", "pattern": "(?<!a)b"}))),
        ("minItems huge", prop(json!({"type": "array", "minItems": 1_000_000_000_u64}))),
        (
            "minItems 100000",
            prop(json!({"type": "array", "minItems": 100_000_u64, "items": {"type": "null"}})),
        ),
        ("maxItems huge", prop(json!({"type": "array", "maxItems": u64::MAX}))),
        ("minLength huge", prop(json!({"type": "string", "minLength": 1_000_000_000_000_u64}))),
        ("maxLength huge", prop(json!({"type": "string", "maxLength": 4_000_000_000_u64}))),
        ("maxLength 100000", prop(json!({"type": "string", "maxLength": 100_000_u64}))),
        ("multipleOf 0", prop(json!({"type": "number", "multipleOf": 0}))),
        ("multipleOf tiny", prop(json!({"type": "number", "multipleOf": 1e-300}))),
        ("multipleOf 0.01", prop(json!({"type": "number", "multipleOf": 0.01}))),
        ("multipleOf big", prop(json!({"type": "integer", "multipleOf": 4_294_967_291_u64}))),
        ("multipleOf 99991", prop(json!({"type": "integer", "multipleOf": 99991}))),
        ("minimum huge", prop(json!({"type": "number", "minimum": 1e308}))),
        ("minimum integer huge", prop(json!({"type": "integer", "minimum": 1e300, "maximum": 1e301}))),
        (
            "minimum float",
            prop(json!({"type": "number", "minimum": -0.000_000_000_1, "maximum": 1.234_567_890_123_456_7})),
        ),
        ("empty range", prop(json!({"type": "integer", "minimum": 3, "maximum": 2}))),
        (
            "allOf of anyOf",
            prop(
                json!({"allOf": many(40, &|n| json!({"anyOf": [{"minimum": n}, {"maxLength": n}, {"type": "null"}]}))}),
            ),
        ),
        ("deep any", prop(deep_any)),
        ("nested 40", nested),
        ("const deep", prop(json!({"const": instance}))),
        ("chain 60", json!({"properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": chain})),
        ("chain 40 in place", json!({"properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": chain40})),
        (
            "trees",
            json!({"allOf": [{"$ref": "#/$defs/tree1"}, {"$ref": "#/$defs/tree2"}], "$defs": {
            "tree1": {"type": "object", "properties": {"child": {"$ref": "#/$defs/tree1"}}},
            "tree2": {"type": "object", "properties": {"child": {"$ref": "#/$defs/tree2"}}}}}),
        ),
        (
            "doubling",
            json!({"anyOf": [{"properties": {"a": {"$ref": "#"}}}, {"properties": {"a": {"$ref": "#"}}}]}),
        ),
        (
            "pattern properties",
            json!({"patternProperties": {"^a": {"type": "null"}, "b$": {"type": "string"}}, "additionalProperties": false}),
        ),
        ("not unicode boundary", prop(json!({"type": "number", "minimum": "é".repeat(99)}))),
        (
            "x-guidance",
            json!({"x-guidance": {"whitespace_flexible": true, "item_separator": "\\s+"}, "properties": {"a": {"x-guidance": 3}}}),
        ),
        (
            "lark",
            json!({"properties": {"\n%json {} start: \"": {"const": "\nstart: /.*/\n"}}, "required": ["\n%json {} start: \""]}),
        ),
        ("wrong shapes", json!({"properties": [], "required": "a", "enum": 3, "anyOf": {}, "items": 4})),
        ("not a schema", json!([1, 2])),
        ("false", json!(false)),
        ("false property", json!({"properties": {"a": false}, "required": ["a"]})),
        ("oneOf 200", prop(json!({"oneOf": many(200, &|n| json!({"type": "string", "maxLength": n}))}))),
        (
            "min properties",
            json!({"properties": map(20, &|_| json!({"type": "null"})), "minProperties": 2, "maxProperties": 3}),
        ),
        (
            "additional",
            json!({"additionalProperties": {"$ref": "#"}, "propertyNames": {"pattern": "^[a-z]+$"}}),
        ),
    ]
}
