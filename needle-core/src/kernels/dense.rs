//! f32 matrix products. Few rows are computed row by row, which reads the weights once and packs nothing;
//! many rows go through `matrixmultiply`.

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayRef1, ArrayRef2};

/// Up to this many rows the product is a series of matrix-vector products: packing the weights for a blocked
/// product costs about as much as reading them this often.
const FEW_ROWS: usize = 4;

/// Partial sums kept side by side in [`dot`]: independent chains that fill the vector units.
const LANES: usize = 16;

/// `out = x · wᵀ` for `x` (N, I), `w` (O, I), `out` (N, O).
///
/// Rows of `x` and `w` should be contiguous in memory; other strides are computed correctly but slower.
///
/// # Panics
/// If the shapes do not fit each other, which is an error of the caller, not of data.
pub fn matmul_transposed(x: &ArrayRef2<f32>, w: &ArrayRef2<f32>, out: &mut ArrayRef2<f32>) {
    assert_eq!((x.nrows(), w.nrows(), x.ncols()), (out.nrows(), out.ncols(), w.ncols()), "shapes differ");
    if x.nrows() > FEW_ROWS {
        return general_mat_mul(1.0, x, &w.t(), 0.0, out);
    }
    for (x_row, mut out_row) in x.outer_iter().zip(out.outer_iter_mut()) {
        for (w_row, sum) in w.outer_iter().zip(&mut out_row) {
            *sum = dot(&x_row, &w_row);
        }
    }
}

/// `out += p · v` for `p` (N, S), `v` (S, E), `out` (N, E).
///
/// # Panics
/// If the shapes do not fit each other, which is an error of the caller, not of data.
pub fn matmul_add(p: &ArrayRef2<f32>, v: &ArrayRef2<f32>, out: &mut ArrayRef2<f32>) {
    assert_eq!((p.nrows(), v.ncols(), p.ncols()), (out.nrows(), out.ncols(), v.nrows()), "shapes differ");
    if p.nrows() > FEW_ROWS {
        return general_mat_mul(1.0, p, v, 1.0, out);
    }
    for (p_row, mut out_row) in p.outer_iter().zip(out.outer_iter_mut()) {
        for (&weight, v_row) in p_row.iter().zip(v.outer_iter()) {
            out_row.scaled_add(weight, &v_row);
        }
    }
}

/// `Σ a[i] · b[i]` over the shorter of both, in a fixed order of additions.
pub fn dot(a: &ArrayRef1<f32>, b: &ArrayRef1<f32>) -> f32 {
    match (a.as_slice(), b.as_slice()) {
        (Some(a), Some(b)) => dot_contiguous(a, b),
        _ => a.iter().zip(b).map(|(x, y)| x * y).sum(),
    }
}

fn dot_contiguous(a: &[f32], b: &[f32]) -> f32 {
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for (x, y) in a_blocks.iter().zip(b_blocks) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f32>() + rest
}
