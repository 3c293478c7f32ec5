//! Rows of activations as int8, with a scale for each group of 32 values.

use ndarray::{ArrayRef1, ArrayRef2};

use crate::checkpoint::GROUP;

/// Largest magnitude of a quantised activation; the range is symmetric so that no product of two overflows.
pub(super) const LIMIT: f32 = 127.0;

/// Inputs in one step of a kernel: four int8 values, the unit of the dot-product instructions.
pub(super) const STEP: usize = 4;

/// Steps in a group of inputs that share a weight's scale.
pub(super) const STEPS: usize = GROUP / STEP;

/// Rows (N, I) quantised in groups of 32: `q = round(x / scale)` with `scale = max|x| / 127` of the group.
#[derive(Clone, Debug, Default)]
pub struct Activations {
    groups: Vec<Group>, // (N, I / 32)
    rows: usize,
    inputs: usize,
}

/// 32 consecutive values of a row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Group {
    /// Four values to a number, the first in its lowest byte.
    pub(super) quads: [i32; STEPS],
    /// Sum of the values, which undoes the offset of unsigned weights.
    pub(super) sum: i32,
    pub(super) scale: f32,
}

impl Activations {
    /// Replaces the contents by the rows of `x` (N, I), filled up with zeros to a multiple of 32. Keeps its room.
    pub fn quantise(&mut self, x: &ArrayRef2<f32>) {
        self.inputs = x.ncols().next_multiple_of(GROUP);
        self.rows = x.nrows();
        let width = self.inputs / GROUP;
        self.groups.resize(width * self.rows, Group::default());
        for (row, groups) in x.outer_iter().zip(self.groups.chunks_exact_mut(width.max(1))) {
            match row.as_slice() {
                Some(row) => quantise_row(row, groups),
                None => quantise_strided(&row, groups),
            }
        }
    }

    /// Number of rows, N.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Width of a row, I.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// The groups of one row.
    pub(super) fn row(&self, row: usize) -> &[Group] {
        let width = self.inputs / GROUP;
        &self.groups[row * width..(row + 1) * width]
    }
}

/// Quantises a row of at most as many values as the groups hold; the rest is zeros.
fn quantise_row(row: &[f32], groups: &mut [Group]) {
    let (full, rest) = row.as_chunks::<GROUP>();
    let (whole, padded) = groups.split_at_mut(full.len());
    quantise_groups(full, whole);
    if let Some(group) = padded.first_mut() {
        let mut values = [0.0; GROUP];
        values[..rest.len()].copy_from_slice(rest);
        quantise_groups(&[values], std::slice::from_mut(group));
    }
}

/// The same for a row whose values do not lie side by side.
fn quantise_strided(row: &ArrayRef1<f32>, groups: &mut [Group]) {
    let mut row = row.iter();
    for group in groups {
        let mut values = [0.0; GROUP];
        // The second iterator is asked only for places that there are, so no value is lost between groups.
        values.iter_mut().zip(&mut row).for_each(|(value, x)| *value = *x);
        quantise_groups(&[values], std::slice::from_mut(group));
    }
}

fn quantise_groups(values: &[[f32; GROUP]], groups: &mut [Group]) {
    if super::native::quantise_groups(values, groups) {
        return;
    }
    for (values, group) in values.iter().zip(groups) {
        *group = Group::of(values);
    }
}

impl Group {
    pub(super) fn of(values: &[f32; GROUP]) -> Self {
        let (scale, values) = quantise_group(values);
        let mut sum = 0;
        for value in values {
            sum += i32::from(value);
        }
        let mut quads = [0; STEPS];
        for (quad, bytes) in quads.iter_mut().zip(values.as_chunks::<STEP>().0) {
            let [a, b, c, d] = *bytes;
            *quad = i32::from_le_bytes([
                a.cast_unsigned(),
                b.cast_unsigned(),
                c.cast_unsigned(),
                d.cast_unsigned(),
            ]);
        }
        Self { quads, sum, scale }
    }
}

/// The scale of a group and its values.
pub(super) fn quantise_group(group: &[f32; GROUP]) -> (f32, [i8; GROUP]) {
    // Sixteen running maxima, so that the loop is vectorised; the order does not change a maximum.
    let mut largest = [0.0_f32; 16];
    for block in group.as_chunks::<16>().0 {
        for (largest, x) in largest.iter_mut().zip(block) {
            *largest = larger(*largest, x.abs());
        }
    }
    // By halves, which takes four steps instead of sixteen.
    let mut width = largest.len() / 2;
    while width > 0 {
        for i in 0..width {
            largest[i] = larger(largest[i], largest[i + width]);
        }
        width /= 2;
    }
    let largest = largest[0];
    let inverse = if largest > 0.0 { LIMIT / largest } else { 0.0 };
    let mut values = [0; GROUP];
    for (value, x) in values.iter_mut().zip(group) {
        *value = round(x * inverse);
    }
    (largest * (1.0 / LIMIT), values)
}

/// The larger of two numbers that are not NaN; one instruction, unlike `f32::max`.
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// Rounds a number of at most 127 to the nearest integer, ties to even.
///
/// Added to 1.5 · 2^23, an f32 has no bits left for a fraction, so that the sum is rounded and its lowest byte is the
/// integer: every target vectorises this. NaN gives any value.
fn round(x: f32) -> i8 {
    const SHIFT: f32 = 12_582_912.0;
    #[allow(clippy::cast_possible_truncation, reason = "the lowest byte is asked for")]
    let lowest = (x + SHIFT).to_bits().cast_signed() as i8;
    lowest
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;
    use proptest::prelude::*;

    #[test]
    fn columns_are_quantised_like_rows_that_lie_side_by_side() {
        let x = Array2::from_shape_fn((2 * GROUP + 5, 3), |(i, j)| (7 * i + 3 * j) as f32 - 90.0);
        let (mut strided, mut side_by_side) = (Activations::default(), Activations::default());
        strided.quantise(&x.t());
        side_by_side.quantise(&x.t().as_standard_layout());
        for row in 0..3 {
            for (found, expected) in strided.row(row).iter().zip(side_by_side.row(row)) {
                assert_eq!((found.quads, found.sum), (expected.quads, expected.sum));
                assert!((found.scale - expected.scale).abs() < f32::EPSILON);
            }
        }
    }

    proptest! {
        #[test]
        fn fast_quantising_gives_the_bits_of_the_plain_form(
            values in prop::array::uniform32(prop_oneof![-1e3_f32..1e3, Just(0.0), -1e-30_f32..1e-30]),
        ) {
            let mut groups = [Group::default()];
            quantise_groups(&[values], &mut groups);
            let (found, plain) = (groups[0], Group::of(&values));
            prop_assert_eq!((found.quads, found.sum, found.scale), (plain.quads, plain.sum, plain.scale));
        }
    }
}
