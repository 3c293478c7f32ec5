//! A dense projection.

use ndarray::{Array2, ArrayRef2};

use crate::kernels;

/// `y = W x`, without bias.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Array2<f32>, // (out, in)
}

impl Linear {
    /// From a weight of shape (out, in).
    pub fn new(weight: Array2<f32>) -> Self {
        Self { weight }
    }

    /// Width of the result.
    pub fn outputs(&self) -> usize {
        self.weight.nrows()
    }

    /// Projects every row of `x` (N, in) into `out` (N, out).
    pub fn forward(&self, x: &ArrayRef2<f32>, out: &mut ArrayRef2<f32>) {
        kernels::matmul_transposed(x, &self.weight, out);
    }
}
