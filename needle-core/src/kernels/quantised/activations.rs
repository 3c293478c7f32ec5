//! Rows of activations as int8, with a scale for each row or for each group of 32 values.

use ndarray::ArrayRef2;

use crate::checkpoint::GROUP;
use crate::kernels::{side_by_side, wide};

/// Largest magnitude of a quantised activation; the range is symmetric so that no product of two overflows.
pub(super) const LIMIT: f32 = 127.0;

/// Inputs in one step of a kernel: four int8 values, the unit of the dot-product instructions.
pub(super) const STEP: usize = 4;

/// Which values of a row share a scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scaling {
    /// All of them, so that a sum of products stays an integer to its end.
    #[default]
    Row,
    /// 32 consecutive ones: for four bits, and for the weights of attention, which differ by orders of magnitude.
    Group,
}

impl Scaling {
    /// Scales of a row of so many inputs, a multiple of 32.
    pub(super) fn groups(self, inputs: usize) -> usize {
        match self {
            Self::Row => 1,
            Self::Group => inputs / GROUP,
        }
    }
}

/// Rows (N, I) quantised to `q = round(x / scale)` with `scale = max|x| / 127` over the values that share it.
#[derive(Clone, Debug, Default)]
pub struct Activations {
    values: Vec<i8>,  // (N, I)
    sums: Vec<i32>,   // (N, groups): of the values, which undo the offset of unsigned weights
    scales: Vec<f32>, // (N, groups)
    scaling: Scaling,
    rows: usize,
    inputs: usize,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    pub(super) values: &'a [i8],
    pub(super) sums: &'a [i32],
    pub(super) scales: &'a [f32],
}

impl Activations {
    /// Replaces the contents by the rows of `x` (N, I), filled up with zeros to a multiple of 32. Keeps its room.
    pub fn quantise(&mut self, x: &ArrayRef2<f32>, scaling: Scaling) {
        self.resize(x.nrows(), x.ncols().next_multiple_of(GROUP), scaling);
        for (index, row) in x.outer_iter().enumerate() {
            let (values, sums, scales) = self.row_mut(index);
            let row = side_by_side(&row);
            match scaling {
                Scaling::Row => (scales[0], sums[0]) = quantise_row(&row, values),
                Scaling::Group => quantise_in_groups(&row, values, sums, scales),
            }
        }
    }

    fn resize(&mut self, rows: usize, inputs: usize, scaling: Scaling) {
        (self.rows, self.inputs, self.scaling) = (rows, inputs, scaling);
        let groups = scaling.groups(inputs);
        self.values.resize(inputs * rows, 0);
        self.sums.resize(groups * rows, 0);
        self.scales.resize(groups * rows, 0.0);
    }

    fn row_mut(&mut self, row: usize) -> (&mut [i8], &mut [i32], &mut [f32]) {
        let groups = self.scaling.groups(self.inputs);
        let own = row * groups..(row + 1) * groups;
        let values = &mut self.values[row * self.inputs..(row + 1) * self.inputs];
        (values, &mut self.sums[own.clone()], &mut self.scales[own])
    }

    /// Number of rows, N.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Width of a row, I.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Which values share a scale.
    pub fn scaling(&self) -> Scaling {
        self.scaling
    }

    /// The values of some rows, one row after the other.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    pub(super) fn values(&self, rows: std::ops::Range<usize>) -> &[i8] {
        &self.values[rows.start * self.inputs..rows.end * self.inputs]
    }

    /// Sums and scales of some rows that have one each.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    pub(super) fn of_rows(&self, rows: std::ops::Range<usize>) -> (&[i32], &[f32]) {
        debug_assert_eq!(self.scaling, Scaling::Row);
        (&self.sums[rows.clone()], &self.scales[rows])
    }

    /// One row.
    pub(super) fn row(&self, row: usize) -> Row<'_> {
        let groups = self.scaling.groups(self.inputs);
        let own = row * groups..(row + 1) * groups;
        Row {
            values: &self.values[row * self.inputs..(row + 1) * self.inputs],
            sums: &self.sums[own.clone()],
            scales: &self.scales[own],
        }
    }
}

/// Quantises a row of at most as many numbers as `values`; the rest of these is zeros. Its scale and their sum.
fn quantise_row(row: &[f32], values: &mut [i8]) -> (f32, i32) {
    let (values, rest) = values.split_at_mut(row.len());
    rest.fill(0);
    super::native::quantise_row(row, values).unwrap_or_else(|| quantise_row_plain(row, values))
}

wide! {
    /// The plain form of quantising a row.
    fn quantise_row_plain(row: &[f32], values: &mut [i8]) -> (f32, i32) {
        let (largest, inverse) = range(row);
        let mut sum = 0;
        for (value, x) in values.iter_mut().zip(row) {
            *value = round(x * inverse);
            sum += i32::from(*value);
        }
        (largest * (1.0 / LIMIT), sum)
    }
}

/// Quantises a row of at most as many numbers as `values`, group by group.
fn quantise_in_groups(row: &[f32], values: &mut [i8], sums: &mut [i32], scales: &mut [f32]) {
    let (full, rest) = row.as_chunks::<GROUP>();
    let (values, _) = values.as_chunks_mut::<GROUP>();
    quantise_groups(full, values, sums, scales);
    if !rest.is_empty() {
        let mut padded = [0.0; GROUP];
        padded[..rest.len()].copy_from_slice(rest);
        let last = full.len();
        quantise_groups(&[padded], &mut values[last..], &mut sums[last..], &mut scales[last..]);
    }
}

fn quantise_groups(x: &[[f32; GROUP]], values: &mut [[i8; GROUP]], sums: &mut [i32], scales: &mut [f32]) {
    if super::native::quantise_groups(x, values, sums, scales) {
        return;
    }
    for (((x, values), sum), scale) in x.iter().zip(values).zip(sums).zip(scales) {
        (*scale, *sum) = quantise_group(x, values);
    }
}

/// The plain form of quantising one group; its scale and the values' sum.
fn quantise_group(group: &[f32; GROUP], values: &mut [i8; GROUP]) -> (f32, i32) {
    let (largest, inverse) = range(group);
    let mut sum = 0;
    for (value, x) in values.iter_mut().zip(group) {
        *value = round(x * inverse);
        sum += i32::from(*value);
    }
    (largest * (1.0 / LIMIT), sum)
}

/// The largest magnitude of some numbers, and the factor that makes it 127.
#[inline(always)]
fn range(x: &[f32]) -> (f32, f32) {
    // Sixteen running maxima, so that the loop is vectorised; the order does not change a maximum.
    let mut largest = [0.0_f32; 16];
    let (blocks, rest) = x.as_chunks::<16>();
    for block in blocks {
        for (largest, x) in largest.iter_mut().zip(block) {
            *largest = larger(*largest, x.abs());
        }
    }
    for (largest, x) in largest.iter_mut().zip(rest) {
        *largest = larger(*largest, x.abs());
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
    (largest, if largest > 0.0 { LIMIT / largest } else { 0.0 })
}

/// The larger of two numbers that are not NaN; one instruction, unlike `f32::max`.
#[inline(always)]
pub(super) fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// Rounds a number of at most 127 to the nearest integer, ties to even.
///
/// Added to 1.5 · 2^23, an f32 has no bits left for a fraction, so that the sum is rounded and its lowest byte is the
/// integer: every target vectorises this. NaN gives any value.
#[inline(always)]
pub(super) fn round(x: f32) -> i8 {
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
        for scaling in [Scaling::Row, Scaling::Group] {
            strided.quantise(&x.t(), scaling);
            side_by_side.quantise(&x.t().as_standard_layout(), scaling);
            for row in 0..3 {
                let (found, expected) = (strided.row(row), side_by_side.row(row));
                assert_eq!((found.values, found.sums), (expected.values, expected.sums));
                assert_eq!(
                    found.scales.iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
                    expected.scales.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
                );
            }
        }
    }

    fn numbers() -> impl Strategy<Value = f32> {
        prop_oneof![-1e3_f32..1e3, Just(0.0), -1e-30_f32..1e-30]
    }

    proptest! {
        #[test]
        fn fast_quantising_gives_the_bits_of_the_plain_form(x in prop::array::uniform32(numbers())) {
            let (mut values, mut sums, mut scales) = ([[0; GROUP]], [0], [0.0]);
            quantise_groups(&[x], &mut values, &mut sums, &mut scales);
            let mut plain = [0; GROUP];
            let (scale, sum) = quantise_group(&x, &mut plain);
            prop_assert_eq!((values[0], sums[0], scales[0]), (plain, sum, scale));
            let mut row = [1; 2 * GROUP];
            prop_assert_eq!(quantise_row(&x, &mut row), (scale, sum));
            prop_assert_eq!((&row[..GROUP], &row[GROUP..]), (&plain[..], &[0; GROUP][..]));
        }
    }
}
