//! The inner loops of the network: products of matrices, f32 or quantised, and the softmax.
//!
//! Everything above calls these safe functions and nothing else; which instructions they use is decided here.
#![allow(
    clippy::inline_always,
    reason = "loops are vectorised only where they are inlined into `wide` functions"
)]

mod dense;
mod pool;
mod quantised;
mod softmax;
mod wide;

use std::borrow::Cow;

use ndarray::{ArrayRef1, ArrayView1};

pub(crate) use dense::sum_of_squares;
pub use dense::{dot, matmul_add, matmul_transposed};
pub use pool::Pool;
pub use quantised::{
    Activations, Bits, Isa, PackedMatrix, Scaling, dot_packed, matmul_packed, matmul_packed_inputs,
    matmul_packed_outputs, unpack_row,
};
pub(crate) use softmax::exponentiate;
pub use softmax::softmax;
#[cfg(target_arch = "x86_64")]
pub(crate) use wide::has_avx512;
pub(crate) use wide::wide;

/// The numbers of a row side by side, as they are in all but transposed arrays.
pub(crate) fn side_by_side<'a>(row: &ArrayView1<'a, f32>) -> Cow<'a, [f32]> {
    row.to_slice().map_or_else(|| Cow::Owned(row.to_vec()), Cow::Borrowed)
}

/// Calls `work` on the numbers of `row` side by side: on its own memory where they are, else on a copy.
pub(crate) fn with_slice(row: &mut ArrayRef1<f32>, work: impl FnOnce(&mut [f32])) {
    if let Some(row) = row.as_slice_mut() {
        return work(row);
    }
    let mut copy = row.to_vec();
    work(&mut copy);
    row.iter_mut().zip(copy).for_each(|(x, worked)| *x = worked);
}
