//! Schemas that are huge, endless or wrong on purpose: each is compiled or refused in bounded time, and an
//! answer to it ends.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/vocabulary.rs"]
mod support;

use std::time::{Duration, Instant};

use needle_core::grammar::{Constraint, Step, Support, ToolGrammar};
use needle_core::validation::Validator;
use serde_json::{Map, Value, json};
use support::vocabulary;

/// Steps of one answer.
const MAX_STEPS: usize = 200;
/// Far more than any of these takes (some tenths of a second), far less than a hang.
const MAX_TIME: Duration = Duration::from_secs(20);

/// Compiles and writes an answer; the choice at each step is arbitrary.
fn try_out(name: &str, schema: &Value) {
    let start = Instant::now();
    let vocabulary = vocabulary();
    let tool = ToolGrammar::compile(&vocabulary, "t", schema);
    if let Support::Refused(problem) = tool.support() {
        assert!(!problem.keyword.is_empty() && !problem.why.is_empty(), "{name}: {problem:?}");
    }
    let validator = Validator::compile(schema);
    let mut constraint = Constraint::new(&vocabulary, vec![tool], 2);
    for step in 0..MAX_STEPS {
        match constraint.step().unwrap() {
            Step::Forced(_) => {}
            Step::Choose { allowed, .. } => {
                let index = if step == 0 { 1 } else { step % allowed.len().min(7) };
                constraint.advance(allowed.iter().nth(index).unwrap()).unwrap();
            }
            Step::Finished(_) => break,
        }
    }
    if let Ok(validator) = validator {
        let mut deep = json!({});
        for _ in 0..30 {
            deep = json!({"a": deep, "x": [1, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"]});
        }
        let _ = validator.validate(&deep);
        let _ = validator.validate(&json!({"a": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"}));
    }
    assert!(start.elapsed() < MAX_TIME, "{name}: {:?}", start.elapsed());
}

#[test]
fn hostile_schemas_end_and_say_why_also_on_a_small_stack() {
    for (name, schema) in hostile() {
        println!("{name}");
        let run = move || try_out(name, &schema);
        std::thread::Builder::new().stack_size(1 << 20).spawn(run).unwrap().join().unwrap();
    }
}

#[test]
fn hostile_schemas_are_named_rightly() {
    let support = |wanted: &str| -> Support {
        let (_, schema) = hostile().into_iter().find(|(name, _)| *name == wanted).unwrap();
        ToolGrammar::compile(&vocabulary(), "t", &schema).support().clone()
    };
    for (name, pointer) in [
        ("pattern look behind", "/properties/a/pattern"),
        ("pattern properties", "/patternProperties"),
        ("min properties", "/minProperties"),
        ("oneOf 200", "/properties/a/oneOf"),
        ("additional", "/propertyNames"),
        ("minimum huge", "/properties/a/minimum"),
    ] {
        let Support::Lenient(problems) = support(name) else { panic!("{name}: {:?}", support(name)) };
        assert_eq!(problems.iter().map(|problem| problem.pointer.as_str()).collect::<Vec<_>>(), [pointer]);
    }
    for (name, keyword, pointer) in [
        ("endless", "schema", ""),
        ("empty range", "minimum", "/properties/a/minimum"),
        ("false property", "properties", "/properties/a"),
        ("required 5000", "properties", "/properties"),
        ("allOf of anyOf", "allOf", "/properties/a/allOf"),
        ("not a schema", "schema", ""),
    ] {
        let Support::Refused(problem) = support(name) else { panic!("{name}: {:?}", support(name)) };
        assert_eq!((problem.keyword.as_str(), problem.pointer.as_str()), (keyword, pointer), "{name}");
    }
    for name in
        ["512 optional", "512 required", "enum 4000", "enum 3000 objects", "nested 40", "lark", "x-guidance"]
    {
        assert_eq!(support(name), Support::Exact, "{name}");
    }
}

#[allow(clippy::too_many_lines, reason = "a list")]
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
        ("wide references", wide("anyOf", &json!({"type": "null"}))),
        ("wide intersections", wide("allOf", &json!({"properties": {"a": {"type": "string"}}}))),
        (
            "additional",
            json!({"additionalProperties": {"$ref": "#"}, "propertyNames": {"pattern": "^[a-z]+$"}}),
        ),
    ]
}

/// Definitions that each name the next one eight times.
fn wide(keyword: &str, last: &Value) -> Value {
    let next = |n: usize| json!({"$ref": format!("#/$defs/{}", n + 1)});
    let definition = |n: usize| if n == 14 { last.clone() } else { json!({keyword: vec![next(n); 8]}) };
    let definitions: Map<String, Value> = (0..15).map(|n| (n.to_string(), definition(n))).collect();
    json!({"properties": {"a": {"$ref": "#/$defs/0"}}, "$defs": definitions})
}
