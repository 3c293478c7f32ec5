//! Time until the decoder can start, at the published size: one joint prompt, one tool of a catalogue, and a
//! query over a compiled catalogue. `cargo bench -p needle-core --bench prefill`.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench fails by panicking; its macros write no docs")]

#[path = "../tests/support/formula.rs"]
mod formula;
#[path = "../tests/support/network.rs"]
mod network;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use formula::FULL;
use needle_core::nn::decoder::CrossPiece;
use needle_core::nn::encoder::{self, SegmentEncoding};

fn prefill(criterion: &mut Criterion) {
    let weights = network::weights(FULL, false);
    let mut group = criterion.benchmark_group("prefill");
    group.sample_size(10);
    for len in [64, 256, 1024] {
        let tokens = network::tokens(FULL, 1, len);
        group.throughput(Throughput::Elements(len as u64));
        group.bench_function(format!("joint/{len}"), |bencher| {
            bencher.iter(|| CrossPiece::new(&weights, &encoder::encode(&weights, &tokens).unwrap()));
        });
    }
    let tool = network::tokens(FULL, 2, 50);
    group.throughput(Throughput::Elements(50));
    group.bench_function("tool/50", |bencher| {
        bencher.iter(|| {
            let segment = encoder::encode_segment(&weights, &tool).unwrap();
            CrossPiece::new(&weights, segment.output())
        });
    });
    for tools in [8, 64] {
        let segments: Vec<_> = (0..tools)
            .map(|seed| encoder::encode_segment(&weights, &network::tokens(FULL, seed, 50)).unwrap())
            .collect();
        let segments: Vec<_> = segments.iter().map(SegmentEncoding::keys).collect();
        let query = network::tokens(FULL, 3, 16);
        group.throughput(Throughput::Elements(16));
        group.bench_function(format!("query/16 over {tools} tools of 50"), |bencher| {
            bencher.iter(|| {
                let output = encoder::encode_query(&weights, &query, &segments).unwrap();
                CrossPiece::new(&weights, &output)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, prefill);
criterion_main!(benches);
