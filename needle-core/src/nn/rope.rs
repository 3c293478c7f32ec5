//! Rotary position embedding with half-split pairing (`RoFormer`, Su et al. 2021).

use ndarray::{Array1, Array2, ArrayRef2};

use crate::kernels::{wide, with_slice};

/// The rotary frequencies of one head width.
#[derive(Clone, Debug)]
pub struct Rope {
    /// `theta^(-2i/E)`, (E/2).
    frequencies: Array1<f32>,
}

/// Cosines and sines of consecutive positions, shared by all heads and layers of one pass.
#[derive(Clone, Debug)]
pub struct Rotation {
    cos: Array2<f32>, // (N, E/2)
    sin: Array2<f32>, // (N, E/2)
}

impl Rope {
    /// Frequencies for heads of even width `head_dim` and base `theta`.
    pub fn new(head_dim: usize, theta: f32) -> Self {
        let half = head_dim / 2;
        Self { frequencies: Array1::from_shape_fn(half, |i| theta.powf(-(i as f32) / half as f32)) }
    }

    /// The rotations of positions `start .. start + count`.
    pub fn rotation(&self, start: usize, count: usize) -> Rotation {
        let angles = Array2::from_shape_fn((count, self.frequencies.len()), |(row, i)| {
            (start + row) as f32 * self.frequencies[i]
        });
        Rotation { cos: angles.mapv(f32::cos), sin: angles.mapv(f32::sin) }
    }
}

impl Rotation {
    /// Rotates in place every head of `x` (N, heads·E): the pair `(x[i], x[i + E/2])` of row n turns by
    /// `position(n) · frequency(i)`.
    pub fn apply(&self, x: &mut ArrayRef2<f32>) {
        let angles = self.cos.outer_iter().zip(self.sin.outer_iter());
        for (mut row, (cos, sin)) in x.outer_iter_mut().zip(angles) {
            let (Some(cos), Some(sin)) = (cos.to_slice(), sin.to_slice()) else { continue };
            with_slice(&mut row, |row| rotate(row, cos, sin));
        }
    }
}

wide! {
    fn rotate(row: &mut [f32], cos: &[f32], sin: &[f32]) {
        for head in row.chunks_exact_mut(2 * cos.len().max(1)) {
            let (first, second) = head.split_at_mut(cos.len());
            for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::assert_close;
    use ndarray::arr2;

    #[test]
    fn turns_half_split_pairs_by_position_times_frequency() {
        // theta 100, E 4: frequencies 1 and 0.1. Position 2 turns (x0, x2) by 2 rad and (x1, x3) by 0.2 rad.
        // cos 2 = -0.4161468, sin 2 = 0.9092974; cos 0.2 = 0.9800666, sin 0.2 = 0.1986693.
        let mut x = arr2(&[[1.0, 2.0, 3.0, 4.0]]);
        Rope::new(4, 100.0).rotation(2, 1).apply(&mut x);
        let expected = arr2(&[[
            -0.416_146_8 - 3.0 * 0.909_297_4,
            2.0 * 0.980_066_6 - 4.0 * 0.198_669_3,
            0.909_297_4 + 3.0 * -0.416_146_8,
            2.0 * 0.198_669_3 + 4.0 * 0.980_066_6,
        ]]);
        assert_close(&x, &expected, 1e-5);
    }

    #[test]
    fn rows_take_consecutive_positions_and_heads_share_them() {
        let rope = Rope::new(2, 10_000.0);
        let mut x = arr2(&[[1.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 1.0]]);
        rope.rotation(0, 2).apply(&mut x);
        let (sin, cos) = 1.0_f32.sin_cos();
        let expected = arr2(&[[1.0, 0.0, 0.0, 1.0], [cos, sin, -sin, cos]]);
        assert_close(&x, &expected, 1e-6);
    }
}
