//! The shipped int8 model on the kernels for quantised weights: close to the same weights in f32, and the same
//! whatever the number of threads.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;

use ndarray::Array2;
use needle_core::checkpoint::Checkpoint;
use needle_core::kernels::Pool;
use needle_core::nn::copy_head::copy_attention;
use needle_core::nn::decoder::{self, CrossKv, CrossPiece, DecoderState};
use needle_core::nn::encoder;
use needle_core::nn::network::Network;
use needle_core::nn::weights::{Source, Weights};
use needle_core::{Catalogue, Decision, Model, Options, Result, Session, TokenId, tool};
use serde_json::Value;

fn shipped() -> Arc<Model> {
    Model::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/default")).unwrap()
}

/// Gives the stored weights as f32 only.
struct Dequantised(Checkpoint);

impl Source for Dequantised {
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        self.0.take(name, shape)
    }
}

fn dequantised() -> Weights {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/default");
    let checkpoint = Checkpoint::open(path).unwrap();
    Weights::load(&checkpoint.config.clone(), &mut Dequantised(checkpoint)).unwrap()
}

fn tokens(count: u32) -> Vec<TokenId> {
    (0..count).map(|i| TokenId((17 + 131 * i) % 8192)).collect()
}

/// Cosine of two arrays as vectors.
fn cosine(a: &Array2<f32>, b: &Array2<f32>) -> f64 {
    let dot = |x: &Array2<f32>, y: &Array2<f32>| -> f64 {
        x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn quantised_passes_are_close_to_passes_in_f32() {
    let (model, dense) = (shipped(), dequantised());
    let packed = model.weights();
    let pass = |weights: &Weights| {
        let segment = encoder::encode_segment(weights, &tokens(45)).unwrap();
        let query = encoder::encode_query(weights, &tokens(11), &[segment.keys()]).unwrap();
        let pieces = [segment.output(), &query].map(|output| CrossPiece::new(weights, output).into());
        let cross = CrossKv::new(pieces.to_vec());
        let mut state = DecoderState::new(weights);
        let hidden = decoder::forward(weights, &cross, &mut state, &tokens(9)).unwrap();
        let copied = copy_attention(weights, &cross, &hidden.row(8)).unwrap().unwrap().weights;
        [query.hidden().to_owned(), hidden, Array2::from_shape_vec((1, copied.len()), copied).unwrap()]
    };
    // A softmax makes small differences larger.
    for ((found, expected), least) in pass(packed).iter().zip(&pass(&dense)).zip([0.999, 0.999, 0.99]) {
        let similar = cosine(found, expected);
        assert!(similar > least, "{similar}");
    }
}

#[test]
fn logits_of_some_tokens_are_those_of_all() {
    let model = shipped();
    let output = encoder::encode(model.weights(), &tokens(7)).unwrap();
    let row = output.hidden().row(3).to_owned();
    let all = decoder::logits(model.weights(), &row);
    let some = decoder::logits_for(model.weights(), &row, &[TokenId(0), TokenId(77), TokenId(8191)]).unwrap();
    assert_eq!(some, [all[0], all[77], all[8191]]);
}

#[test]
fn passes_are_the_same_bits_on_any_number_of_threads() {
    let model = shipped();
    let dense = dequantised();
    for weights in [model.weights(), &dense] {
        // One block of positions, and several, whose number depends on that of the threads.
        for count in [20, 150] {
            let alone = encoder::encode(weights, &tokens(count)).unwrap();
            let logits = decoder::logits(weights, &alone.hidden().row(9));
            for threads in [2, 3] {
                let pool = Pool::new(threads).unwrap();
                let network = Network::new(weights, &pool);
                let shared = encoder::encode(network, &tokens(count)).unwrap();
                assert_eq!(shared.hidden(), alone.hidden());
                assert_eq!(decoder::logits(network, &shared.hidden().row(9)), logits);
            }
        }
    }
}

#[test]
fn decisions_are_the_same_on_any_number_of_threads() {
    let model = shipped();
    let tools = include_str!("../../examples/tools.json");
    let timeless = |decision: &Decision| {
        let mut json = serde_json::to_value(decision).unwrap();
        json.as_object_mut().unwrap().remove("timings");
        json
    };
    let mut decided: Vec<Vec<Value>> = Vec::new();
    for threads in [1, 2, 4] {
        let tools = tool::parse(tools).unwrap();
        let catalogue = Catalogue::compile_with_threads(&model, tools, threads).unwrap();
        let mut session = Session::with_threads(&model, threads).unwrap();
        let queries =
            ["dim the lights in the bedroom to 30 percent", "set a timer for ten minutes", "how are you"];
        let batch = session.decide_batch(&catalogue, &queries, &Options::default()).unwrap();
        decided.push(batch.iter().map(timeless).collect());
    }
    assert_eq!(decided[0], decided[1]);
    assert_eq!(decided[0], decided[2]);
}
