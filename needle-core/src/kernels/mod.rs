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

pub(crate) use dense::sum_of_squares;
pub use dense::{dot, matmul_add, matmul_transposed};
pub use pool::Pool;
pub use quantised::{Activations, Bits, Isa, PackedMatrix, dot_packed, matmul_packed, unpack_row};
pub use softmax::softmax;
#[cfg(target_arch = "x86_64")]
pub(crate) use wide::has_avx512;
pub(crate) use wide::wide;
