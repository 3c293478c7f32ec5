//! Every schema of the function-call suite: compiled or refused by name, nothing invalid let through, nothing
//! valid out of reach. A baseline keeps the counts from falling.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "the counts are the point")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;

use flate2::read::GzDecoder;
use needle_core::TokenId;
use needle_core::acceptance::Judge;
use needle_core::grammar::{Support, Vocabulary};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Row {
    name: String,
    schema: Value,
    valid: Vec<Value>,
    invalid: Vec<Value>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Counts {
    exact: usize,
    lenient: usize,
    refused: usize,
    valid_of_compiled: usize,
    valid_reached: usize,
    invalid: usize,
    invalid_let_through: usize,
}

/// One token per byte.
fn bytes() -> Vocabulary {
    let tokens = (0..=255u8).map(|byte| vec![byte]).collect();
    Vocabulary::from_parts(tokens, |text| text.iter().map(|&byte| TokenId(u32::from(byte))).collect())
        .unwrap()
}

/// The lines of a suite, or nothing where it is not at hand.
fn rows(name: &str) -> Option<impl Iterator<Item = String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/schemas").join(name);
    let Ok(file) = std::fs::File::open(&path) else {
        println!("skipped: {} is not here", path.display());
        return None;
    };
    Some(BufReader::new(GzDecoder::new(file)).lines().map(Result::unwrap))
}

impl Counts {
    /// Tries one schema; `name` is for the report.
    fn add(
        &mut self,
        vocabulary: &Vocabulary,
        name: &str,
        schema: &Value,
        valid: &[Value],
        invalid: &[Value],
    ) {
        let judge = Judge::new(vocabulary, schema);
        match judge.support() {
            Support::Exact => self.exact += 1,
            Support::Lenient(problems) => {
                self.lenient += 1;
                assert!(problems.iter().all(|problem| !problem.keyword.is_empty()), "{name}");
            }
            Support::Refused(problem) => {
                self.refused += 1;
                assert!(!problem.keyword.is_empty(), "{name}: {problem}");
                println!("{name}: refused: {problem}");
            }
        }
        let compiled = !matches!(judge.support(), Support::Refused(_));
        for instance in valid.iter().filter(|_| compiled) {
            let found = judge.accepts(instance);
            self.valid_of_compiled += 1;
            self.valid_reached += usize::from(found.accepted());
            if !found.accepted() {
                println!("{name}: out of reach: {:?} {:?}", found.grammar, found.validation);
            }
        }
        for instance in invalid {
            let accepted = judge.accepts(instance).accepted();
            self.invalid += 1;
            self.invalid_let_through += usize::from(accepted);
            if accepted {
                println!("{name}: let through: {instance}");
            }
        }
    }

    /// Compares with the baseline, which only ever gets better.
    fn compare(&self, suite: &str) {
        println!("{suite}: {self:?}");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/schema_suite.expected.json");
        let expected: BTreeMap<String, Counts> =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(self, &expected[suite]);
    }
}

#[test]
fn function_call_schemas() {
    let Some(rows) = rows("function_call_schemas.jsonl.gz") else { return };
    let vocabulary = bytes();
    let mut counts = Counts::default();
    for line in rows {
        let row: Row = serde_json::from_str(&line).unwrap();
        counts.add(&vocabulary, &row.name, &row.schema, &row.valid, &row.invalid);
    }
    assert_eq!((counts.invalid_let_through, counts.valid_reached), (0, counts.valid_of_compiled));
    counts.compare("function_call_schemas");
}

/// The schemas of the JSON Schema Test Suite, as one property of the arguments, or as the arguments where they
/// refer to their own root. Formats are asserted here, so `format.json` (annotations) is left out.
#[test]
fn json_schema_test_suite() {
    let Some(rows) = rows("json_schema_test_suite_2020_12.jsonl.gz") else { return };
    let vocabulary = bytes();
    let mut counts = Counts::default();
    for line in rows {
        let row: Value = serde_json::from_str(&line).unwrap();
        let text = row["schema"].to_string();
        let whole = ["\"$ref\"", "\"$id\"", "\"$dynamicRef\""].iter().any(|one| text.contains(one));
        let mut schema = row["schema"].clone();
        if !whole {
            let draft = schema.as_object_mut().and_then(|schema| schema.shift_remove("$schema"));
            schema = json!({"type": "object", "properties": {"v": schema}, "required": ["v"]});
            schema["$schema"] =
                draft.unwrap_or_else(|| json!("https://json-schema.org/draft/2020-12/schema"));
        }
        if row["file"] == "format.json" {
            continue;
        }
        let instances = |valid: bool| -> Vec<Value> {
            let tests = row["tests"].as_array().unwrap().iter().filter(|test| test["valid"] == valid);
            let data = tests.map(|test| &test["data"]).filter(|data| !whole || data.is_object());
            data.map(|data| if whole { data.clone() } else { json!({"v": data}) }).collect()
        };
        let name = format!("{} {}", row["file"], row["description"]);
        counts.add(&vocabulary, &name, &schema, &instances(true), &instances(false));
    }
    counts.compare("json_schema_test_suite_2020_12");
}
