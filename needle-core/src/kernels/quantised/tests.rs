#![allow(clippy::float_cmp, reason = "equal bits are what is promised")]

use half::f16;
use ndarray::{Array1, Array2, Axis, s};
use proptest::prelude::*;

use super::*;

/// Values and scales as a checkpoint stores them, and what they stand for.
#[derive(Clone, Debug)]
struct Stored {
    bits: Bits,
    values: Vec<u8>,
    scales: Vec<f16>,
    dequantised: Array2<f32>,
}

/// A matrix with every stored value likely, the extremes more so.
fn stored(outputs: usize, inputs: usize, bits: Bits) -> impl Strategy<Value = Stored> {
    let (low, high) = if bits == Bits::Eight { (-128_i8, 127) } else { (-8, 7) };
    let value = prop_oneof![6 => low..=high, 1 => Just(low), 1 => Just(high)];
    let values = prop::collection::vec(value, outputs * inputs);
    let scales = prop::collection::vec(-2.0_f32..2.0, outputs * inputs / 32);
    (values, scales).prop_map(move |(values, scales)| {
        let scales: Vec<f16> = scales.into_iter().map(f16::from_f32).collect();
        let weight = |(i, q): (usize, &i8)| f32::from(*q) * scales[i / 32].to_f32();
        let dequantised = values.iter().enumerate().map(weight).collect();
        let stored = match bits {
            Bits::Eight => values.iter().map(|q| q.cast_unsigned()).collect(),
            Bits::Four => {
                let pair = |p: &[i8]| (p[0] + 8).cast_unsigned() | (p[1] + 8).cast_unsigned() << 4;
                values.chunks(2).map(pair).collect()
            }
        };
        let dequantised = Array2::from_shape_vec((outputs, inputs), dequantised).unwrap();
        Stored { bits, values: stored, scales, dequantised }
    })
}

fn matrix(rows: usize, columns: usize) -> impl Strategy<Value = Array2<f32>> {
    prop::collection::vec(-3.0_f32..3.0, rows * columns)
        .prop_map(move |values| Array2::from_shape_vec((rows, columns), values).unwrap())
}

fn case() -> impl Strategy<Value = (Stored, Array2<f32>)> {
    let bits = prop_oneof![Just(Bits::Eight), Just(Bits::Four)];
    (1..40_usize, 1..5_usize, 0..50_usize, bits).prop_flat_map(|(outputs, groups, rows, bits)| {
        (stored(outputs, 32 * groups, bits), matrix(rows, 32 * groups))
    })
}

/// Rows (N, I) and a few matrices (Oₚ, I), some of them empty.
fn parts() -> impl Strategy<Value = (Array2<f32>, Vec<Array2<f32>>)> {
    (0..40_usize, 1..100_usize, prop::collection::vec(0..70_usize, 0..4)).prop_flat_map(
        |(rows, inputs, outputs)| {
            let parts: Vec<_> = outputs.into_iter().map(|outputs| matrix(outputs, inputs)).collect();
            (matrix(rows, inputs), parts)
        },
    )
}

/// Any matrix of this shape.
fn matrix_like(rows: usize, columns: usize) -> Array2<f32> {
    Array2::from_shape_fn((rows, columns), |(i, j)| ((7 * i + 3 * j + i * j) % 11) as f32 / 11.0)
}

fn pack(stored: &Stored, isa: Isa) -> PackedMatrix {
    let (outputs, inputs) = stored.dequantised.dim();
    PackedMatrix::pack(stored.bits, [outputs, inputs], &stored.values, &stored.scales, isa).unwrap()
}

fn product(stored: &Stored, x: &Array2<f32>, isa: Isa) -> Array2<f32> {
    let w = pack(stored, isa);
    let mut activations = Activations::default();
    activations.quantise(x, w.scaling());
    let mut out = Array2::from_elem((x.nrows(), w.outputs()), f32::NAN);
    matmul_packed(&activations, &w, 0, &mut out);
    out
}

/// The largest error that quantising `x`, and rounding int8 weights to one scale, can cause in any entry of the product.
fn tolerance(stored: &Stored, x: &Array2<f32>) -> f32 {
    let largest = |values: &mut dyn Iterator<Item = &f32>| values.fold(0.0_f32, |m, x| m.max(x.abs()));
    let half_step = largest(&mut x.iter()) / 127.0 * 0.51;
    let rows = || stored.dequantised.axis_iter(Axis(0));
    let inputs = rows().map(|row| row.iter().map(|w| w.abs()).sum::<f32>()).fold(0.0, f32::max) * half_step;
    let rounding = largest(&mut stored.dequantised.iter()) / 127.0 * 0.51;
    let weights =
        x.axis_iter(Axis(0)).map(|row| row.iter().map(|x| x.abs()).sum::<f32>()).fold(0.0, f32::max);
    inputs + if stored.bits == Bits::Eight { weights * rounding } else { 0.0 } + 1e-2
}

proptest! {
    #[test]
    fn the_plain_kernel_is_the_product_of_the_dequantised_weights((stored, x) in case()) {
        let expected = x.dot(&stored.dequantised.t());
        let tolerance = tolerance(&stored, &x);
        for (found, expected) in product(&stored, &x, Isa::Scalar).iter().zip(&expected) {
            prop_assert!((found - expected).abs() <= tolerance, "{found} {expected} {tolerance}");
        }
    }

    #[test]
    fn every_instruction_set_gives_the_bits_of_the_plain_kernel((stored, x) in case()) {
        let expected = product(&stored, &x, Isa::Scalar);
        for isa in Isa::available() {
            prop_assert_eq!(&product(&stored, &x, isa), &expected, "{:?}", isa);
        }
    }

    #[test]
    fn parts_of_a_product_equal_the_whole((stored, x) in case(), a in 0..40_usize, b in 0..40_usize) {
        let whole = product(&stored, &x, Isa::best());
        let w = pack(&stored, Isa::best());
        let columns = a.min(b).min(w.outputs())..a.max(b).min(w.outputs());
        let mut activations = Activations::default();
        activations.quantise(&x, w.scaling());
        let mut part = Array2::from_elem((x.nrows(), columns.len()), f32::NAN);
        matmul_packed(&activations, &w, columns.start, &mut part);
        prop_assert_eq!(part, whole.slice(s![.., columns]));
        for (row, whole) in x.axis_chunks_iter(Axis(0), 1).zip(whole.outer_iter()) {
            activations.quantise(&row, w.scaling());
            for (output, &expected) in whole.iter().enumerate() {
                prop_assert_eq!(dot_packed(&activations, &w, output), expected);
            }
        }
    }

    #[test]
    fn matrices_side_by_side_are_multiplied_like_each((x, parts) in parts()) {
        let mut activations = Activations::default();
        for isa in Isa::available() {
            let packed: Vec<_> = parts.iter().map(|w| PackedMatrix::quantise_rows(w, isa)).collect();
            activations.quantise(&x, Scaling::Row);
            let columns = parts.iter().map(|w| w.nrows().next_multiple_of(GROUP)).sum();
            let mut out = Array2::from_elem((x.nrows(), columns), 7.0);
            matmul_packed_outputs(&activations, packed.iter(), &mut out);
            let mut rest = out.view();
            for w in &packed {
                let mut alone = Array2::from_elem((x.nrows(), w.outputs().next_multiple_of(GROUP)), 7.0);
                matmul_packed(&activations, w, 0, &mut alone.slice_mut(s![.., ..w.outputs()]));
                let (part, after) = rest.split_at(Axis(1), alone.ncols());
                prop_assert_eq!(part, alone, "{:?}", isa);
                rest = after;
            }
        }
    }

    #[test]
    fn matrices_whose_inputs_follow_each_other_are_multiplied_like_one((x, parts) in parts()) {
        // The same matrices the other way: as many inputs as they have rows, filled up to whole groups.
        let filled = parts.iter().map(|w| w.nrows().next_multiple_of(GROUP));
        let mut whole = Array2::zeros((filled.clone().sum(), x.ncols()));
        let mut start = 0;
        for (w, filled) in parts.iter().zip(filled) {
            whole.slice_mut(s![start..start + w.nrows(), ..]).assign(w);
            start += filled;
        }
        let mut activations = Activations::default();
        activations.quantise(&matrix_like(x.nrows(), whole.nrows()), Scaling::Group);
        for isa in Isa::available() {
            let packed: Vec<_> = parts.iter().map(|w| PackedMatrix::quantise_columns(w, isa)).collect();
            let (mut out, mut expected) = (Array2::from_elem(x.dim(), f32::NAN), Array2::zeros(x.dim()));
            matmul_packed_inputs(&activations, &packed.iter(), &mut out);
            matmul_packed(&activations, &PackedMatrix::quantise_columns(&whole, isa), 0, &mut expected);
            prop_assert_eq!(&out, &expected, "{:?}", isa);
        }
    }

    #[test]
    fn rows_unpack_to_the_dequantised_weights((stored, _) in case()) {
        let w = pack(&stored, Isa::best());
        for (output, expected) in stored.dequantised.outer_iter().enumerate() {
            let mut row = Array1::zeros(w.inputs());
            unpack_row(&w, output, 1.0, &mut row);
            // Int8 weights are rounded to one scale, whose own rounding to f16 costs a little more.
            let largest = expected.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
            let tolerance = if stored.bits == Bits::Eight { 0.51 / 127.0 * largest } else { 0.0 };
            for (found, expected) in row.iter().zip(expected) {
                prop_assert!((found - expected).abs() <= tolerance, "{found} {expected} {tolerance}");
            }
        }
    }

    #[test]
    fn packed_columns_are_those_that_activations_are_quantised_to(
        x in (0..80_usize, 0..40_usize).prop_flat_map(|(rows, columns)| matrix(rows, columns)),
    ) {
        let packed = PackedMatrix::quantise_columns(&x, Isa::best());
        let mut expected = Activations::default();
        expected.quantise(&x.t(), Scaling::Group);
        prop_assert_eq!((packed.outputs(), packed.inputs()), (expected.rows(), expected.inputs()));
        for output in 0..packed.outputs() {
            let panel = packed.panels(output / PANEL..output / PANEL + 1);
            let column = expected.row(output);
            for (step, values) in column.values.as_chunks::<STEP>().0.iter().enumerate() {
                prop_assert_eq!(panel.weights(output % PANEL, step), values.map(i32::from));
            }
            for (group, &scale) in column.scales.iter().enumerate() {
                prop_assert_eq!(panel.scale(output % PANEL, group), f16::from_f32(scale).to_f32());
            }
        }
    }

    #[test]
    fn weights_that_share_a_scale_are_kept_as_they_are(
        values in prop::collection::vec(-127_i8..=127, 63), scale in 1e-3_f32..2.0,
    ) {
        let values: Vec<u8> = values.into_iter().chain([127]).map(i8::cast_unsigned).collect();
        let scale = f16::from_f32(scale);
        let w = PackedMatrix::pack(Bits::Eight, [1, 64], &values, &[scale; 2], Isa::best()).unwrap();
        let mut row = Array1::zeros(64);
        unpack_row(&w, 0, 1.0, &mut row);
        for (found, value) in row.iter().zip(values) {
            prop_assert_eq!(*found, f32::from(value.cast_signed()) * scale.to_f32());
        }
    }
}

#[test]
fn rows_of_zeros_and_broken_numbers_are_harmless() {
    let x = ndarray::arr2(&[[0.0_f32; 32], [f32::NAN; 32], [f32::INFINITY; 32]]);
    let stored = Stored {
        bits: Bits::Eight,
        values: vec![1; 32],
        scales: vec![f16::ONE],
        dequantised: Array2::ones((1, 32)),
    };
    assert_eq!(product(&stored, &x, Isa::best())[[0, 0]], 0.0);
}

#[test]
fn no_inputs_and_no_outputs_are_harmless() {
    let mut activations = Activations::default();
    for (outputs, inputs) in [(0, 64), (20, 0), (0, 0)] {
        for w in [
            PackedMatrix::quantise_rows(&Array2::ones((outputs, inputs)), Isa::best()),
            PackedMatrix::quantise_columns(&Array2::ones((inputs, outputs)), Isa::best()),
        ] {
            activations.quantise(&Array2::ones((5, inputs)), w.scaling());
            let mut out = Array2::ones((5, outputs));
            matmul_packed(&activations, &w, 0, &mut out);
            assert_eq!(out, Array2::<f32>::zeros((5, outputs)));
        }
    }
}

#[test]
fn wrong_lengths_are_refused() {
    let pack = |values, scales: usize, shape| {
        let scales = vec![f16::ONE; scales];
        PackedMatrix::pack(Bits::Eight, shape, &vec![0; values], &scales, Isa::Scalar)
    };
    assert!(pack(64, 2, [2, 32]).is_some());
    assert!(pack(63, 2, [2, 32]).is_none());
    assert!(pack(64, 1, [2, 32]).is_none());
    assert!(pack(66, 2, [2, 33]).is_none());
    assert!(pack(0, 0, [usize::MAX, 64]).is_none());
}
