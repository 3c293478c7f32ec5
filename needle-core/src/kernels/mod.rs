//! The inner loops of the network: products of f32 matrices and the softmax.
//!
//! Everything above calls these safe functions and nothing else; sets for particular CPUs and for quantised
//! weights belong behind the same names.

mod dense;
mod softmax;

pub use dense::{dot, matmul_add, matmul_transposed};
pub use softmax::softmax;
