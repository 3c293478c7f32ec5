//! Every schema of the function-call suite: compiled or refused by name, nothing invalid let through, nothing
//! valid out of reach. A baseline keeps the counts from falling.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;

use flate2::read::GzDecoder;
use needle_core::TokenId;
use needle_core::acceptance::Judge;
use needle_core::grammar::{Support, Vocabulary};
use serde::{Deserialize, Serialize};
use serde_json::Value;

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

#[test]
fn function_call_schemas() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/data/schemas/function_call_schemas.jsonl.gz");
    let Ok(file) = std::fs::File::open(&path) else {
        println!("skipped: {} is not here", path.display());
        return;
    };
    let vocabulary = bytes();
    let mut counts = Counts::default();
    let mut keywords: BTreeMap<String, usize> = BTreeMap::new();
    let start = std::time::Instant::now();
    for line in BufReader::new(GzDecoder::new(file)).lines() {
        let row: Row = serde_json::from_str(&line.unwrap()).unwrap();
        let judge = Judge::new(&vocabulary, &row.schema);
        let compiled = match judge.support() {
            Support::Exact => {
                counts.exact += 1;
                true
            }
            Support::Lenient(problems) => {
                counts.lenient += 1;
                for problem in problems {
                    *keywords.entry(format!("lenient {}", problem.keyword)).or_default() += 1;
                }
                true
            }
            Support::Refused(problem) => {
                counts.refused += 1;
                assert!(!problem.keyword.is_empty(), "{}: {problem}", row.name);
                *keywords.entry(format!("refused {}", problem.keyword)).or_default() += 1;
                println!("{}: refused: {problem}", row.name);
                false
            }
        };
        for instance in &row.valid {
            let found = judge.accepts(instance);
            if compiled {
                counts.valid_of_compiled += 1;
                if found.accepted() {
                    counts.valid_reached += 1;
                } else {
                    println!("{}: out of reach: {:?} {:?}", row.name, found.grammar, found.validation);
                }
            }
        }
        for instance in &row.invalid {
            counts.invalid += 1;
            if judge.accepts(instance).accepted() {
                counts.invalid_let_through += 1;
                println!("{}: let through: {instance}", row.name);
            }
        }
    }
    println!("{counts:?} in {:?}", start.elapsed());
    println!("{keywords:?}");
    let expected = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/schema_suite.expected.json");
    let expected: Counts = serde_json::from_str(&std::fs::read_to_string(expected).unwrap()).unwrap();
    assert_eq!(counts, expected);
}
