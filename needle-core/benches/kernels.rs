//! The inner products of one projection of the published width (512 to 512), one row and many, for every
//! instruction set of this machine and for `matrixmultiply`; softmax; and how keys and values of one head of a tool are
//! packed. `cargo bench -p needle-core --bench kernels`.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench fails by panicking; its macros write no docs")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use half::f16;
use ndarray::{Array1, Array2, s};
use needle_core::kernels::{
    Activations, Bits, Isa, PackedMatrix, Scaling, matmul_packed, matmul_transposed, softmax,
};

const WIDTH: usize = 512;

fn kernels(criterion: &mut Criterion) {
    let scales = vec![f16::from_f32(0.01); WIDTH * WIDTH / 32];
    let dense = Array2::from_shape_fn((WIDTH, WIDTH), |(i, j)| ((7 * i + 3 * j) % 11) as f32 - 5.0);
    for rows in [1, 6, 192] {
        let mut group = criterion.benchmark_group(format!("{rows} rows"));
        // Multiplications and additions of pairs.
        group.throughput(Throughput::Elements((rows * WIDTH * WIDTH) as u64));
        let x = dense.slice(s![..rows, ..]).to_owned();
        let mut out = Array2::zeros((rows, WIDTH));
        group.bench_function("f32 matrixmultiply", |bencher| {
            bencher.iter(|| matmul_transposed(&x, &dense, &mut out));
        });
        for (bits, scaling) in [(Bits::Eight, Scaling::Row), (Bits::Four, Scaling::Group)] {
            let mut activations = Activations::default();
            group.bench_function(format!("quantise, {scaling:?}"), |bencher| {
                bencher.iter(|| activations.quantise(&x, scaling));
            });
            let bytes = if bits == Bits::Eight { WIDTH * WIDTH } else { WIDTH * WIDTH / 2 };
            let values: Vec<u8> = (0..=255).cycle().take(bytes).collect();
            for isa in Isa::available() {
                let w = PackedMatrix::pack(bits, [WIDTH, WIDTH], &values, &scales, isa).unwrap();
                group.bench_function(format!("{bits:?} bits, {isa:?}"), |bencher| {
                    bencher.iter(|| matmul_packed(&activations, &w, 0, &mut out));
                });
            }
        }
        group.finish();
    }
}

/// A row of scores: of a tool's tokens, of ten tools' and of the vocabulary.
fn softmaxes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("softmax");
    for length in [84, 840, 8192] {
        group.throughput(Throughput::Elements(length));
        let scores: Array1<f32> = (0..length).map(|i| ((7 * i) % 11) as f32 - 5.0).collect();
        let mut row = scores.clone();
        group.bench_function(length.to_string(), |bencher| {
            bencher.iter(|| {
                row.assign(&scores);
                softmax(&mut row, 0.125);
            });
        });
    }
    group.finish();
}

fn packing(criterion: &mut Criterion) {
    let (tokens, width) = (84, 64);
    let x = Array2::from_shape_fn((tokens, 4 * width), |(i, j)| ((7 * i + 3 * j) % 11) as f32 - 5.0);
    let head = x.slice(s![.., width..2 * width]);
    let mut group = criterion.benchmark_group("packing");
    group.throughput(Throughput::Elements((tokens * width) as u64));
    group.bench_function("keys", |bencher| bencher.iter(|| PackedMatrix::quantise_rows(&head, Isa::best())));
    group.bench_function("values", |bencher| {
        bencher.iter(|| PackedMatrix::quantise_columns(&head, Isa::best()));
    });
    group.finish();
}

criterion_group!(benches, kernels, softmaxes, packing);
criterion_main!(benches);
