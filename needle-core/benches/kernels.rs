//! The inner products of one projection of the published width (512 to 512), one row and many, for every
//! instruction set of this machine and for `matrixmultiply`. `cargo bench -p needle-core --bench kernels`.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench fails by panicking; its macros write no docs")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use half::f16;
use ndarray::{Array2, s};
use needle_core::kernels::{Activations, Bits, Isa, PackedMatrix, Scaling, matmul_packed, matmul_transposed};

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

criterion_group!(benches, kernels);
criterion_main!(benches);
