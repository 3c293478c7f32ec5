//! What the network refuses: damaged weights, tokens it does not know, pieces of another network.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/formula.rs"]
mod formula;
#[path = "support/network.rs"]
mod network;

use formula::TINY;
use needle_core::TokenId;
use needle_core::checkpoint::config::{ModelConfig, StaticEmbeddingConfig};
use needle_core::error::{Error, ErrorCode, Result};
use needle_core::nn::copy_head::copy_attention;
use needle_core::nn::decoder::{self, CrossKv, CrossPiece, DecoderState};
use needle_core::nn::encoder;
use needle_core::nn::static_embedding;
use needle_core::nn::weights::{Source, Weights};

/// The formula's tensors with one changed on its way.
struct Damaged {
    name: &'static str,
    damage: fn(Vec<f32>) -> Result<Vec<f32>>,
}

impl Source for Damaged {
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let values = network::FormulaSource(TINY).take(name, shape)?;
        if name == self.name { (self.damage)(values) } else { Ok(values) }
    }
}

fn load(name: &'static str, damage: fn(Vec<f32>) -> Result<Vec<f32>>) -> Result<Weights> {
    Weights::load(&network::config(TINY, false), &mut Damaged { name, damage })
}

#[test]
fn a_wrong_number_of_values_is_refused_by_name() {
    let error = load("encoder.layers.1.self_attn.k_proj.weight", |v| Ok(v[1..].to_vec())).unwrap_err();
    assert_eq!(
        error.to_string(),
        "checkpoint weights: tensor encoder.layers.1.self_attn.k_proj.weight has 2047 values; \
         the config asks for shape [32, 64], which is 2048"
    );
}

#[test]
fn values_that_are_not_finite_are_refused_by_name() {
    let nan = |mut values: Vec<f32>| {
        values[5] = f32::NAN;
        Ok(values)
    };
    let error = load("decoder.layers.0.cross_attn.q_norm.scale", nan).unwrap_err();
    assert_eq!(
        error.to_string(),
        "checkpoint weights: tensor decoder.layers.0.cross_attn.q_norm.scale holds NaN at index 5; \
         the file is damaged, convert or download it again"
    );
    let infinite = |mut values: Vec<f32>| {
        values[0] = f32::NEG_INFINITY;
        Ok(values)
    };
    let error = load("encoder.layers.2.attn_gate", infinite).unwrap_err();
    assert!(error.to_string().contains("tensor encoder.layers.2.attn_gate holds -inf at index 0"), "{error}");
}

#[test]
fn the_error_of_a_source_and_of_a_config_comes_through() {
    let missing = |_| Err(Error::Checkpoint { origin: "m".into(), problem: "no such tensor".into() });
    let error = load("contrastive.proj.weight", missing).unwrap_err();
    assert_eq!(error.to_string(), "checkpoint m: no such tensor");

    let mut config = network::config(TINY, false);
    config.num_kv_heads = 3;
    let error = Weights::load(&config, &mut network::FormulaSource(TINY)).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Config);

    let table = StaticEmbeddingConfig { dim: 4, name_weight: 1.0, opening_weight: 1.0, opening_cosine: 0.0 };
    for wrong in [
        StaticEmbeddingConfig { dim: 0, ..table },
        StaticEmbeddingConfig { name_weight: f32::NAN, ..table },
        StaticEmbeddingConfig { opening_weight: -1.0, ..table },
        StaticEmbeddingConfig { opening_cosine: 2.0, ..table },
    ] {
        let config = ModelConfig { static_embedding: Some(wrong), ..network::config(TINY, false) };
        let error = Weights::load(&config, &mut network::FormulaSource(TINY)).unwrap_err();
        assert!(error.to_string().contains("static_embedding"), "{error}");
    }

    let config = ModelConfig { max_alternatives: 65, ..network::config(TINY, false) };
    let error = Weights::load(&config, &mut network::FormulaSource(TINY)).unwrap_err();
    assert!(error.to_string().contains("max_alternatives: is 65; must be at most 64"), "{error}");
}

#[test]
fn absurd_weights_that_overflow_are_an_error_not_a_nan() {
    let weights =
        load("embedding.weight", |v| Ok(v.into_iter().map(|x| x.signum() * 3e38).collect())).unwrap();
    let error = encoder::encode(&weights, &[TokenId(7)]).unwrap_err();
    assert!(error.to_string().contains("overflow"), "{error}");
}

#[test]
fn an_absurd_static_embedding_is_an_error_not_a_nan() {
    let table = StaticEmbeddingConfig { dim: 4, name_weight: 1.0, opening_weight: 1.0, opening_cosine: 0.0 };
    let config = ModelConfig { static_embedding: Some(table), ..network::config(TINY, false) };
    let mut absurd =
        Damaged { name: "static_embedding.weight", damage: |v| Ok(v.iter().map(|_| 3e38).collect()) };
    let weights = Weights::load(&config, &mut absurd).unwrap();
    let error = static_embedding::embed(&weights, &[TokenId(7)]).unwrap_err();
    assert!(error.to_string().contains("overflow"), "{error}");
}

#[test]
fn a_token_outside_the_vocabulary_is_refused_and_the_state_stays() {
    let weights = network::weights(TINY, false);
    let bad = [TokenId(3), TokenId(512)];
    let error = encoder::encode(&weights, &bad).unwrap_err();
    assert_eq!(error.to_string(), "a token id is 512, the limit is 511");

    let cross = CrossKv::default();
    let mut state = DecoderState::new(&weights);
    let first = decoder::forward(&weights, &cross, &mut state, &[TokenId(1)]).unwrap();
    assert_eq!(decoder::forward(&weights, &cross, &mut state, &bad).unwrap_err().code(), ErrorCode::Limit);
    assert_eq!(state.len(), 1);
    assert_eq!(decoder::logits_for(&weights, &first.row(0), &bad).unwrap_err().code(), ErrorCode::Limit);
}

#[test]
fn pieces_of_another_network_are_refused() {
    let (weights, mut other) = (network::weights(TINY, true), TINY);
    other.num_heads = 2; // K·E becomes 64 where TINY has 32.
    let other = network::weights(other, false);
    let segment = encoder::encode_segment(&other, &[TokenId(5)]).unwrap();
    let error = encoder::encode_query(&weights, &[TokenId(2)], &[segment.keys()]).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Internal);

    let cross = CrossKv::new(vec![CrossPiece::new(&other, segment.output()).into()]);
    let mut state = DecoderState::new(&weights);
    let error = decoder::forward(&weights, &cross, &mut state, &[TokenId(1)]).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Internal);
    let mut state = DecoderState::new(&other);
    let error = decoder::forward(&weights, &CrossKv::default(), &mut state, &[TokenId(1)]).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Internal);

    let hidden = ndarray::Array1::zeros(64);
    assert_eq!(copy_attention(&weights, &cross, &hidden).unwrap_err().code(), ErrorCode::Internal);
    assert_eq!(copy_attention(&other, &cross, &hidden).unwrap(), None);
}
