//! `ZCRMSNorm`: root-mean-square normalisation with a zero-centred scale.

use ndarray::{Array1, ArrayRef2};

use crate::kernels::{self, wide, with_slice};

/// Keeps the root above zero for a row of zeros; it is added inside the root, as in training.
const EPSILON: f32 = 1e-6;

/// `(1 + scale) · x / sqrt(mean(x²) + 1e-6)` over the last axis (`RMSNorm`, Zhang and Sennrich 2019).
#[derive(Clone, Debug)]
pub struct ZcRmsNorm {
    /// `1 + scale`, (D) or (E).
    gain: Array1<f32>,
}

impl ZcRmsNorm {
    /// From a checkpoint's `scale`, which is centred on zero.
    pub fn new(scale: Array1<f32>) -> Self {
        Self { gain: scale + 1.0 }
    }

    /// Normalises every row of `x` (N, D) into `out` (N, D).
    pub fn forward(&self, x: &ArrayRef2<f32>, out: &mut ArrayRef2<f32>) {
        out.assign(x);
        self.forward_heads(out);
    }

    /// Normalises in place every head of every row of `x` (N, heads·E), where E is the width of the scale.
    pub fn forward_heads(&self, x: &mut ArrayRef2<f32>) {
        let gain = self.gain.as_slice().unwrap_or_default();
        for mut row in x.outer_iter_mut() {
            with_slice(&mut row, |row| normalise(row, gain));
        }
    }
}

wide! {
    fn normalise(row: &mut [f32], gain: &[f32]) {
        for head in row.chunks_exact_mut(gain.len().max(1)) {
            let mean_square = kernels::sum_of_squares(head) / gain.len() as f32;
            let inverse_root = 1.0 / (mean_square + EPSILON).sqrt();
            for (x, gain) in head.iter_mut().zip(gain) {
                *x *= inverse_root * gain;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::assert_close;
    use ndarray::{arr1, arr2};

    #[test]
    fn matches_numbers_worked_by_hand() {
        // Row (3, 4): mean square 12.5, root 3.5355339 → (0.8485281, 1.1313708); gains 1.5 and 0.75.
        let norm = ZcRmsNorm::new(arr1(&[0.5, -0.25]));
        let x = arr2(&[[3.0, 4.0], [0.0, 0.0]]);
        let mut out = x.clone();
        norm.forward(&x, &mut out);
        let expected = arr2(&[[1.272_792_2, 0.848_528_1], [0.0, 0.0]]);
        assert_close(&out, &expected, 1e-6);
    }

    #[test]
    fn heads_are_normalised_apart() {
        let norm = ZcRmsNorm::new(arr1(&[0.0, 0.0]));
        let mut x = arr2(&[[3.0, 4.0, 300.0, 400.0]]);
        norm.forward_heads(&mut x);
        let expected = arr2(&[[0.848_528_1, 1.131_370_8, 0.848_528_1, 1.131_370_8]]);
        assert_close(&x, &expected, 1e-6);
    }
}
