//! The network against vectors of the reference implementation (`/tests/golden`, made in f32).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/formula.rs"]
mod formula;
#[path = "support/network.rs"]
mod network;

use formula::Sizes;
use ndarray::{Array2, ArrayRef2, ArrayView2, s};
use needle_core::TokenId;
use needle_core::nn::decoder::{self, CrossKv, CrossPiece, DecoderState};
use needle_core::nn::weights::Weights;
use needle_core::nn::{contrastive, encoder};
use safetensors::SafeTensors;

const TOLERANCE: f32 = 1e-4;

/// Expected vectors of one case.
struct Case<'a> {
    tensors: &'a SafeTensors<'a>,
    index: usize,
}

impl Case<'_> {
    fn bytes(&self, name: &str) -> (Vec<usize>, Vec<[u8; 4]>) {
        let tensor = self.tensors.tensor(&format!("case{}.{name}", self.index)).unwrap();
        (tensor.shape().to_vec(), tensor.data().as_chunks::<4>().0.to_vec())
    }

    fn rows(&self, name: &str) -> Array2<f32> {
        let (shape, bytes) = self.bytes(name);
        let values = bytes.into_iter().map(f32::from_le_bytes).collect();
        Array2::from_shape_vec((shape[0], shape.get(1).copied().unwrap_or(1)), values).unwrap()
    }

    fn tokens(&self, name: &str) -> Vec<TokenId> {
        let (_, bytes) = self.bytes(name);
        bytes.into_iter().map(|bytes| TokenId(u32::from_le_bytes(bytes))).collect()
    }
}

fn assert_close(what: &str, found: &ArrayRef2<f32>, expected: &ArrayRef2<f32>) {
    assert_eq!(found.dim(), expected.dim(), "{what}: shapes");
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < TOLERANCE, "{what}: differs by {worst}, more than {TOLERANCE}");
}

/// The likeliest token at every step from `[1]`, one token per pass.
fn greedy(weights: &Weights, cross: &CrossKv, len: usize) -> Vec<TokenId> {
    let mut state = DecoderState::new(weights);
    let mut tokens = vec![TokenId(1)];
    while tokens.len() < len {
        let hidden = decoder::forward(weights, cross, &mut state, &tokens[tokens.len() - 1..]).unwrap();
        let logits = decoder::logits(weights, &hidden.row(0));
        let best = (0_u32..).zip(&logits).max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
        tokens.push(TokenId(best));
    }
    tokens
}

/// Compares every case of a file; it holds every `row_step`-th encoder row and `column_step`-th logit.
fn compare(file: &[u8], sizes: Sizes, cases: usize, row_step: usize, column_step: usize) {
    let tensors = SafeTensors::deserialize(file).unwrap();
    assert_eq!(tensors.len(), 6 * cases);
    let weights = network::weights(sizes, false);
    for index in 0..cases {
        let case = Case { tensors: &tensors, index };
        let output = encoder::encode(&weights, &case.tokens("src")).unwrap();
        let rows = output.hidden().slice_move(s![..;row_step, ..]);
        assert_close(&format!("case {index} encoder"), &rows, &case.rows("encoder_out"));

        let embedding = contrastive::embed(&weights, &output);
        let embedding = ArrayView2::from_shape((embedding.len(), 1), &embedding).unwrap();
        assert_close(&format!("case {index} contrastive"), &embedding, &case.rows("contrastive"));

        let cross = CrossKv::new(vec![CrossPiece::new(&weights, &output).into()]);
        let mut state = DecoderState::new(&weights);
        let hidden = decoder::forward(&weights, &cross, &mut state, &case.tokens("tgt")).unwrap();
        let logits: Vec<f32> = hidden.outer_iter().flat_map(|row| decoder::logits(&weights, &row)).collect();
        let logits = ArrayView2::from_shape((hidden.nrows(), sizes.vocab_size), &logits).unwrap();
        let columns = logits.slice(s![.., ..;column_step]);
        assert_close(&format!("case {index} logits"), &columns, &case.rows("logits"));

        let expected = case.tokens("greedy");
        assert_eq!(greedy(&weights, &cross, expected.len()), expected, "case {index}: greedy ids");
    }
}

#[test]
fn tiny_agrees_with_the_reference() {
    compare(include_bytes!("../../tests/golden/tiny.expected.safetensors"), formula::TINY, 4, 1, 1);
}

#[test]
fn full_agrees_with_the_reference() {
    compare(include_bytes!("../../tests/golden/full.expected.safetensors"), formula::FULL, 2, 8, 16);
}
