//! f32 matrix products. Few rows are computed row by row, which reads the weights once and packs nothing;
//! many rows go through `matrixmultiply`.

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayRef1, ArrayRef2};

use super::wide::wide;
use super::{side_by_side, with_slice};

/// Up to this many rows the product is a series of matrix-vector products: packing the weights for a blocked
/// product costs about as much as reading them this often.
const FEW_ROWS: usize = 4;

/// Partial sums kept side by side in [`dot`]: independent chains that fill the vector units.
pub(super) const LANES: usize = 16;

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
        let x_row = side_by_side(&x_row);
        with_slice(&mut out_row, |out| dots(&x_row, w, out));
    }
}

wide! {
    /// The dot products of `x` (I) with every row of `w` (O, I).
    fn dots(x: &[f32], w: &ArrayRef2<f32>, out: &mut [f32]) {
        for (sum, row) in out.iter_mut().zip(w.outer_iter()) {
            *sum = dot_contiguous(x, &side_by_side(&row));
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
        let p_row = side_by_side(&p_row);
        with_slice(&mut out_row, |out| add_scaled(&p_row, v, out));
    }
}

wide! {
    /// Adds every row of `v` (S, E), times its weight in `p` (S), to `out` (E).
    fn add_scaled(p: &[f32], v: &ArrayRef2<f32>, out: &mut [f32]) {
        for (weight, row) in p.iter().zip(v.outer_iter()) {
            let row = side_by_side(&row);
            for (sum, x) in out.iter_mut().zip(row.iter()) {
                *sum += weight * x;
            }
        }
    }
}

/// `Σ a[i] · b[i]` over the shorter of both, in a fixed order of additions.
pub fn dot(a: &ArrayRef1<f32>, b: &ArrayRef1<f32>) -> f32 {
    match (a.as_slice(), b.as_slice()) {
        (Some(a), Some(b)) => dot_slices(a, b),
        _ => a.iter().zip(b).map(|(x, y)| x * y).sum(),
    }
}

wide! {
    fn dot_slices(a: &[f32], b: &[f32]) -> f32 {
        dot_contiguous(a, b)
    }
}

#[inline(always)]
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
    halved(sums, |a, b| a + b) + rest
}

/// All lanes in one, first half with second half, which takes as many steps as there are halves.
#[inline(always)]
pub(super) fn halved(mut lanes: [f32; LANES], join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] = join(lanes[lane], lanes[lane + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// `Σ x²`, in the order of additions of [`dot`].
#[inline(always)]
pub(crate) fn sum_of_squares(x: &[f32]) -> f32 {
    dot_contiguous(x, x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, s};

    /// Small whole numbers: every order of additions gives the same sum, so results are compared exactly.
    fn matrix(rows: usize, columns: usize) -> Array2<f32> {
        Array2::from_shape_fn((rows, columns), |(i, j)| ((7 * i + 3 * j + i * j) % 11) as f32 - 5.0)
    }

    fn product(x: &Array2<f32>, y: &Array2<f32>) -> Array2<f32> {
        Array2::from_shape_fn((x.nrows(), y.ncols()), |(i, j)| {
            (0..x.ncols()).map(|k| x[[i, k]] * y[[k, j]]).sum()
        })
    }

    #[test]
    fn products_equal_plain_loops_at_every_edge_of_the_blocks() {
        for rows in [0, 1, FEW_ROWS, FEW_ROWS + 1, 9] {
            for inner in [0, 1, LANES - 1, LANES, LANES + 1, 40] {
                for columns in [0, 1, 5, 16] {
                    let (x, w) = (matrix(rows, inner), matrix(columns, inner));
                    let mut out = Array2::from_elem((rows, columns), f32::NAN);
                    matmul_transposed(&x, &w, &mut out);
                    assert_eq!(out, product(&x, &w.t().to_owned()), "{rows} {inner} {columns}");

                    let v = matrix(inner, columns);
                    let mut sum = Array2::ones((rows, columns));
                    matmul_add(&x, &v, &mut sum);
                    assert_eq!(sum, product(&x, &v) + 1.0, "{rows} {inner} {columns}");
                }
            }
        }
    }

    #[test]
    fn columns_of_wider_arrays_and_transposed_arrays_are_read_in_place() {
        let (wide, x) = (matrix(6, 30), matrix(2, 10));
        let part = wide.slice(s![.., 10..20]);
        let mut out = Array2::zeros((2, 6));
        matmul_transposed(&x, &part, &mut out);
        assert_eq!(out, product(&x, &part.t().to_owned()));

        let turned = matrix(10, 6);
        matmul_transposed(&x, &turned.t(), &mut out);
        assert_eq!(out, product(&x, &turned));
    }
}
