//! Decoding at the published size: stretches of tokens in one pass, f32 and int8, and all logits.
//! `cargo bench -p needle-core --bench decode`.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench fails by panicking; its macros write no docs")]

#[path = "../tests/support/formula.rs"]
mod formula;
#[path = "../tests/support/network.rs"]
mod network;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use formula::FULL;
use needle_core::TokenId;
use needle_core::nn::decoder::{self, CrossKv, CrossPiece, DecoderState};
use needle_core::nn::encoder;
use needle_core::nn::weights::Weights;

/// Tokens in the cache before each measured step: the middle of a typical answer.
const CACHED: usize = 32;

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    group.sample_size(20);
    let weights = [("f32", network::weights(FULL, false)), ("int8", network::quantised_weights(FULL, false))];
    for (stored, weights) in &weights {
        for (name, count, len) in
            [("joint 256", 1, 256), ("10 tools of 57", 10, 57), ("64 tools of 50", 64, 50)]
        {
            let cross = pieces(weights, count, len);
            let mut state = DecoderState::new(weights);
            decoder::forward(weights, &cross, &mut state, &network::tokens(FULL, 9, CACHED)).unwrap();
            for stretch in [1, 2, 4, 8, 16] {
                let tokens = network::tokens(FULL, 5, stretch);
                group.throughput(Throughput::Elements(stretch as u64));
                group.bench_function(format!("{stored}, {stretch} in one pass, {name}"), |bencher| {
                    bencher.iter(|| {
                        state.truncate(CACHED);
                        decoder::forward(weights, &cross, &mut state, &tokens).unwrap()
                    });
                });
            }
        }
    }
    let [(_, weights), _] = weights;
    let cross = pieces(&weights, 1, 1);
    let hidden = decoder::forward(&weights, &cross, &mut DecoderState::new(&weights), &[TokenId(1)]).unwrap();
    group.throughput(Throughput::Elements(1));
    group.bench_function("logits", |bencher| {
        bencher.iter(|| decoder::logits(&weights, black_box(&hidden.row(0))));
    });
    group.finish();
}

/// What the decoder reads of so many tools of so many tokens.
fn pieces(weights: &Weights, count: u32, len: usize) -> CrossKv {
    let encode = |seed| encoder::encode(weights, &network::tokens(FULL, seed, len)).unwrap();
    (0..count).map(|seed| CrossPiece::new(weights, &encode(seed)).into()).collect()
}

criterion_group!(benches, decode);
criterion_main!(benches);
