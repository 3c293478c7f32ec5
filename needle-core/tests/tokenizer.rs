//! Tokenizers against SentencePiece and the Python `tokenizers`, and against broken files.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use needle_core::TokenId;
use needle_core::tokenizer::{StreamDecoder, Tokenizer};
use proptest::prelude::*;
use serde_json::Value;

const SP_MODEL: &[u8] = include_bytes!("../../tests/golden/sp.model");
const JSON: &[u8] = include_bytes!("../../tests/golden/pieces.tokenizer.json");

fn golden(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn sentencepiece() -> Tokenizer {
    Tokenizer::from_sentencepiece(SP_MODEL).unwrap()
}

fn json() -> Tokenizer {
    Tokenizer::from_json(JSON).unwrap()
}

fn ids(value: &Value) -> Vec<TokenId> {
    serde_json::from_value(value.clone()).unwrap()
}

fn streamed(tokenizer: &Tokenizer, ids: &[TokenId]) -> String {
    let mut decoder = StreamDecoder::new(tokenizer);
    let mut text: String = ids.iter().map(|&id| decoder.push(id).to_owned()).collect();
    text.push_str(decoder.finish());
    text
}

#[test]
fn sentencepiece_encodes_and_decodes_as_the_original() {
    let (tokenizer, expected) = (sentencepiece(), golden("sp.expected.json"));
    assert_eq!(tokenizer.vocab_size(), expected["pieces"].as_array().unwrap().len());
    let cases = expected["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 81);
    for case in cases {
        let text = case["text"].as_str().unwrap();
        assert_eq!(tokenizer.encode(text), ids(&case["ids"]), "{text:?}");
        assert_eq!(tokenizer.decode(&ids(&case["ids"])), case["decoded"].as_str().unwrap(), "{text:?}");
    }
}

#[test]
fn json_encodes_and_decodes_as_the_python_library() {
    let (tokenizer, expected) = (json(), golden("pieces.expected.json"));
    for case in expected["cases"].as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        assert_eq!(tokenizer.encode(text), ids(&case["ids"]), "{text:?}");
        assert_eq!(tokenizer.decode(&ids(&case["ids"])), text);
    }
}

#[test]
fn joint_prompts_are_those_of_the_reference() {
    use needle_core::prompt::joint;
    let (tokenizer, expected) = (sentencepiece(), golden("prompt.expected.json"));
    for case in expected["prompts"].as_array().unwrap() {
        let (query, tools) = (case["query"].as_str().unwrap(), case["normalized_tools"].as_str().unwrap());
        let limit = usize::try_from(case["max_enc_len"].as_u64().unwrap()).unwrap();
        assert_eq!(joint::prompt(&tokenizer, query, tools, limit).ids, ids(&case["ids"]), "{query:?}");
    }
}

#[test]
fn special_tokens_have_their_ids_and_no_bytes() {
    for tokenizer in [sentencepiece(), json()] {
        let special = tokenizer.special();
        let all = [special.pad, special.eos, special.bos, special.unk, special.tool_call, special.tools];
        assert_eq!(all, [0, 1, 2, 3, 4, 5].map(TokenId));
        assert!(all.iter().all(|&id| tokenizer.token_bytes(id).is_empty()));
        assert!(tokenizer.token_bytes(TokenId(u32::MAX)).is_empty());
    }
    let written = json().encode("<s><tools></s>");
    assert!(written.iter().all(|id| id.0 > 8), "{written:?}");
}

#[test]
fn long_texts_are_encoded_in_reasonable_time() {
    for text in
        ["a".repeat(1 << 20), " ".repeat(1 << 20), "日本 ".repeat(1 << 18), "9\u{0}é'\"".repeat(1 << 17)]
    {
        assert!(!json().encode(&text).is_empty());
        sentencepiece().encode(&text);
    }
}

#[test]
fn broken_files_are_refused_with_a_remedy() {
    let refused = |bytes: &[u8]| Tokenizer::from_json(bytes).unwrap_err().to_string();
    assert!(refused(b"{").contains("not the JSON"));
    assert!(refused(br#"{"model":{"type":"Unigram"}}"#).contains("byte_fallback"));
    let mut value: Value = serde_json::from_slice(JSON).unwrap();
    value["normalizer"] = serde_json::json!({"type": "Lowercase"});
    assert!(refused(value.to_string().as_bytes()).contains("normalizer"));
    let mut value: Value = serde_json::from_slice(JSON).unwrap();
    value["decoder"] = serde_json::json!({"type": "ByteLevel"});
    assert!(refused(value.to_string().as_bytes()).contains("ByteLevel"));
    assert!(Tokenizer::from_sentencepiece(b"").unwrap_err().to_string().contains("not a SentencePiece BPE"));
    assert!(Tokenizer::from_sentencepiece(&SP_MODEL[..SP_MODEL.len() - 7]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn json_loses_nothing(text in any::<String>()) {
        let tokenizer = json();
        let ids = tokenizer.encode(&text);
        prop_assert_eq!(tokenizer.decode(&ids), &text[..]);
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| tokenizer.token_bytes(id).to_vec()).collect();
        prop_assert_eq!(bytes, text.as_bytes());
    }

    #[test]
    fn continuations_lose_nothing(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        for tokenizer in [json(), sentencepiece()] {
            let ids = tokenizer.encode_bytes(&bytes);
            // U+2581 is SentencePiece's own sign for a space and cannot be told from one.
            if !bytes.windows(3).any(|window| window == "\u{2581}".as_bytes()) {
                let back: Vec<u8> = ids.iter().flat_map(|&id| tokenizer.token_bytes(id).to_vec()).collect();
                prop_assert_eq!(&back, &bytes);
            }
        }
    }

    #[test]
    fn streams_concatenate_to_the_whole_text(ids in prop::collection::vec(0_u32..2100, 0..40)) {
        let ids: Vec<TokenId> = ids.into_iter().map(TokenId).collect();
        for tokenizer in [json(), sentencepiece()] {
            prop_assert_eq!(streamed(&tokenizer, &ids), tokenizer.decode(&ids));
        }
    }

    #[test]
    fn random_files_are_errors(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0..SP_MODEL.len()) {
        prop_assert!(Tokenizer::from_json(&bytes).is_err());
        prop_assert!(Tokenizer::from_sentencepiece(&bytes).is_err());
        let mut changed = SP_MODEL.to_vec();
        let end = changed.len().min(at + bytes.len());
        changed[at..end].copy_from_slice(&bytes[..end - at]);
        // Either outcome is fine; it must come without a panic.
        let _ = Tokenizer::from_sentencepiece(&changed).map(|tokenizer| tokenizer.encode("some text"));
    }
}
