//! Properties of the network: segments, caches and heads against plain mathematics.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/formula.rs"]
mod formula;
#[path = "support/network.rs"]
mod network;
#[path = "support/reference.rs"]
mod reference;

use std::sync::{Arc, LazyLock};

use formula::Sizes;
use ndarray::{Array2, ArrayRef2, s};
use needle_core::TokenId;
use needle_core::nn::copy_head::{CopyAttention, copy_attention};
use needle_core::nn::decoder::{self, CrossKv, CrossPiece, DecoderState};
use needle_core::nn::encoder::{self, SegmentEncoding};
use needle_core::nn::weights::Weights;
use proptest::prelude::*;

/// Odd proportions: three query heads per key/value head, a vocabulary that no lane count divides.
const SIZES: Sizes = Sizes {
    vocab_size: 61,
    d_model: 48,
    num_heads: 6,
    num_kv_heads: 2,
    num_encoder_layers: 2,
    num_decoder_layers: 2,
    contrastive_dim: 8,
};

static WEIGHTS: LazyLock<Weights> = LazyLock::new(|| network::weights(SIZES, true));

fn tokens(max: usize) -> impl Strategy<Value = Vec<TokenId>> {
    prop::collection::vec((0..61_u32).prop_map(TokenId), 0..max)
}

fn encode_segments(segments: &[Vec<TokenId>]) -> Vec<SegmentEncoding> {
    segments.iter().map(|segment| encoder::encode_segment(&*WEIGHTS, segment).unwrap()).collect()
}

/// Pieces of all segments in order, then of the query that attends to them.
fn cross(segments: &[SegmentEncoding], query: &[TokenId]) -> CrossKv {
    let borrowed: Vec<_> = segments.iter().map(SegmentEncoding::keys).collect();
    let query = encoder::encode_query(&*WEIGHTS, query, &borrowed).unwrap();
    let outputs = segments.iter().map(SegmentEncoding::output).chain([&query]);
    outputs.map(|output| Arc::new(CrossPiece::new(&*WEIGHTS, output))).collect()
}

fn forward(cross: &CrossKv, state: &mut DecoderState, tokens: &[TokenId]) -> Array2<f32> {
    decoder::forward(&*WEIGHTS, cross, state, tokens).unwrap()
}

fn worst(a: &ArrayRef2<f32>, b: &ArrayRef2<f32>) -> f32 {
    assert_eq!(a.dim(), b.dim());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Segments see themselves and the query sees all: one dense sequence with a block mask says the same.
    #[test]
    fn isolated_encoding_equals_a_block_masked_sequence(
        segments in prop::collection::vec(tokens(14), 0..4),
        query in tokens(80),
    ) {
        let encoded = encode_segments(&segments);
        let borrowed: Vec<_> = encoded.iter().map(SegmentEncoding::keys).collect();
        let output = encoder::encode_query(&*WEIGHTS, &query, &borrowed).unwrap();

        let all: Vec<&Vec<TokenId>> = segments.iter().chain([&query]).collect();
        let mut sequence = vec![];
        let mut owner = vec![];
        for (index, tokens) in all.iter().enumerate() {
            sequence.extend(tokens.iter().enumerate().map(|(position, &token)| (token, position)));
            owner.extend(tokens.iter().map(|_| index));
        }
        let sees = |i: usize, j: usize| owner[i] == segments.len() || owner[i] == owner[j];
        let expected = reference::encode(SIZES, &sequence, sees);
        let found = encoded.iter().map(SegmentEncoding::output).chain([&output]);
        let found = found.flat_map(|output| output.hidden().into_iter().copied().collect::<Vec<_>>());
        for (found, expected) in found.zip(expected.iter().flatten()) {
            prop_assert!((f64::from(found) - expected).abs() < 2e-5, "{found} {expected}");
        }
    }

    #[test]
    fn a_query_without_segments_is_a_joint_sequence(query in tokens(20)) {
        let joint = encoder::encode(&*WEIGHTS, &query).unwrap();
        let alone = encoder::encode_query(&*WEIGHTS, &query, &[]).unwrap();
        let segment = encoder::encode_segment(&*WEIGHTS, &query).unwrap();
        prop_assert_eq!(joint.hidden(), alone.hidden());
        prop_assert_eq!(joint.hidden(), segment.output().hidden());
    }

    #[test]
    fn decoding_in_any_chunks_equals_one_pass(
        segments in prop::collection::vec(tokens(14), 0..3),
        query in tokens(10),
        chunks in prop::collection::vec(tokens(90), 1..6),
    ) {
        let cross = cross(&encode_segments(&segments), &query);
        let whole = forward(&cross, &mut DecoderState::new(&WEIGHTS), &chunks.concat());
        let mut state = DecoderState::new(&WEIGHTS);
        for chunk in &chunks {
            let start = state.len();
            let hidden = forward(&cross, &mut state, chunk);
            prop_assert!(worst(&hidden, &whole.slice(s![start..state.len(), ..])) < 1e-5);
        }
        prop_assert_eq!(state.len(), whole.nrows());
    }

    #[test]
    fn truncating_rolls_back_exactly(
        query in tokens(10),
        (kept, dropped, continued) in (tokens(40), tokens(100), tokens(10)),
    ) {
        let cross = cross(&[], &query);
        let mut straight = DecoderState::new(&WEIGHTS);
        forward(&cross, &mut straight, &kept);
        let mut returned = straight.clone();
        forward(&cross, &mut returned, &dropped);
        returned.truncate(kept.len());
        prop_assert_eq!(returned.len(), kept.len());
        prop_assert_eq!(
            forward(&cross, &mut straight, &continued),
            forward(&cross, &mut returned, &continued)
        );
    }

    #[test]
    fn the_order_of_segments_does_not_matter(
        segments in prop::collection::vec(tokens(14), 2..5),
        query in tokens(10),
        decoded in tokens(10),
    ) {
        let mut encoded = encode_segments(&segments);
        let ordered = forward(&cross(&encoded, &query), &mut DecoderState::new(&WEIGHTS), &decoded);
        encoded.reverse();
        let reversed = forward(&cross(&encoded, &query), &mut DecoderState::new(&WEIGHTS), &decoded);
        prop_assert!(worst(&ordered, &reversed) < 1e-5);
    }

    #[test]
    fn logits_of_some_tokens_equal_those_rows_of_all(query in tokens(10), some in tokens(20)) {
        let hidden = forward(&cross(&[], &query), &mut DecoderState::new(&WEIGHTS), &[TokenId(1)]);
        let all = decoder::logits(&*WEIGHTS, &hidden.row(0));
        let expected: Vec<f32> = some.iter().map(|token| all[token.0 as usize]).collect();
        prop_assert_eq!(decoder::logits_for(&WEIGHTS, &hidden.row(0), &some).unwrap(), expected);
    }

    #[test]
    fn the_copy_head_points_as_its_formula_says(
        segments in prop::collection::vec(tokens(14), 0..3),
        query in tokens(10),
    ) {
        let segments = encode_segments(&segments);
        let cross = cross(&segments, &query);
        let hidden = forward(&cross, &mut DecoderState::new(&WEIGHTS), &[TokenId(1), TokenId(4)]);
        let copy = copy_attention(&*WEIGHTS, &cross, &hidden.row(1)).unwrap().unwrap();
        if cross.is_empty() {
            prop_assert_eq!(copy, CopyAttention { gate: 0.0, weights: vec![] });
            return Ok(());
        }
        prop_assert!((copy.weights.iter().sum::<f32>() - 1.0).abs() < 1e-5);

        let borrowed: Vec<_> = segments.iter().map(SegmentEncoding::keys).collect();
        let query = encoder::encode_query(&*WEIGHTS, &query, &borrowed).unwrap();
        let wide = |row: ndarray::ArrayView1<f32>| row.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
        let outputs = segments.iter().map(SegmentEncoding::output).chain([&query]);
        let source: Vec<_> =
            outputs.flat_map(|output| output.hidden().outer_iter().map(wide).collect::<Vec<_>>()).collect();
        let (gate, weights) = reference::copy_attention(SIZES, &wide(hidden.row(1)), &source);
        prop_assert!((f64::from(copy.gate) - gate).abs() < 1e-5);
        prop_assert_eq!(copy.weights.len(), weights.len());
        for (found, expected) in copy.weights.iter().zip(weights) {
            prop_assert!((f64::from(*found) - expected).abs() < 1e-5);
        }
    }
}
